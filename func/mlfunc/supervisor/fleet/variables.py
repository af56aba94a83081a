"""What the process of an instance is told by its variables, beside what its revision says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlfunc import devices, ports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc.supervisor.parts import Blueprint

_HOST = "127.0.0.1"


def of(blueprint: Blueprint, taken: Sequence[str]) -> dict[str, str]:
    """All of them; `taken` are the accelerators that it sees."""
    return devices.showing(taken, blueprint.accelerator, {**blueprint.env, **_contract()})


def _contract() -> dict[str, str]:
    """It is reached from this machine alone. Its own port it chooses, and tells."""
    return {
        "PORT": "0",
        "MLFUNC_HOST": _HOST,
        "MLFUNC_METRICS_PORT": str(ports.free(_HOST)),  # there, 0 stands for none
        "PYTHONUNBUFFERED": "1",
    }
