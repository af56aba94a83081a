"""Whether a cluster can run a function, of what it shows: asked before anything is pushed.

What is not known is not held against it: the API server has the last word.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlfunc.knative import capacity, features, quotas, references, rescaling, timeouts, versions
from mlfunc.knative.facts import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlfunc.function import Function
    from mlfunc.knative.facts import Facts
    from mlfunc.knative.references import Reference
    from mlfunc.knative.release import Model

OLDEST = (1, 19)
_INSTALL = "https://knative.dev/docs/install"
# What Knative takes where its settings say nothing.
_LONGEST = 600
_MOST_AT_ONCE = 1000
_CREATE = {
    "Secret": "kubectl create secret generic",
    "ConfigMap": "kubectl create configmap",
    "ServiceAccount": "kubectl create serviceaccount",
    "Broker": "kn broker create",
    "Channel": "kn channel create",
}
_SHOW = {
    "PersistentVolumeClaim": "create it, or name another: kubectl get pvc",
    "Service": "create it, or name another: kubectl get services",
    "function": "deploy it first, or name another: mlfunc list",
}


def examine(
    function: Function, models: Sequence[Model], facts: Facts, registry: str = ""
) -> tuple[Finding, ...]:
    """All that is found, refusals first; before a build, there are no models yet.

    `registry` is the address of the image's.
    """
    found = [
        *_registry(registry),
        *_knative(function, facts),
        *_namespace(facts),
        *_features(function, models, facts),
        *_limits(function, facts),
        *_named(function, models, facts),
        *capacity.examine(function, facts),
        *quotas.examine(function, facts),
    ]
    return tuple(sorted(found, key=lambda each: each.severity != "refusal"))


def _knative(function: Function, facts: Facts) -> Iterator[Finding]:
    if facts.serving and not facts.serving.there:
        message = f"the cluster of context {facts.context} has no Knative Serving"
        yield Finding("refusal", message, f"install it: {_INSTALL}; --platform local needs none")
    if facts.serving and versions.is_before(facts.serving.version, OLDEST):
        message = (
            f"Knative Serving is {facts.serving.version}: mlfunc is tested with 1.19 and later"
        )
        yield Finding("note", message, f"upgrade it: {_INSTALL}")
    if function.events.subscriptions and facts.eventing and not facts.eventing.there:
        message = "`events.subscriptions` need Knative Eventing, which the cluster has not"
        yield Finding("refusal", message, f"install it: {_INSTALL}")


def _namespace(facts: Facts) -> Iterator[Finding]:
    if facts.has_namespace is False:
        message = f"there is no namespace {facts.namespace} in the cluster of {facts.context}"
        yield Finding("refusal", message, f"kubectl create namespace {facts.namespace}")


def _features(function: Function, models: Sequence[Model], facts: Facts) -> Iterator[Finding]:
    missing = features.missing(features.needed(function, models), facts.features)
    if missing:
        told = "; ".join(f"{each.by} needs {each.feature.flag}" for each in missing)
        yield Finding(
            "refusal", f"features of Knative are off: {told}", features.switch_on(missing)
        )


def _limits(function: Function, facts: Facts) -> Iterator[Finding]:
    """What an administrator lets nobody go beyond."""
    defaults = facts.defaults or {}
    longest = int(defaults.get("max-revision-timeout-seconds", _LONGEST))
    if facts.defaults is not None and (wanted := timeouts.request_timeout(function)) > longest:
        message = (
            f"a request may take {longest} s in this cluster, and this function needs {wanted}"
        )
        patch = features.patch("config-defaults", {"max-revision-timeout-seconds": str(wanted)})
        grace = "the activator's terminationGracePeriodSeconds has to be as long"
        yield Finding("refusal", message, f"a lower serve.timeout, or {patch}; {grace}")
    most = int(defaults.get("container-concurrency-max-limit", _MOST_AT_ONCE))
    if facts.defaults is not None and function.serve.concurrency > most:
        message = (
            f"`serve.concurrency` is {function.serve.concurrency}, and the cluster's limit {most}"
        )
        yield Finding("refusal", message, f"set it to {most} at most")
    bound = int((facts.autoscaler or {}).get("max-scale-limit", "0"))
    if bound and not 0 < function.scale.max <= bound:
        message = f"`scale.max` is {function.scale.max}, and the cluster's limit {bound}"
        yield Finding("refusal", message, f"set it to {bound} at most")
    if function.deploy.rollout == "recreate":
        yield from _recreation(facts)


def _recreation(facts: Facts) -> Iterator[Finding]:
    if facts.serving and versions.is_before(facts.serving.version, rescaling.SINCE):
        message = f"`rollout: recreate` needs Knative 1.21, and this is {facts.serving.version}"
        yield Finding("refusal", message, "upgrade it, or deploy with `rollout: rolling`")
    if not _starts_at_zero(facts):
        message = "`rollout: recreate` needs revisions that start without an instance"
        fix = features.patch("config-autoscaler", {"allow-zero-initial-scale": "true"})
        yield Finding("refusal", message, fix)


def _starts_at_zero(facts: Facts) -> bool:
    told = facts.autoscaler
    return told is None or told.get("allow-zero-initial-scale", "false").lower() == "true"


def _registry(registry: str) -> Iterator[Finding]:
    """A node takes a loopback address for its own; kind and k3d give it another meaning."""
    host = registry.partition("://")[2] or registry
    if re.match(r"(localhost|127\.[\d.]+|\[::1\])([:/]|$)", host):
        message = f"the nodes look for {host.partition('/')[0]} on themselves"
        fix = "a registry that they reach, unless they are set up to (as kind's local registry is)"
        yield Finding("note", message, fix)


def _named(function: Function, models: Sequence[Model], facts: Facts) -> Iterator[Finding]:
    if facts.has_namespace is False:
        return
    for reference in references.of(function, models):
        if reference in facts.named:
            yield from _missing(reference, facts.named[reference], facts)


def _missing(reference: Reference, keys: frozenset[str] | None, facts: Facts) -> Iterator[Finding]:
    what = f"{reference.kind} {reference.name}"
    if keys is None:
        yield missing(reference, facts.namespace)
    elif reference.by == references.PULL_SECRET and not keys & references.REGISTRY_KEYS.keys():
        message = f"{what} has no credentials of a registry: {reference.by} names it"
        away = f"kubectl delete secret {reference.name} -n {facts.namespace}"
        fix = f"make it anew, for its type cannot change: {away}"
        yield Finding("refusal", message, f"{fix}; {_creation(reference, facts.namespace)}")
    elif reference.key is not None and reference.key not in keys:
        has = f"; it has {', '.join(sorted(keys))}" if keys else "; it is empty"
        message = f"{what} has no key {reference.key}: {reference.by} names it{has}"
        yield Finding("refusal", message, "add the key, or name another in mlfunc.yaml")


def missing(reference: Reference, namespace: str, fix: str = "") -> Finding:
    """What is named is not there; `fix`, if something else than in a cluster makes it."""
    what = f"{reference.kind} {reference.name}"
    message = f"there is no {what} in namespace {namespace}: {reference.by} names it"
    return Finding("refusal", message, fix or _creation(reference, namespace))


def _creation(reference: Reference, namespace: str) -> str:
    if reference.by == references.PULL_SECRET:
        login = "--docker-server=... --docker-username=... --docker-password=..."
        return f"kubectl create secret docker-registry {reference.name} -n {namespace} {login}"
    command = _CREATE.get(reference.kind)
    if command is None:
        return f"{_SHOW[reference.kind]} -n {namespace}"
    key = f" --from-literal {reference.key}=..." if reference.key else ""
    return f"{command} {reference.name} -n {namespace}{key}"
