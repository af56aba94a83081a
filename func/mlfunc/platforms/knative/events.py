"""Subscriptions of a function that runs: read, added and taken away at once.

Those of mlfunc.yaml are `mlfunc deploy`'s business; here they are only read.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from mlfunc.cluster import failures, kinds, watching
from mlfunc.cluster.failures import permitted
from mlfunc.cluster.watching import Topic
from mlfunc.errors import NotFound, UsageError
from mlfunc.knative import loops, subscriptions, succession, triggers
from mlfunc.platforms.knative import outcomes, reading

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable

    from mlfunc.cluster.client import Cluster, Object
    from mlfunc.function import Subscription
    from mlfunc.knative.schedules import Scheduled
    from mlfunc.knative.subscriptions import Subscribed
    from mlfunc.platforms.knative.addressing import Addressed
    from mlfunc.platforms.knative.outcomes import Outcome


@dataclass(frozen=True)
class Overview:
    """Events in and out of a function; `outcomes`: where somebody counts them."""

    name: str
    namespace: str
    reply_type: str
    subscriptions: list[Subscribed]
    schedules: list[Scheduled]
    outcomes: list[Outcome] | None = None


@dataclass(frozen=True)
class Applied:
    """What subscribing came to; `note` is what to look out for."""

    action: Literal["created", "changed", "kept"]
    subscribed: Subscribed
    note: str


def overview(at: Addressed) -> Overview:
    """What it is subscribed to, whoever made it so.

    Raises:
        NotFound: there is no such function.

    """
    service, listed = reading.service(at), at.cluster.list
    found = _overview(at, service, listed(kinds.TRIGGER), listed(kinds.BROKER))
    schedules = reading.scheduled(at)
    sources = [each.trigger for each in found.subscriptions] + [each.source for each in schedules]
    return replace(found, schedules=schedules, outcomes=outcomes.counted(at.cluster, sources))


def follow(at: Addressed, until: float | None = None) -> Generator[Overview, None, None]:
    """The same, and again each time it changes; `until` is by `time.monotonic`, None: for ever.

    Raises:
        NotFound: there is no such function.

    """
    service, last = reading.service(at), None
    topics = Topic(kinds.TRIGGER), Topic(kinds.BROKER)
    seen: dict[Topic, tuple[Object, ...]] = {}
    with watching.follow(at.cluster, *topics) as changes:
        for each in changes.until(until):
            seen[each.topic] = each.objects
            if len(seen) < len(topics):
                continue
            found = _overview(at, service, *(seen[topic] for topic in topics))
            if found != last:
                yield found
            last = found


def subscribe(at: Addressed, wanted: Subscription) -> Applied:
    """Have a function get such events from now on, whatever its mlfunc.yaml says.

    Raises:
        NotFound: there is no such function, no such broker, or none for dead letters.
        UsageError: the filter is wrong, or takes the function's own replies.

    """
    service = reading.service(at)
    there = subscriptions.of_function(at.cluster.list(kinds.TRIGGER), at.name)
    reply_type = subscriptions.reply_type(service, there)
    note = _check(wanted, at.name, reply_type)
    brokers = _names(at.cluster.list(kinds.BROKER))
    if wanted.broker not in brokers:
        by_name = bool(at.cluster.access.named)
        raise NotFound(
            *subscriptions.missing_broker(wanted.broker, at.cluster.namespace, by_name=by_name)
        )
    _check_dead_letter(at.cluster, wanted.dead_letter or "", brokers)
    manifest = triggers.manifest(wanted, at.name, reply_type, at.cluster.namespace, service)
    before = _alike(there, manifest)
    if before is not None and not triggers.is_by_command(before):
        kept = subscriptions.read(before, brokers)
        return Applied("kept", kept, f"{kept.origin} has it: it stays as it is")
    placed = succession.place(triggers.by_command(manifest), there)
    after = at.cluster.apply(placed, force=True)
    return Applied(_action(before, after), subscriptions.read(after, brokers), note)


def wait(at: Addressed, subscribed: Subscribed, seconds: float) -> Subscribed:
    """A subscription once it is ready, else as it is after so long.

    Raises:
        NotFound: it was taken away meanwhile.

    """
    name = subscribed.trigger
    for shown in follow(at, time.monotonic() + seconds):
        found = next((each for each in shown.subscriptions if each.trigger == name), None)
        if found is None:
            raise NotFound(f"Trigger {name} was deleted meanwhile", f"mlfunc events {at.name}")
        if found.ready:
            return found
        subscribed = found
    return subscribed


def unsubscribe(at: Addressed, chosen: Callable[[Subscribed], bool]) -> list[Subscribed]:
    """Take away what is chosen; what it was.

    Raises:
        NotFound: there is no such function, or nothing is chosen.
        UsageError: another tool made it.

    """
    gone = [each for each in overview(at).subscriptions if chosen(each)]
    for each in gone:
        _refuse_foreign(each, at.cluster.namespace)
    if not gone:
        raise NotFound(f"{at.name} has no such subscription", f"mlfunc events {at.name}")
    for each in gone:
        take_away(at.cluster, each.trigger, at.cluster.namespace)
    return gone


def take_away(cluster: Cluster, trigger: str, namespace: str) -> None:
    """Delete a Trigger, from which no event comes any more.

    A channel delivers to it until what Knative made of it is gone, and fails all who send to the
    broker if there is no Trigger: so it is closed at once, and goes last.
    """
    try:
        cluster.patch(kinds.TRIGGER, trigger, triggers.closed(), namespace=namespace)
    except failures.Absent:
        return  # somebody else has
    path = kinds.TRIGGER.path(namespace, trigger)
    reply = cluster.request("DELETE", path, query={"propagationPolicy": "Foreground"})
    failures.check(reply, cluster.access)


def _overview(
    at: Addressed, service: Object, found: Iterable[Object], brokers: Iterable[Object]
) -> Overview:
    to_it = subscriptions.of_function(found, at.name)
    own = [each for each in to_it if not triggers.is_going(each)]
    there = _names(brokers)
    return Overview(
        name=at.name,
        namespace=at.cluster.namespace,
        reply_type=subscriptions.reply_type(service, own),
        subscriptions=[subscriptions.read(each, there) for each in own],
        schedules=[],
    )


def _names(found: Iterable[Object]) -> set[str]:
    return {each["metadata"]["name"] for each in found}


def _check(wanted: Subscription, function: str, reply_type: str) -> str:
    """The options stand for filters: a problem names its option, not the place among them."""
    if problem := next(triggers.problems(wanted, ""), None):
        raise UsageError(re.sub(r"^\.filters?(\[\d+\])?\.", "", problem))
    narrower = "name the type that it takes: --type TYPE"
    return loops.check(wanted, function, reply_type, "the subscription", narrower)


def _check_dead_letter(cluster: Cluster, sink: str, brokers: Collection[str]) -> None:
    """A Trigger whose dead letters go nowhere is never ready. Other kinds Knative looks for."""
    word, _, name = sink.partition(":")
    if word == "broker" and name not in brokers:
        by_name = bool(cluster.access.named)
        missing = subscriptions.missing_broker(name, cluster.namespace, by_name=by_name)
    elif word == "ksvc" and _is_known_missing(cluster, name):
        message = f"there is no function {name} in namespace {cluster.namespace}"
        missing = message, "deploy it first; mlfunc list shows those there are"
    else:
        return
    raise NotFound(f"--dead-letter {sink}: {missing[0]}", missing[1])


def _is_known_missing(cluster: Cluster, function: str) -> bool:
    """Not where this user may not look."""
    return permitted(lambda: cluster.get(kinds.SERVICE, function) is None) is True


def _action(before: Object | None, after: Object) -> Literal["created", "changed", "kept"]:
    if before is None:
        return "created"
    same = before["metadata"]["generation"] == after["metadata"]["generation"]
    return "kept" if same else "changed"


def _alike(found: Iterable[Object], wanted: Object) -> Object | None:
    """What takes the same, whoever made it: two would deliver each event twice."""
    key = triggers.key_of(wanted)
    stays = (each for each in found if not triggers.is_going(each))
    return next((each for each in stays if triggers.key_of(each) == key), None)


def _refuse_foreign(each: Subscribed, namespace: str) -> None:
    if each.origin == "another tool":
        message = f"Trigger {each.trigger} was not made by mlfunc"
        raise UsageError(message, f"kubectl delete trigger {each.trigger} -n {namespace}")
