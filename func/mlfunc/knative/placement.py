"""The nodes that a function may run on: what its accelerator asks for, and what the user says.

Never a toleration of our own for the taint of accelerators: the feature is off by default, the
webhook would refuse the Service, and where nodes have the taint a plugin mostly tolerates it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlfunc.knative import capacity, syntax

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlfunc.function import Function, Toleration

Object = dict[str, Any]


def of(function: Function) -> Object:
    """For the spec of a revision."""
    selector, tolerated = capacity.selector(function), function.placement.tolerations
    return {
        **({"nodeSelector": selector} if selector else {}),
        **({"tolerations": [_toleration(each) for each in tolerated]} if tolerated else {}),
    }


def problems(function: Function) -> Iterator[str]:
    """What Kubernetes would not take of `placement`."""
    for key, value in capacity.selector(function).items():
        if not (syntax.is_key(key) and syntax.is_label(value)):
            own = key in function.placement.node_selector
            at = f"placement.nodeSelector.{key}" if own else "accelerator.product"
            yield f"{at}: no node can have the label {key}: {value}"
    for number, each in enumerate(function.placement.tolerations):
        if problem := _problem(each):
            yield f"placement.tolerations[{number}]: {problem}"


def _toleration(each: Toleration) -> Object:
    told = {
        "key": each.key,
        "operator": each.operator,
        "value": each.value,
        "effect": each.effect,
        "tolerationSeconds": each.toleration_seconds,
    }
    return {key: value for key, value in told.items() if value is not None}


def _problem(each: Toleration) -> str | None:
    if each.operator == "Equal" and not each.key:
        return "name the key of the taint, or write `operator: Exists`"
    if each.key and not syntax.is_key(each.key):
        return f"no taint can have the key {each.key}"
    if each.operator == "Exists" and each.value:
        return "`operator: Exists` takes no value"
    if each.value and not syntax.is_label(each.value):
        return f"no taint can have the value {each.value}"
    if each.toleration_seconds is not None and each.effect != "NoExecute":
        return "tolerationSeconds needs `effect: NoExecute`"
    return None
