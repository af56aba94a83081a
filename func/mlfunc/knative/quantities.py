"""Quantities of Kubernetes: 500m, 2Gi."""

from __future__ import annotations

from typing import Any

_UNITS = {
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
    "Pi": 2.0**50,
    "Ei": 2.0**60,
}
_BYTES = ("memory", "ephemeral-storage")


def parse(text: str | float) -> float:
    """As a number: of cores, bytes, devices. 1e3 is one, too."""
    written = str(text)
    number = written.rstrip("numkKMGTPEi")
    return float(number) * (_UNITS[written[len(number) :]] if number != written else 1.0)


def of_pod(pod: dict[str, Any]) -> dict[str, float]:
    """What the containers of a pod ask for, together."""
    found: dict[str, float] = {}
    for container in pod["spec"]["containers"]:
        asked = (container.get("resources") or {}).get("requests") or {}
        for resource, amount in asked.items():
            found[resource] = found.get(resource, 0) + parse(amount)
    return found


def shown(resource: str, amount: float) -> str:
    """For people: memory in the unit that fits, the rest as a number."""
    if resource.removeprefix("requests.").removeprefix("limits.") not in _BYTES:
        return f"{amount:g}"
    unit = next((each for each in ("Gi", "Mi", "Ki") if amount >= _UNITS[each]), "")
    return f"{amount / _UNITS.get(unit, 1):.3g}{unit}"


def named(resource: str, amount: float) -> str:
    """With its resource: `cpu 2`, `no nvidia.com/gpu`."""
    return f"{resource} {shown(resource, amount)}" if amount else f"no {resource}"
