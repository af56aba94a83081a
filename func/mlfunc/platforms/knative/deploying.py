"""`mlfunc deploy`, from a project to a revision that answers: built, planned, applied, awaited."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mlfunc import function, shipping
from mlfunc.cluster import kinds
from mlfunc.errors import ClusterFailed, MlfuncError, UsageError
from mlfunc.knative import schedules, triggers
from mlfunc.knative import service as manifests
from mlfunc.platforms.knative import planning, recreating, waiting
from mlfunc.platforms.platform import Order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc.builder.assembly import Workshop
    from mlfunc.builder.building import Outcome as Built
    from mlfunc.builder.deciding import Request as Build
    from mlfunc.cluster.client import Cluster, Object
    from mlfunc.function import Function
    from mlfunc.knative.release import Release
    from mlfunc.platforms.knative.addressing import Where
    from mlfunc.platforms.knative.planning import Planned, Wish
    from mlfunc.platforms.knative.recreating import Held


class Watcher(Protocol):
    """Who is told how far it is."""

    def phase(self, name: str) -> None:
        """The next part begins."""
        ...

    def said(self, text: str) -> None:
        """What it is at, in words."""
        ...


@dataclass(frozen=True)
class Request:
    """What was asked for: the options of `mlfunc deploy`."""

    build: Build
    where: Where
    wish: Wish
    dry_run: bool = False
    wait: bool = True
    timeout: float | None = None  # seconds; None: as long as Knative itself waits


@dataclass(frozen=True)
class Deployed:
    """What it came to; `service` is as it was last seen, None after a dry run."""

    release: Release
    planned: Planned
    built: Built | None  # None: an image was named that is there
    service: Object | None
    seconds: float
    notes: tuple[str, ...]  # what is good to know of the platform
    place: str  # where it is, in words


def deploy(request: Request, workshop: Workshop) -> Deployed:
    """Bring a function to where it runs.

    Raises:
        MlfuncError: it cannot be built, the platform refuses it, or it does not start there.

    """
    began, watcher = time.monotonic(), workshop.watcher
    platform = request.where.chosen()
    platform.check(request.build)
    loaded = function.load(request.build.folder)
    manifests.check(loaded)
    of_events = triggers.check(loaded)
    schedules.check(loaded)
    _check(request, loaded)
    if not request.build.built_before:
        shipping.check(request.build.folder, loaded)
    watcher.phase(f"asking {platform.title}")
    cluster = request.where.connect(loaded, start="never" if request.dry_run else "always")
    notes = platform.inquire(cluster, loaded, request.build)
    order = Order(loaded, request.build, cluster, request.dry_run)
    release, built = platform.release(order, workshop)
    watcher.phase("planning")
    if release.models:
        notes = platform.inquire(cluster, loaded, request.build, release.models)
    planned = planning.plan_release(cluster, release, request.wish)
    applied = (
        None if request.dry_run else _apply_and_wait(cluster, release, planned, request, watcher)
    )
    of_platform = (each.message for each in notes)
    told = (*of_events, *of_platform, *release.notes, *_of_share(request.wish, planned))
    seconds = time.monotonic() - began
    return Deployed(release, planned, built, applied, seconds, told, cluster.place)


def _of_share(wish: Wish, planned: Planned) -> tuple[str, ...]:
    """What to say of a share that could not be had."""
    if wish.percent in (None, 100) or planned.share != 100:
        return ()
    return (f"no other revision gets requests: this one gets all, not {wish.percent} %",)


def _apply_and_wait(
    cluster: Cluster, release: Release, planned: Planned, request: Request, watcher: Watcher
) -> Object:
    """The Service first; its Triggers when it serves, for events come for the new revision."""
    recreates = planned.brings_revision and _recreates(release.function)
    held = recreating.let_go(cluster, planned.live) if recreates and planned.live else ()
    service = _apply_or_take_back(cluster, planned, held)
    try:
        if recreates:
            function = release.function
            service = recreating.start(cluster, function, service, held, request.timeout, watcher)
        elif request.wait:
            service = _wait(cluster, release, service, request.timeout, watcher)
    except waiting.Left:
        # As if nobody had wanted to wait.
        planning.apply_triggers(cluster, planned, service)
        raise
    planning.apply_triggers(cluster, planned, service)
    return service if request.wait else _seen(cluster, service)


def _apply_or_take_back(cluster: Cluster, planned: Planned, held: Sequence[Held]) -> Object:
    try:
        return _apply(cluster, planned)
    except MlfuncError:
        recreating.take_back(cluster, held)
        raise


def _apply(cluster: Cluster, planned: Planned) -> Object:
    """The Service as it is then; one that is as it should be is left alone."""
    change = planned.plan.of("Service")
    assert change is not None and change.manifest is not None  # noqa: S101, PT018
    if planned.live is not None and change.action == "keep":
        return planned.live
    return cluster.apply(change.manifest, force=planned.forced)


def _wait(
    cluster: Cluster, release: Release, service: Object, timeout: float | None, watcher: Watcher
) -> Object:
    mounted = sum(each.size for each in release.models if each.delivery == "volume")
    size = release.size + mounted
    return waiting.wait(cluster, service, timeout=timeout, watcher=watcher, size=size)


def _recreates(function: Function) -> bool:
    return function.deploy.rollout == "recreate"


def _check(request: Request, function: Function) -> None:
    """An accelerator of which there is no second cannot be shared, nor given back by nobody."""
    if _recreates(function) and request.wish.percent not in (None, 100):
        message = "`rollout: recreate` leaves no old revision that could get requests"
        raise UsageError(message, "leave out --traffic, or deploy with `rollout: rolling`")
    if _recreates(function) and not request.wait:
        message = "`rollout: recreate` swaps revisions step by step: it has to be waited for"
        raise UsageError(message, "leave out --no-wait")


def _seen(cluster: Cluster, applied: Object) -> Object:
    """As it is a moment later, when nobody waits."""
    name = applied["metadata"]["name"]
    found = cluster.get(kinds.SERVICE, name)
    if found is None:
        raise ClusterFailed(f"{name} was deleted while it was deployed", "mlfunc deploy")
    waiting.check_not_overtaken(cluster, found, applied)
    return found
