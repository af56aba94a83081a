"""Events on a cluster: what a killed pod had of them, and how `func` shows who gets them."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.rig.cluster import ended, eventually
from tests.rig.places import OnKnative
from tests.rig.stage import Stage, staged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.rig.cluster import Cluster


@pytest.fixture(scope="module")
def stage(shared: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return staged(OnKnative(shared), tmp_path_factory.mktemp("projects"))


def test_events_that_a_killed_pod_was_at_are_delivered_again(
    shared: Cluster, stage: Stage, figure: Callable[[str], None]
) -> None:
    numbers = range(30, 42)
    (pod,) = (each["metadata"]["name"] for each in shared.pods("worker"))

    with ThreadPoolExecutor(len(numbers)) as pool:
        began = time.monotonic()
        sent = [pool.submit(stage.place.send, "job", {"n": n, "seconds": 1.0}) for n in numbers]
        eventually(lambda: _of(numbers, stage.results()), "the first answer")
        shared.kubectl("delete", "pod", pod, "--force", "--grace-period=0", "--wait=false")
        before = _of(numbers, stage.results())
        for each in sent:
            each.result()
    eventually(lambda: len(_of(numbers, stage.results())) == len(numbers), "all answers")
    seconds = time.monotonic() - began

    again = _of(numbers, stage.counted())
    assert len(before) < len(numbers)
    assert set(_of(numbers, stage.results()).values()) == {1}
    assert set(again.values()) == {1}
    figure(
        f"{len(numbers)} events, pod killed after {len(before)}: {len(again)} delivered again,"
        f" all answered once in {seconds:.1f} s"
    )


@pytest.mark.usefixtures("stage")
def test_func_describe_shows_the_subscriptions(shared: Cluster) -> None:
    shown = ended(["func", "describe", "worker", "-n", shared.namespace, "-o", "json"])

    assert json.loads(shown.ok().out)["subscriptions"] == [
        {"source": "", "type": "job", "broker": "default"}
    ]


def _of(numbers: range, counts: Mapping[int, int]) -> dict[int, int]:
    """What was counted of these, and was at all."""
    return {n: counts[n] for n in numbers if counts.get(n)}
