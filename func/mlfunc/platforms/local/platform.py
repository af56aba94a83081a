"""The local platform: a supervisor of this user's, snapshots for images, a gateway on loopback."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlfunc.cluster.client import Cluster
from mlfunc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc.builder.assembly import Workshop
    from mlfunc.builder.building import Outcome as Built
    from mlfunc.builder.deciding import Request as Build
    from mlfunc.function import Function
    from mlfunc.knative.facts import Finding
    from mlfunc.knative.release import Model, Release
    from mlfunc.platforms.platform import Name, Order, Platform

_HELP = "mlfunc platform status shows whether it runs, and where its log is"


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

    def connect(self, _: str | None, namespace: str | None) -> Cluster:
        """The supervisor, which is started if it does not run; it has no contexts."""
        from mlfunc.platforms.local import connecting, starting

        starting.ensure_running()
        return Cluster(replace(connecting.open_(), named=self.title, help=_HELP), namespace)

    def check(self, build: Build) -> None:
        """No image is made: nothing about one makes sense."""
        given = {
            "--image": build.image,
            "--registry": build.registry,
            "--build-platform": build.platform,
            "--insecure": build.insecure,
        }
        for option in (option for option, value in given.items() if value):
            message = f"{option} is about an image, and the local platform needs none"
            raise UsageError(message, f"leave out {option}, or deploy with --platform knative")

    def inquire(
        self, cluster: Cluster, function: Function, _: Build, __: Sequence[Model] = ()
    ) -> tuple[Finding, ...]:
        """What of a function has no meaning here, or does not work."""
        from mlfunc.platforms.local import inquiring

        return inquiring.check(cluster, function)

    def release(self, order: Order, workshop: Workshop) -> tuple[Release, Built | None]:
        """A snapshot of the project's files, and an environment for it."""
        from mlfunc.platforms.local import releasing

        return releasing.release(order, workshop), None

    def way(self, _: Cluster, url: str, ingress: str | None) -> tuple[str, str | None]:
        """By the gateway's own address: not every resolver knows names under localhost."""
        if ingress:
            message = "--ingress is of a cluster: the local platform has its gateway"
            raise UsageError(message, "leave it out, or say --platform knative")
        from urllib.parse import urlsplit

        at = urlsplit(url)
        return f"http://127.0.0.1:{at.port}", at.netloc


PLATFORM: Platform = Local()
