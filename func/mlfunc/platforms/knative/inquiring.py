"""A cluster asked whether it can run a function: several questions at once, none of which writes.

What this user may not look at stays unknown, and is not held against the cluster.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from mlfunc import abreast
from mlfunc.cluster import kinds
from mlfunc.cluster.failures import Absent, Forbidden, permitted
from mlfunc.cluster.kinds import Kind
from mlfunc.errors import ClusterFailed
from mlfunc.knative import capacity, preflight, references
from mlfunc.knative.facts import Facts, Installed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlfunc.cluster.client import Cluster, Object
    from mlfunc.function import Function, Platform
    from mlfunc.knative.facts import Finding
    from mlfunc.knative.references import Reference
    from mlfunc.knative.release import Model

T = TypeVar("T")

_LIMIT_RANGE = Kind("", "v1", "limitranges", "LimitRange")
_ACCOUNT = Kind("", "v1", "serviceaccounts", "ServiceAccount")
_CHANNEL = Kind("messaging.knative.dev", "v1", "channels", "Channel")
_KINDS = {
    "Secret": kinds.SECRET,
    "ConfigMap": kinds.CONFIG_MAP,
    "PersistentVolumeClaim": kinds.CLAIM,
    "ServiceAccount": _ACCOUNT,
    "Broker": kinds.BROKER,
    "Channel": _CHANNEL,
    "Service": kinds.CORE_SERVICE,
    "function": kinds.SERVICE,
}
_SERVING, _EVENTING = "knative-serving", "knative-eventing"
_AT_ONCE = 8
_FEW = 8  # nodes
# What makes nodes as they are needed: Karpenter's API, and what the cluster autoscaler writes.
_KARPENTER = "/apis/karpenter.sh"
_AUTOSCALER_STATUS = "cluster-autoscaler-status"
_VERSION = "app.kubernetes.io/version"


def check(
    cluster: Cluster,
    function: Function,
    models: Sequence[Model] = (),
    *,
    registry: str = "",
    platform: Platform | None = None,
) -> tuple[Finding, ...]:
    """The notes on a function in a cluster that can run it.

    `registry` is that of its image, `platform` what that is for, if not as mlfunc.yaml says.

    Raises:
        ClusterFailed: it cannot, for the reasons that stand in the message.

    """
    if platform is not None:
        function = replace(function, build=replace(function.build, platform=platform))
    facts = _with_pods(cluster, inquire(cluster, function, models))
    found = preflight.examine(function, models, facts, registry)
    refuse(function, found)
    return found


def inquire(cluster: Cluster, function: Function, models: Sequence[Model] = ()) -> Facts:
    """What the cluster shows of what a function needs.

    Raises:
        ClusterFailed: it cannot be reached.

    """
    questions = {**_of_cluster(cluster), **_of_capacity(cluster, function)}
    named = references.of(function, models)
    asks: list[Callable[[], Any]] = [
        *questions.values(),
        *(_keys_of(cluster, each) for each in named),
    ]
    answers = abreast.each(lambda ask: ask(), asks, at_once=_AT_ONCE, stop=lambda: None)
    told = dict(zip(questions, answers[: len(questions)], strict=True))
    keys = dict(zip(named, answers[len(questions) :], strict=True))
    return Facts(
        context=cluster.access.context,
        namespace=cluster.namespace,
        named={each: found for each, found in keys.items() if found != _UNKNOWN},
        **{name: answer for name, answer in told.items() if answer is not None},
    )


_UNKNOWN = "unknown"


def _of_cluster(cluster: Cluster) -> dict[str, Callable[[], Any]]:
    """The questions on Knative and the namespace, by the fact that each gives."""
    return {
        "has_namespace": lambda: _is_there(cluster, kinds.NAMESPACE.path(None, cluster.namespace)),
        "serving": lambda: _installed(cluster, kinds.SERVICE, _SERVING, "controller"),
        "eventing": lambda: _installed(cluster, kinds.TRIGGER, _EVENTING, "eventing-controller"),
        "features": lambda: settings(cluster, "config-features"),
        "defaults": lambda: settings(cluster, "config-defaults"),
        "autoscaler": lambda: settings(cluster, "config-autoscaler"),
        "quotas": lambda: permitted(lambda: cluster.list(kinds.QUOTA)),
        "limits": lambda: permitted(lambda: cluster.list(_LIMIT_RANGE)),
    }


def _with_pods(cluster: Cluster, facts: Facts) -> Facts:
    """On a small cluster, all pods: whether there is room for one more. On a large one there is,
    most likely, and they are many.
    """
    few = facts.nodes is not None and 0 < len(facts.nodes) <= _FEW
    if not few or facts.pods is not None or facts.adds_nodes:
        return facts
    pods = permitted(lambda: cluster.list(kinds.POD, everywhere=True))
    return dataclasses.replace(facts, pods=pods)


def _of_capacity(cluster: Cluster, function: Function) -> dict[str, Callable[[], Any]]:
    """Those on nodes; all pods are looked at only for an accelerator, of which few are free."""
    found: dict[str, Callable[[], Any]] = {
        "nodes": lambda: permitted(lambda: cluster.list(kinds.NODE)),
        "adds_nodes": lambda: adds_nodes(cluster),
    }
    if capacity.devices(function):
        found["pods"] = lambda: permitted(lambda: cluster.list(kinds.POD, everywhere=True))
    return found


def adds_nodes(cluster: Cluster) -> bool:
    """Whether the cluster has something that makes nodes as they are needed, or may have."""
    status = kinds.CONFIG_MAP.path("kube-system", _AUTOSCALER_STATUS)
    return any(_is_there(cluster, path) is not False for path in (_KARPENTER, status))


def _is_there(cluster: Cluster, path: str) -> bool | None:
    """Whether the API server has something at a path; None: it may not be looked at."""
    status = cluster.request("GET", path).status
    return {200: True, 404: False}.get(status)


def _installed(cluster: Cluster, kind: Kind, namespace: str, name: str) -> Installed | None:
    there = _is_there(cluster, f"/apis/{kind.group}/{kind.version}")
    if there is None:
        return None
    return Installed(there, version(cluster, namespace, name))


def version(cluster: Cluster, namespace: str = _SERVING, name: str = "controller") -> str:
    """Of a part of Knative, as the label of its controller has it; empty: it does not tell."""
    found = permitted(lambda: cluster.get(kinds.DEPLOYMENT, name, namespace=namespace))
    labels: Mapping[str, str] = (found or {}).get("metadata", {}).get("labels") or {}
    return labels.get(_VERSION, "")


def settings(cluster: Cluster, name: str) -> dict[str, str] | None:
    """The data of a ConfigMap of Knative Serving; None, where this user may not look at it."""
    found = permitted(lambda: cluster.get(kinds.CONFIG_MAP, name, namespace=_SERVING))
    return None if found is None else found.get("data") or {}


def _keys_of(cluster: Cluster, reference: Reference) -> Callable[[], frozenset[str] | str | None]:
    """Of the data of an object, of which the values are forgotten at once."""

    def ask() -> frozenset[str] | str | None:
        try:
            found = cluster.get(_KINDS[reference.kind], reference.name)
        except (Forbidden, Absent):
            return _UNKNOWN
        return None if found is None else _keys(found, reference)

    return ask


def _keys(found: Object, reference: Reference) -> frozenset[str]:
    keys = frozenset({**(found.get("data") or {}), **(found.get("binaryData") or {})})
    if reference.by != references.PULL_SECRET:
        return keys
    types = references.REGISTRY_KEYS
    return frozenset(each for each in keys if types.get(each) == found.get("type"))


def refuse(function: Function, found: Sequence[Finding], where: str = "there") -> None:
    """Of what is found, raise what stands in the way: one reason is a sentence with its fix; of
    several, each has its own line and fix.

    Raises:
        ClusterFailed: there is something.

    """
    refusals = [each for each in found if each.severity == "refusal"]
    start = f"{function.name} cannot run {where}"
    if len(refusals) == 1:
        raise ClusterFailed(f"{start}: {refusals[0].message}", refusals[0].fix)
    if refusals:
        lines = [f"  {each.message}\n    {each.fix}" for each in refusals]
        raise ClusterFailed(f"{start}:\n" + "\n".join(lines))
