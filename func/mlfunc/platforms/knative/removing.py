"""A function taken from its cluster: first what goes and what stays, then the deed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlfunc.cluster import kinds, watching
from mlfunc.cluster.failures import permitted
from mlfunc.cluster.watching import Topic
from mlfunc.errors import ClusterFailed
from mlfunc.knative import names, schedules, sinks, subscriptions
from mlfunc.platforms.knative import events, reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mlfunc.cluster.client import Cluster, Object
    from mlfunc.cluster.kinds import Kind
    from mlfunc.platforms.knative.addressing import Addressed

# A pod that drains goes when it has, and that is at most what Knative gives a request.
_SPARE_SECONDS = 60
_DEFAULT_TIMEOUT = 300
_SENDERS = (kinds.TRIGGER, kinds.BROKER, kinds.PING_SOURCE)


@dataclass(frozen=True)
class Removal:
    """What goes: objects by their names. `kept` are claims of models, which stay."""

    name: str
    service: Object
    revisions: tuple[str, ...]
    pods: tuple[str, ...]
    triggers: tuple[str, ...]
    pings: tuple[str, ...]
    claims: tuple[str, ...]
    kept: tuple[str, ...]
    orphans: tuple[str, ...]  # what others have made that goes on sending events to it
    bereaved: tuple[str, ...]  # whose dead letters it gets


def plan(addressed: Addressed, *, models: bool) -> Removal:
    """What deleting a function takes with it; nothing is deleted yet.

    Raises:
        NotFound: there is none.

    """
    service, name = reading.service(addressed), addressed.name
    triggers, brokers, pings = (_visible(addressed.cluster, kind) for kind in _SENDERS)
    to_it = subscriptions.of_function(triggers, name), schedules.of_function(pings, name)
    labels = f"{names.OWNER}={addressed.name}"
    claims = _names(permitted(lambda: addressed.cluster.list(kinds.CLAIM, labels=labels)) or ())
    return Removal(
        name=addressed.name,
        service=service,
        revisions=_names(reading.revisions(addressed)),
        pods=_names(reading.pods(addressed) or ()),
        triggers=_names([each for each in to_it[0] if _goes_with(each, service)]),
        pings=_names([each for each in pings if _goes_with(each, service)]),
        claims=claims if models else (),
        kept=() if models else claims,
        orphans=_titles(each for found in to_it for each in found if not _goes_with(each, service)),
        bereaved=_titles(
            each
            for each in (*triggers, *brokers)
            if _dead_letters(each) == f"ksvc:{name}" and not _goes_with(each, service)
        ),
    )


def remove(cluster: Cluster, removal: Removal) -> None:
    """Delete it: Triggers first, that no event comes for what is on its way out."""
    for name in removal.triggers:
        events.take_away(cluster, name, cluster.namespace)
    cluster.delete(kinds.SERVICE, removal.name)
    for name in removal.claims:
        cluster.delete(kinds.CLAIM, name)


def wait(cluster: Cluster, removal: Removal, told: Callable[[str], None]) -> None:
    """Wait until nothing of it is there; `told` gets what still is.

    Raises:
        ClusterFailed: it stays.

    """
    name, ours = removal.name, f"{names.OWNER}={removal.name}"
    awaited = [
        Topic(kinds.SERVICE, fields=f"metadata.name={name}"),
        Topic(kinds.POD, labels=f"{names.SERVICE}={name}", optional=True),
        *([Topic(kinds.TRIGGER, labels=ours)] if removal.triggers else []),
        # A claim that is kept is none to wait for.
        *([Topic(kinds.CLAIM, labels=ours)] if removal.claims else []),
    ]
    left: dict[Topic, tuple[str, ...]] = dict.fromkeys(awaited, ("",))
    with watching.follow(cluster, *awaited) as changes:
        for seen in changes.until(time.monotonic() + _patience(removal.service)):
            left[seen.topic] = _names(seen.objects)
            if not any(left.values()):
                return
            told(_sentence(left))
    raise ClusterFailed(f"{name} is being deleted, and not gone: {_sentence(left)}", _hint(cluster))


def _sentence(left: dict[Topic, tuple[str, ...]]) -> str:
    """`2 pods, 1 service`."""
    return ", ".join(
        f"{len(each)} {topic.kind.plural if len(each) > 1 else topic.kind.name.lower()}"
        for topic, each in left.items()
        if each
    )


def _hint(cluster: Cluster) -> str:
    return cluster.access.help or f"kubectl get pods -n {cluster.namespace}"


def _patience(service: Object) -> float:
    spec = (service["spec"].get("template") or {}).get("spec") or {}
    return float(spec.get("timeoutSeconds") or _DEFAULT_TIMEOUT) + _SPARE_SECONDS


def _goes_with(source: Object, service: Object) -> bool:
    """Whether it is ours, or the cluster's own tidying up takes it."""
    meta = source["metadata"]
    owners = {each["uid"] for each in meta.get("ownerReferences") or ()}
    ours = (meta.get("labels") or {}).get(names.OWNER) == service["metadata"]["name"]
    return ours or service["metadata"]["uid"] in owners


def _visible(cluster: Cluster, kind: Kind) -> list[Object]:
    """None without Knative Eventing, or the right."""
    return permitted(lambda: cluster.list(kind)) or []


def _dead_letters(found: Object) -> str:
    sink = (found["spec"].get("delivery") or {}).get("deadLetterSink")
    return sinks.written(sink) if sink else ""


def _titles(found: Iterable[Object]) -> tuple[str, ...]:
    """What each is called, and where it sends events."""
    return tuple(_title(each) for each in found)


def _title(found: Object) -> str:
    named = f"{found['kind']} {found['metadata']['name']}"
    to = found["spec"].get("subscriber")
    return f"{named}, to {sinks.written(to)}," if to else named


def _names(found: Sequence[Object]) -> tuple[str, ...]:
    return tuple(each["metadata"]["name"] for each in found)
