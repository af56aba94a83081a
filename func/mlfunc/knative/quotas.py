"""Whether a namespace lets another instance of a function in: its quotas and its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlfunc.knative import capacity, quantities
from mlfunc.knative.facts import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlfunc.function import Function
    from mlfunc.knative.facts import Facts

Object = dict[str, Any]

_RAISE = "ask for less in `resources`, or have the quota raised"
# What a quota on it demands of every container, the queue-proxy that Knative adds included.
_DEMANDED = ("limits.cpu", "limits.memory", "requests.memory")


def examine(function: Function, facts: Facts) -> Iterator[Finding]:
    """What quotas have no room for, and what limits forbid."""
    asked = _asked(function)
    for quota in facts.quotas:
        yield from _exceeded(quota, asked)
        yield from _demanded(quota, facts)
    for limit in facts.limits:
        yield from _beyond(limit, function)


def _asked(function: Function) -> dict[str, float]:
    """What one instance counts for, by the names that quotas have."""
    limits = _limits(function)
    found = {"pods": 1.0, "limits.cpu": limits["cpu"], "limits.memory": limits["memory"]}
    for resource, amount in capacity.amounts(function).items():
        found[f"requests.{resource}"] = amount
        if resource in ("cpu", "memory"):
            found[resource] = amount
    return found


def _limits(function: Function) -> dict[str, float]:
    own = function.resources
    return {
        "cpu": quantities.parse(own.limits.cpu or own.cpu),
        "memory": quantities.parse(own.limits.memory or own.memory),
    }


def _exceeded(quota: Object, asked: Mapping[str, float]) -> Iterator[Finding]:
    name, status = quota["metadata"]["name"], quota.get("status") or {}
    used = status.get("used") or {}
    for resource, hard in (quota["spec"].get("hard") or {}).items():
        most, taken = quantities.parse(hard), quantities.parse(used.get(resource, "0"))
        wanted = asked.get(resource, 0)
        told = (
            f"an instance counts for {resource} {quantities.shown(resource, wanted)}, "
            f"and quota {name} allows {hard}"
        )
        if wanted > most:
            yield Finding("refusal", told, _RAISE)
        elif wanted + taken > most:
            message = f"{told}, of which {used.get(resource)} is taken: it may not start"
            yield Finding("note", message, _RAISE)


def _demanded(quota: Object, facts: Facts) -> Iterator[Finding]:
    """A quota on limits refuses pods in which one container has none, as the queue-proxy has."""
    hard = quota["spec"].get("hard") or {}
    by_default = (facts.features or {}).get("queueproxy.resource-defaults", "disabled")
    wanted = [each for each in _DEMANDED if each in hard and not _defaulted(each, facts)]
    if wanted and by_default != "enabled":
        name = quota["metadata"]["name"]
        message = (
            f"quota {name} wants {', '.join(wanted)} of each container, and Knative gives its "
            "queue-proxy none: no pod may be made"
        )
        fix = (
            f"a LimitRange with defaults in namespace {facts.namespace}, or kubectl patch "
            "configmap config-features -n knative-serving --type merge "
            """-p '{"data":{"queueproxy.resource-defaults":"enabled"}}'"""
        )
        yield Finding("note", message, fix)


def _defaulted(name: str, facts: Facts) -> bool:
    kind, _, resource = name.partition(".")
    key = "default" if kind == "limits" else "defaultRequest"
    items = [item for limit in facts.limits for item in limit["spec"]["limits"]]
    return any(
        resource in (item.get(key) or {}) or resource in (item.get("default") or {})
        for item in items
        if item["type"] == "Container"
    )


def _beyond(limit: Object, function: Function) -> Iterator[Finding]:
    """What one container may not have."""
    name, limits = limit["metadata"]["name"], _limits(function)
    requests = {k: quantities.parse(getattr(function.resources, k)) for k in ("cpu", "memory")}
    for item in limit["spec"]["limits"]:
        if item["type"] != "Container":
            continue
        for resource, most in (item.get("max") or {}).items():
            if limits.get(resource, 0) > quantities.parse(most):
                told = f"limit range {name} allows {resource} {most} at most, and this is"
                message = f"{told} {quantities.shown(resource, limits[resource])}"
                yield Finding("refusal", message, "ask for less in `resources`")
        for resource, least in (item.get("min") or {}).items():
            if resource in requests and requests[resource] < quantities.parse(least):
                told = f"limit range {name} wants {resource} {least} at least, and this is"
                message = f"{told} {quantities.shown(resource, requests[resource])}"
                yield Finding("refusal", message, "ask for more in `resources`")
