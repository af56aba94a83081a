"""The Triggers of a function: which events of which broker it gets, and what if it fails.

A Trigger is named by what it takes: another filter is another Trigger, while another number of
retries changes the one that is there, and no event is delivered by both.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any

from mlfunc.errors import UsageError
from mlfunc.function import seconds
from mlfunc.knative import filters, loops, names, sinks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlfunc.function import Function, Subscription

Object = dict[str, Any]

ORIGIN = "mlfunc.dev/origin"  # a label of what `mlfunc subscribe` made: deploy lets it be
BY_COMMAND = {ORIGIN: "command"}
# An annotation: what the function answers with, for those who see only the cluster.
REPLY_TYPE = "mlfunc.dev/reply-type"
_LONGEST_NAME = 63


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
    return {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Trigger",
        "metadata": {
            "name": name(subscription, function),
            "namespace": namespace,
            "labels": {names.OWNER: function, names.MANAGED_BY: "mlfunc"},
            "annotations": {REPLY_TYPE: reply_type},
            **({"ownerReferences": [_owned_by(owner)]} if owner else {}),
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


def name(subscription: Subscription, function: str) -> str:
    """Of the Trigger: the same for the same broker and filter, however that is written."""
    taken = subscription.filters or [{"exact": subscription.filter}]
    written = sorted(json.dumps(each, sort_keys=True) for each in taken)
    text = "\n".join([subscription.broker, *written])
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{function[: _LONGEST_NAME - 9].rstrip('-')}-{digest}"


def prune(wanted: Sequence[Object], live: Sequence[Object]) -> list[str]:
    """The names of those that mlfunc.yaml had once and has no more."""
    kept = {each["metadata"]["name"] for each in wanted}
    return [
        each["metadata"]["name"]
        for each in live
        if each["metadata"]["name"] not in kept and is_of_file(each)
    ]


def is_of_file(trigger: Object) -> bool:
    """Whether `mlfunc deploy` made it, of mlfunc.yaml."""
    labels = trigger["metadata"].get("labels", {})
    return names.OWNER in labels and ORIGIN not in labels


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
        first = seen.setdefault(name(each, function.name), index)
        if first != index:
            message = f"events.subscriptions[{index}] takes the same events as [{first}]"
            raise UsageError(message, "leave one of them out: each event would come twice")


def _old_filter(subscription: Subscription) -> Object:
    attributes = subscription.filter or filters.exact_attributes(subscription.filters)
    return {"attributes": attributes} if attributes else {}


def _owned_by(owner: Object) -> Object:
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }


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
