"""Quantities of Kubernetes: 500m, 2Gi. Pure."""

from __future__ import annotations

from typing import Any

_UNITS = {
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
    "Pi": 2.0**50,
}


def parse(text: str | float) -> float:
    """As a number: of cores, bytes, devices."""
    written = str(text)
    number = written.rstrip("mkKMGTPi")
    return float(number) * _UNITS.get(written[len(number) :], 1.0)


def of_pod(pod: dict[str, Any]) -> dict[str, float]:
    """What the containers of a pod ask for, together."""
    found: dict[str, float] = {}
    for container in pod["spec"]["containers"]:
        for resource, amount in container.get("resources", {}).get("requests", {}).items():
            found[resource] = found.get(resource, 0) + parse(amount)
    return found


def shown(resource: str, amount: float) -> str:
    """For people."""
    if resource in ("memory", "ephemeral-storage"):
        return f"{amount / 2**30:.3g}Gi"
    return f"{amount:g}"
