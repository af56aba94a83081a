"""Scaling on a real cluster, to zero and out under load, next to the simulation.

What the autoscaler should do is simulated with the same annotations, and printed beside what it did.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc import function
from mlfunc.knative import policies, simulation
from mlfunc.knative.instances import Serving

from tests.rig import load
from tests.rig.cluster import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mlfunc.knative.simulation import Moment, Outcome

    from tests.rig.cluster import Cluster

_SLEEPER = '''
import time


class Sleeper:
    """Sleeps."""

    example = {"seconds": 0.1}

    def predict(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds
'''
_COLD_START = 2.0  # of such a function, on a small machine
_WINDOW = 6
_SLOTS, _ROOM = 4, 6
_SERVE = {
    "slots": _SLOTS,
    "concurrency": _ROOM,
    "timeout": "30s",
    "drain": "1s",
    "hooks": {"timeout": "1s"},
}


@pytest.fixture(scope="module")
def sleeper(shared: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scaling") / "sleeper"
    scale = {"max": 3, "window": f"{_WINDOW}s"}
    shared.project(folder, _SLEEPER, serve=_SERVE, scale=scale)
    shared.mlfunc("deploy", "--path", folder)
    return folder


def test_an_idle_function_goes_to_zero_when_it_is_predicted_to(
    shared: Cluster, sleeper: Path, figure: Callable[[str], None]
) -> None:
    expected = _simulated(sleeper, 1.0, [0.0])
    with _watched(shared) as seen:
        assert shared.request("sleeper", {"seconds": 1.0}).status == 200
        ended = time.monotonic()
        eventually(lambda: seen.wanted == 0, "it is at zero")
        idle = time.monotonic() - ended

    predicted = expected.idle - expected.latency.longest
    figure(
        f"to zero {idle:.1f} s after the last reply, simulated {predicted:.1f} s"
        f" (window {_WINDOW} s); {seen}, simulated {_shown(expected.timeline)}"
    )
    assert idle >= _WINDOW - 2


def test_it_scales_out_under_load_as_simulated(
    shared: Cluster, sleeper: Path, figure: Callable[[str], None]
) -> None:
    requests, clients, takes = 120, 12, 1.0
    eventually(lambda: _wanted(shared) == 0, "it is at zero")
    with (
        load.client(shared.ingress, shared.host("sleeper"), lambda _: {"seconds": takes}) as send,
        _watched(shared) as seen,
    ):
        done = load.crowd(send, clients=clients, requests=requests)
        lasted = max(each.due + each.seconds for each in done.outcomes)
        eventually(lambda: seen.wanted == 0, "it is at zero")

    expected = _simulated(sleeper, takes, [each.due for each in done.outcomes])
    figure(f"{clients} clients, {requests} requests of {takes:g} s, in {lasted:.0f} s: {done}")
    figure(f"instances over time: {seen}")
    figure(f"      and simulated: {_shown(expected.timeline)}")
    assert done.failed == []
    assert seen.most == 3
    assert max(each.wanted for each in expected.timeline) == 3


def _simulated(folder: Path, takes: float, arrivals: list[float]) -> Outcome:
    """What should come of requests, by the project's own mlfunc.yaml."""
    serving = Serving(takes, _COLD_START, slots=_SLOTS, concurrency=_ROOM)
    return simulation.simulate(policies.of_function(function.load(folder)), serving, arrivals)


def _shown(timeline: tuple[Moment, ...]) -> str:
    """Each number that is wanted, from when on."""
    found = {each.at: each.wanted for each in timeline}
    return _steps(list(found.items()))


def _steps(moments: list[tuple[float, int]]) -> str:
    steps = [moment for n, moment in enumerate(moments) if not n or moment[1] != moments[n - 1][1]]
    return ", ".join(f"{wanted} at {at:.0f} s" for at, wanted in steps)


@dataclass
class Seen:
    """How many instances were wanted, and since when."""

    moments: list[tuple[float, int]] = field(default_factory=list)
    most: int = 0

    @property
    def wanted(self) -> int | None:
        """At last; None: nothing was wanted yet."""
        return self.moments[-1][1] if self.most else None

    def __str__(self) -> str:
        """For people."""
        return _steps(self.moments)


@contextmanager
def _watched(cluster: Cluster) -> Iterator[Seen]:
    seen, began, stop = Seen(), time.monotonic(), threading.Event()

    def look() -> None:
        while not stop.wait(0.3):
            wanted = _wanted(cluster)
            seen.most = max(seen.most, wanted)
            seen.moments.append((time.monotonic() - began, wanted))

    looker = threading.Thread(target=look)
    looker.start()
    try:
        yield seen
    finally:
        stop.set()
        looker.join()


def _deployment(cluster: Cluster) -> Any:
    return cluster.get("deployment", "sleeper-00001-deployment")


def _wanted(cluster: Cluster) -> int:
    """Instances that the autoscaler has asked for."""
    found: int = _deployment(cluster)["spec"]["replicas"]
    return found
