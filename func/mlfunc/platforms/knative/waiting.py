"""Until a revision answers, or cannot."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from mlfunc.cluster import kinds
from mlfunc.errors import ClusterFailed

if TYPE_CHECKING:
    from mlfunc.cluster.client import Cluster


class Watcher(Protocol):
    """Who is told how far it is."""

    def phase(self, name: str) -> None:
        """The next part begins."""
        ...

    def said(self, text: str) -> None:
        """What it is at, in words."""
        ...


def wait(
    cluster: Cluster, name: str, *, generation: int, timeout: float | None, watcher: Watcher
) -> None:
    """Wait for a generation of a Service to be ready.

    Raises:
        ClusterFailed: it will not, or has not been in time.

    """
    watcher.phase("starting")
    until = time.monotonic() + (timeout or 600)
    while time.monotonic() < until:
        service = cluster.get(kinds.SERVICE, name) or {}
        status = service.get("status", {})
        ready = [each for each in status.get("conditions", ()) if each["type"] == "Ready"]
        if status.get("observedGeneration") == generation and ready:
            if ready[0]["status"] == "True":
                return
            if ready[0]["status"] == "False":
                raise ClusterFailed(f"{name} does not start: {ready[0].get('message')}")
        time.sleep(0.5)
    raise ClusterFailed(f"{name} was not ready in time")
