"""The Triggers of a function: which events of which broker it gets."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from mlfunc.function import seconds
from mlfunc.knative import names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc.function import Function, Subscription

Object = dict[str, Any]
BY_COMMAND = "mlfunc.dev/origin"  # of a Trigger that `mlfunc subscribe` made


def manifests(function: Function, namespace: str, owner: Object | None) -> list[Object]:
    """One for each subscription; they go with the Service that owns them, once it is there."""
    return [_trigger(function, each, namespace, owner) for each in function.events.subscriptions]


def prune(wanted: Sequence[Object], live: Sequence[Object]) -> list[str]:
    """The names of those that are not wanted any more."""
    kept = {each["metadata"]["name"] for each in wanted}
    return [
        each["metadata"]["name"]
        for each in live
        if each["metadata"]["name"] not in kept
        and BY_COMMAND not in each["metadata"].get("labels", {})
    ]


def _trigger(
    function: Function, subscription: Subscription, namespace: str, owner: Object | None
) -> Object:
    spec = {
        "broker": subscription.broker,
        "filter": {"attributes": subscription.filter},
        **({"filters": subscription.filters} if subscription.filters else {}),
        "delivery": _delivery(subscription),
        "subscriber": {
            "ref": {
                "apiVersion": "serving.knative.dev/v1",
                "kind": "Service",
                "name": function.name,
            }
        },
    }
    digest = hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:8]
    return {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Trigger",
        "metadata": {
            "name": f"{function.name}-{digest}",
            "namespace": namespace,
            "labels": {names.OWNER: function.name, names.MANAGED_BY: "mlfunc"},
            **({"ownerReferences": [_owned_by(owner)]} if owner else {}),
        },
        "spec": spec,
    }


def _owned_by(owner: Object) -> Object:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }


def _delivery(subscription: Subscription) -> Object:
    return {
        "retry": subscription.retry,
        "backoffPolicy": subscription.backoff.policy,
        "backoffDelay": f"PT{seconds(subscription.backoff.delay):g}S",
    }
