"""The Triggers of a function: which events of which broker it gets, and what if it fails."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any

from mlfunc.errors import UsageError
from mlfunc.function import seconds
from mlfunc.knative import filters, loops, names, sinks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlfunc.function import Function, Subscription

Object = dict[str, Any]

ORIGIN = "mlfunc.dev/origin"  # a label of what `mlfunc subscribe` made: deploy lets it be
_LONGEST_NAME = 63
_NO_TYPE = "dev.mlfunc.none"  # no event has it


def check(function: Function) -> list[str]:
    """Notes on its subscriptions.

    Raises:
        UsageError: one of them cannot be, or would give the function its own replies.

    """
    found = [
        note
        for index, each in enumerate(function.events.subscriptions)
        for note in _check(each, function, f"events.subscriptions[{index}]")
    ]
    _refuse_doubles(function)
    return found


def manifests(function: Function, namespace: str, owner: Object | None) -> list[Object]:
    """One Trigger for each subscription of mlfunc.yaml; `owner` is the Service, if it is there.

    Raises:
        UsageError: as `check`.

    """
    check(function)
    return [
        manifest(each, function.name, function.reply_type, namespace, owner)
        for each in function.events.subscriptions
    ]


def manifest(
    subscription: Subscription,
    function: str,
    reply_type: str,
    namespace: str,
    owner: Object | None,
) -> Object:
    """The Trigger of one subscription; it goes with the Service that owns it."""
    found = {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Trigger",
        "metadata": {
            "name": _name(function, subscription),
            "namespace": namespace,
            "labels": {names.OWNER: function, names.MANAGED_BY: "mlfunc"},
            "annotations": {names.REPLY_TYPE: reply_type},
        },
        "spec": {
            "broker": subscription.broker,
            # Tools read it without a look whether it is there; where there are filters, it only
            # tells them of the types.
            "filter": _old_filter(subscription),
            **({"filters": subscription.filters} if subscription.filters else {}),
            "delivery": _delivery(subscription, namespace),
            "subscriber": sinks.destination(f"ksvc:{function}", namespace),
        },
    }
    return owned(found, owner) if owner else found


def owned(trigger: Object, service: Object) -> Object:
    """The same, deleted with its Service."""
    reference = {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "name": service["metadata"]["name"],
        "uid": service["metadata"]["uid"],
    }
    return {**trigger, "metadata": {**trigger["metadata"], "ownerReferences": [reference]}}


def by_command(trigger: Object) -> Object:
    """The same, as `mlfunc subscribe` makes it."""
    meta = trigger["metadata"]
    return {**trigger, "metadata": {**meta, "labels": {**meta["labels"], ORIGIN: "command"}}}


def key(broker: str, filter_: Mapping[str, str], all_filters: Sequence[filters.Filter]) -> str:
    """What is taken, as text: the same for the same events, however that is written."""
    taken = all_filters or [{"exact": dict(filter_)}]
    return "\n".join([broker, *sorted(json.dumps(each, sort_keys=True) for each in taken)])


def key_of(trigger: Object) -> str:
    """The same of a Trigger."""
    spec = trigger["spec"]
    attributes = (spec.get("filter") or {}).get("attributes") or {}
    return key(spec.get("broker", ""), attributes, spec.get("filters") or [])


def prune(wanted: Sequence[Object], live: Sequence[Object]) -> list[str]:
    """The names of those that mlfunc.yaml had once and has no more."""
    kept = {each["metadata"]["name"] for each in wanted}
    return [
        each["metadata"]["name"]
        for each in live
        if each["metadata"]["name"] not in kept and is_of_file(each) and not is_going(each)
    ]


def closed() -> Object:
    """What changes a Trigger to one that no event passes."""
    return {"spec": {"filter": {"attributes": {"type": _NO_TYPE}}, "filters": None}}


def is_going(trigger: Object) -> bool:
    """Whether it is being deleted."""
    return "deletionTimestamp" in trigger["metadata"]


def is_ours(trigger: Object) -> bool:
    """Whether mlfunc made it."""
    return names.OWNER in trigger["metadata"].get("labels", {})


def is_of_file(trigger: Object) -> bool:
    """Whether `mlfunc deploy` made it, of mlfunc.yaml."""
    return is_ours(trigger) and not is_by_command(trigger)


def is_by_command(trigger: Object) -> bool:
    """Whether `mlfunc subscribe` made it."""
    return ORIGIN in trigger["metadata"].get("labels", {})


def problems(subscription: Subscription, at: str) -> Iterator[str]:
    """What is wrong with its filters, by the paths of their keys."""
    yield from filters.attribute_problems(subscription.filter, f"{at}.filter")
    yield from filters.problems(subscription.filters, f"{at}.filters")


def _check(subscription: Subscription, function: Function, at: str) -> Iterator[str]:
    if problem := next(problems(subscription, at), None):
        raise UsageError(problem)
    if note := loops.check(subscription, function.name, function.reply_type, at):
        yield note
    if subscription.filter and subscription.filters:
        yield f"{at}: filters count, filter does not: Knative takes one of them"


def _refuse_doubles(function: Function) -> None:
    seen: dict[str, int] = {}
    for index, each in enumerate(function.events.subscriptions):
        first = seen.setdefault(key(each.broker, each.filter, each.filters), index)
        if first != index:
            message = f"events.subscriptions[{index}] takes the same events as [{first}]"
            raise UsageError(message, "leave one of them out: each event would come twice")


def _name(function: str, subscription: Subscription) -> str:
    """Of a new Trigger: what it says of the function is cut, so the digest has it as well."""
    text = key(subscription.broker, subscription.filter, subscription.filters)
    digest = hashlib.sha256(f"{function}\n{text}".encode()).hexdigest()[:8]
    return f"{function[: _LONGEST_NAME - len(digest) - 3].rstrip('-')}-{digest}"


def _old_filter(subscription: Subscription) -> Object:
    attributes = subscription.filter or filters.exact_attributes(subscription.filters)
    return {"attributes": attributes} if attributes else {}


def _delivery(subscription: Subscription, namespace: str) -> Object:
    timeout, sink = subscription.timeout, subscription.dead_letter
    return {
        "retry": subscription.retry,
        "backoffPolicy": subscription.backoff.policy,
        "backoffDelay": _duration(subscription.backoff.delay),
        **({} if timeout is None else {"timeout": _duration(timeout)}),
        **({"deadLetterSink": sinks.destination(sink, namespace)} if sink else {}),
    }


def _duration(given: str | float) -> str:
    """In ISO 8601. Knative reads tenths of a second and drops what is smaller: a hundredth would be
    no time at all.
    """
    whole, tenths = divmod(math.ceil(round(seconds(given) * 10, 6)), 10)
    return f"PT{whole}.{tenths}S" if tenths else f"PT{whole}S"
