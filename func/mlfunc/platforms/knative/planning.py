"""What applying a release would change, by the word of the API server: nothing is changed yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlfunc import plan
from mlfunc.cluster import kinds
from mlfunc.cluster.failures import Conflict, permitted
from mlfunc.knative import names, remembering, rollout, schedules, service, succession, triggers
from mlfunc.platforms.knative import events

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlfunc.cluster.client import Cluster, Object
    from mlfunc.knative.release import Release
    from mlfunc.plan import Change, Difference, Plan

_OF_EVENTS = ("Trigger", "PingSource")


@dataclass(frozen=True)
class Wish:
    """What the command asks for besides the release."""

    percent: int | None = None  # of requests, for the new revision
    tag: str | None = None
    force: bool = False  # take over what others changed


@dataclass(frozen=True)
class Planned:
    """A plan, and the Service as it is now."""

    plan: Plan
    live: Object | None
    forced: bool  # the Service is applied so: what differs is ours, or was asked for

    @property
    def share(self) -> int:
        """Percent of the requests that the newest revision will get."""
        change = self.plan.of("Service")
        routed = change.manifest["spec"]["traffic"] if change and change.manifest else ()
        return sum(each.get("percent") or 0 for each in routed if each.get("latestRevision"))

    @property
    def brings_revision(self) -> bool:
        """Whether Knative will make a new revision."""
        change = self.plan.of("Service")
        return change is not None and (
            change.action == "create"
            or any(each.path.startswith("spec.template") for each in change.differences)
        )


def plan_release(cluster: Cluster, release: Release, wish: Wish) -> Planned:
    """Plan.

    Raises:
        Conflict: somebody else changed what this would change.
        MlfuncError: the cluster refuses it.

    """
    live = cluster.get(kinds.SERVICE, release.name, namespace=release.namespace)
    change, forced = _service(cluster, release, live, wish)
    of_events = (
        *_triggers(cluster, release, live, wish),
        *_schedules(cluster, release, live, wish),
    )
    changes = (change, *of_events)
    return Planned(plan.Plan(changes), live, forced)


def apply_triggers(cluster: Cluster, planned: Planned, owner: Object) -> None:
    """What a plan says of Triggers and PingSources, made to go with the Service that owns them."""
    namespace = owner["metadata"]["namespace"]
    for change in planned.plan.changes:
        if change.kind == "Trigger" and change.action == "delete":
            events.take_away(cluster, change.name, namespace)
        elif change.kind == "PingSource" and change.action == "delete":
            cluster.delete(kinds.PING_SOURCE, change.name, namespace=namespace)
        elif change.kind in _OF_EVENTS and change.manifest and change.action != "keep":
            cluster.apply(triggers.owned(change.manifest, owner), force=True)


def _service(
    cluster: Cluster, release: Release, live: Object | None, wish: Wish
) -> tuple[Change, bool]:
    """With its traffic as it is, where no new revision comes and nobody asked for another."""
    same = service.manifest(release, traffic=live["spec"].get("traffic") if live else None)
    change, forced = _planned(cluster, same, live, wish)
    brings = any(each.path.startswith("spec.template") for each in change.differences)
    if not (brings or wish.percent is not None or wish.tag):
        return change, forced
    status = live.get("status", {}) if live else {}
    newest = None if brings else status.get("latestCreatedRevisionName")
    routed = rollout.traffic(status.get("traffic", ()), wish.percent, wish.tag, newest=newest)
    return _planned(cluster, service.manifest(release, traffic=routed), live, wish)


def _triggers(
    cluster: Cluster, release: Release, live: Object | None, wish: Wish
) -> Iterator[Change]:
    there = {each["metadata"]["name"]: each for each in _triggers_of(cluster, release)}
    made = triggers.manifests(release.function, release.namespace, live)
    wanted = succession.settle(made, list(there.values()))
    for manifest in wanted:
        yield _planned(cluster, manifest, there.get(manifest["metadata"]["name"]), wish)[0]
    for name in triggers.prune(wanted, list(there.values())):
        yield plan.removal(there[name])


def _schedules(
    cluster: Cluster, release: Release, live: Object | None, wish: Wish
) -> Iterator[Change]:
    def ask() -> list[Object]:
        labels = f"{names.OWNER}={release.name}"
        return cluster.list(kinds.PING_SOURCE, labels=labels, namespace=release.namespace)

    found = ask() if release.function.schedule else permitted(ask) or []
    there = {each["metadata"]["name"]: each for each in found}
    wanted = schedules.manifests(release.function, release.namespace, live)
    for manifest in wanted:
        yield _planned(cluster, manifest, there.get(manifest["metadata"]["name"]), wish)[0]
    for name in schedules.prune(wanted, found):
        yield plan.removal(there[name])


def _triggers_of(cluster: Cluster, release: Release) -> list[Object]:
    """Those that mlfunc made. A cluster without events, or a user without a right to them, is no
    obstacle to a function without subscriptions.
    """

    def ask() -> list[Object]:
        labels = f"{names.OWNER}={release.name}"
        return cluster.list(kinds.TRIGGER, labels=labels, namespace=release.namespace)

    return ask() if release.function.events.subscriptions else permitted(ask) or []


def _planned(
    cluster: Cluster, manifest: Object, live: Object | None, wish: Wish
) -> tuple[Change, bool]:
    forced = wish.force
    try:
        after = cluster.apply(manifest, dry_run=True, force=forced)
    except Conflict as conflict:
        after = cluster.apply(manifest, dry_run=True, force=True)
        forced = True
        _refuse_to_trample(conflict, _change(manifest, live, after), live)
    return _change(manifest, live, after), forced


def _change(manifest: Object, live: Object | None, after: Object) -> Change:
    """Without what is kept on a Service for the next plan: that is no change."""
    if manifest["kind"] != kinds.SERVICE.name:
        return plan.change(manifest, live, after)
    own = remembering.kept(manifest, after["spec"]["template"])
    before = remembering.without(live) if live else None
    return plan.change(own, before, remembering.without(after))


def _refuse_to_trample(conflict: Conflict, change: Change, live: Object | None) -> None:
    """What differs may be ours, by another command; what others set is theirs. Who has written one
    field of a list owns all of it: what is still as it was applied, nobody has changed.
    """
    foreign = [(path, who) for path, who in conflict.fields if not who.startswith("mlfunc")]
    if not foreign:
        return
    within = tuple(path.lstrip(".") for path, _ in foreign)
    differences = [each for each in change.differences if each.path.startswith(within)]
    if live is not None and live["kind"] == kinds.SERVICE.name:
        touched = remembering.touched(live, differences or change.differences)
        if not touched:
            return
        differences = touched if differences else []
    raise Conflict(_told(foreign, change, differences), tuple(foreign))


def _told(
    foreign: Sequence[tuple[str, str]], change: Change, differences: Sequence[Difference]
) -> str:
    who = ", ".join(sorted({manager for _, manager in foreign}))
    lines = [
        f"  {each.path}: {_shown(each.before)}, and would be {_shown(each.after)}"
        for each in differences
    ]
    paths = [f"  {path.lstrip('.')}" for path, _ in foreign]
    return f"{change.kind} {change.name} was changed by {who}:\n" + "\n".join(lines or paths)


def _shown(value: Any) -> str:
    return "nothing" if value is None else plan.shown(value)
