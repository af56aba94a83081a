"""The local platform: a supervisor of this user's, snapshots for images, a gateway on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlfunc.errors import UsageError
from mlfunc.knative.facts import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc.builder.assembly import Workshop
    from mlfunc.builder.building import Outcome as Built
    from mlfunc.builder.deciding import Request as Build
    from mlfunc.cluster.client import Cluster, Object
    from mlfunc.function import Function
    from mlfunc.knative.release import Model, Release
    from mlfunc.platforms.platform import Name, Order, Platform, Start
    from mlfunc.platforms.way import Way
    from mlfunc.supervisor.home import Home


class Local:
    """Functions as processes of this machine."""

    name: Name = "local"
    title = "the local platform"

    def is_there(self) -> bool:
        """Whether anything was ever kept here."""
        from mlfunc.supervisor import home

        return home.home().state.exists()

    def is_running(self) -> bool:
        """Whether the supervisor runs now."""
        from mlfunc.supervisor import home

        return home.found(home.home()) is not None

    def connect(
        self, _: str | None, namespace: str | None, *, start: Start = "if deployed"
    ) -> Cluster:
        """The supervisor, or what it has left; it has no contexts."""
        from mlfunc.platforms.local import connecting, resting, starting
        from mlfunc.supervisor import home

        own = home.home()
        if not self.is_running() and not _is_wanted(own, start):
            return resting.connect(own, namespace)
        starting.ensure_running(own)
        return connecting.connect(own, namespace)

    def check(self, build: Build) -> None:
        """No image is made: nothing about one makes sense."""
        given = {
            "--image": build.image,
            "--registry": build.registry,
            "--build-platform": build.platform,
            "--insecure": build.insecure,
            "--upgrade": build.upgrade,
            "--locked": build.locked,
        }
        for option in (option for option, value in given.items() if value):
            message = f"{option} is about an image, and the local platform needs none"
            raise UsageError(message, f"leave out {option}, or deploy with --platform knative")

    def inquire(
        self, cluster: Cluster, function: Function, build: Build, _: Sequence[Model] = ()
    ) -> tuple[Finding, ...]:
        """What of a function means nothing here, or does not work."""
        from mlfunc.platforms.knative.inquiring import refuse
        from mlfunc.platforms.local import inquiring, releasing

        letters = inquiring.dead_letters(
            function, cluster.namespace, lambda kind, name: cluster.get(kind, name) is not None
        )
        found = (*letters, *inquiring.examine(function))
        refuse(function, found, "here")
        links = releasing.notes(build.folder, function)
        free = inquiring.free(function, cluster)
        return (*found, *free, *(Finding("note", each) for each in links))

    def release(self, order: Order, workshop: Workshop) -> tuple[Release, Built | None]:
        """A snapshot of the project's files, and an environment for it."""
        from mlfunc.platforms.local import giving, releasing
        from mlfunc.supervisor import home

        function, cluster = order.function, order.cluster
        given = giving.values(function, cluster.namespace, cluster.get)
        workshop.watcher.phase("checking the project" if order.dry_run else "installing")
        source = releasing.Source(
            order.build.folder,
            function,
            cluster.namespace,
            home.home(),
            workshop.store.hashes,
            workshop.watcher.said,
            workshop.cancellation,
            given.values,
        )
        released = releasing.release(source, dry_run=order.dry_run)
        for each in given.objects:
            cluster.apply(each, dry_run=order.dry_run, force=True)
        return released, None

    def way(self, _: Cluster, __: Object, url: str, ingress: str | None) -> Way:
        """By the gateway's own address: not every resolver knows names under localhost, and it may
        be told to listen elsewhere.
        """
        if ingress:
            message = "--ingress is of a cluster: the local platform has its gateway"
            raise UsageError(message, "leave it out, or say --platform knative")
        from mlfunc.platforms.local import starting
        from mlfunc.platforms.way import Way

        return Way(starting.ensure_running().url, urlsplit(url).netloc)


def _is_wanted(home: Home, start: Start) -> bool:
    """Whether one that does not run shall; what is deployed should, and only waits for somebody."""
    from mlfunc.platforms.local import resting

    return start == "always" or (start == "if deployed" and resting.has_deployed(home))


PLATFORM: Platform = Local()
