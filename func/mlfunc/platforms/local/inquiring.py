"""Whether this machine can run a function, and what of its mlfunc.yaml means nothing here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlfunc import accelerators
from mlfunc.cluster import kinds
from mlfunc.knative import capacity, nodes, preflight, references, subscriptions
from mlfunc.knative.facts import Finding
from mlfunc.models import places
from mlfunc.models.schemes import scheme

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlfunc.cluster.client import Cluster
    from mlfunc.cluster.kinds import Kind
    from mlfunc.function import Function

_KINDS = {"function": kinds.SERVICE, "Broker": kinds.BROKER}
_ONLY_IN_A_CLUSTER = {
    "pvc": "is a volume of a cluster",
    "oci": "is an image, which nodes of a cluster mount",
}


def examine(
    function: Function, is_there: Callable[[str], bool] = lambda path: Path(path).exists()
) -> tuple[Finding, ...]:
    """All that is found, refusals first."""
    return (
        *_models(function),
        *_accelerator(function, is_there),
        *_cesql(function),
        *_unused(function),
    )


def free(function: Function, cluster: Cluster) -> tuple[Finding, ...]:
    """How many of its accelerators are free now; of too few at all, the wait tells."""
    wanted = capacity.devices(function)
    if wanted is None:
        return ()
    here = cluster.list(kinds.NODE)
    able = [each for each in here if nodes.allocatable(each).get(wanted[0], 0) >= wanted[1]]
    pods = cluster.list(kinds.POD, everywhere=True)
    return tuple(capacity.free_of(function, able, pods, cluster.namespace)) if able else ()


def _models(function: Function) -> Iterator[Finding]:
    for name, model in function.all_models.items():
        variable = places.variable(name)
        reason = _ONLY_IN_A_CLUSTER.get(scheme(model.uri))
        if reason and variable not in function.plain_env:
            message = f"model {name}: {model.uri} {reason}"
            fix = f"name where it is on this machine, `env: {{{variable}: PATH}}`, or an address"
            yield Finding("refusal", message, f"{fix} of hf:// or s3://")


def _accelerator(function: Function, is_there: Callable[[str], bool]) -> Iterator[Finding]:
    kind = function.accelerator_type
    devices = accelerators.TABLE[kind].devices
    if devices and not any(map(is_there, devices)):
        message = f"accelerator {kind}: no {' or '.join(devices)} here"
        fix = "install its driver, deploy where there is one, or try it with `accelerator: cpu`"
        yield Finding("refusal", message, fix)


def _cesql(function: Function) -> Iterator[Finding]:
    for number, subscription in enumerate(function.events.subscriptions):
        if _has_cesql(subscription.filters):
            message = f"events.subscriptions[{number}] filters by CESQL, which only Knative reads"
            fix = "say it by exact, prefix, suffix, all, any and not; or deploy to a cluster"
            yield Finding("refusal", message, fix)


def dead_letters(
    function: Function, namespace: str, is_there: Callable[[Kind, str], bool]
) -> Iterator[Finding]:
    """Who is to get dead letters and is not there; a broker that it subscribes to will be."""
    named = {("Broker", each.broker) for each in function.events.subscriptions}
    for each in references.dead_letters(function):
        kind = _KINDS.get(each.kind)
        if kind is None:
            message = f"{each.by}: {each.kind} {each.name} would be of a cluster"
            yield Finding("refusal", message, "name ksvc:NAME, broker:NAME or a URL")
        elif (each.kind, each.name) not in named and not is_there(kind, each.name):
            of_broker = subscriptions.missing_broker(each.name, namespace, by_name=True)[1]
            fix = of_broker if each.kind == "Broker" else ""
            yield preflight.missing(each, namespace, fix)


def _has_cesql(found: object) -> bool:
    """Whether a filter is one, or has one within."""
    if isinstance(found, dict):
        return "cesql" in found or any(map(_has_cesql, found.values()))
    return isinstance(found, list) and any(map(_has_cesql, found))


def _unused(function: Function) -> Iterator[Finding]:
    if function.volumes:
        listed = ", ".join(volume.path for volume in function.volumes)
        message = (
            f"`volumes` are mounted in a cluster only: here, {listed} is as this machine has it"
        )
        yield Finding("note", message)
    if function.placement.node_selector or function.placement.tolerations:
        yield Finding("note", "`placement` chooses among nodes of a cluster: here is one machine")
