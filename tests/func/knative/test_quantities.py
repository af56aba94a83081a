from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.knative import quantities


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", 0.5),
        ("2", 2),
        (2, 2),
        ("1.5", 1.5),
        ("2Gi", 2**31),
        ("24581692Ki", 24581692 * 1024),
        ("1M", 1000000.0),
        ("1k", 1000.0),
        ("100n", 1e-07),
        ("2E", 2e18),
        ("1Ei", 2**60),
    ],
)
def test_a_quantity_is_a_number(text: str | float, number: float) -> None:
    assert quantities.parse(text) == pytest.approx(number)


@given(st.integers(0, 10**12), st.sampled_from(["", "m", "Ki", "Mi", "Gi", "Ti"]))
def test_what_is_shown_of_memory_is_near_what_it_is(number: int, unit: str) -> None:
    amount = quantities.parse(f"{number}{unit}")

    assert quantities.parse(quantities.shown("memory", amount)) == pytest.approx(amount, rel=0.01)


def test_an_amount_is_named_with_its_resource() -> None:
    assert quantities.named("memory", 1.5 * 2**30) == "memory 1.5Gi"
    assert quantities.named("limits.memory", 2**29) == "limits.memory 512Mi"
    assert quantities.named("nvidia.com/gpu", 2) == "nvidia.com/gpu 2"
    assert quantities.named("nvidia.com/gpu", 0) == "no nvidia.com/gpu"


def test_a_pod_asks_for_what_its_containers_ask_for_together() -> None:
    asked = [{"requests": {"cpu": "100m"}}, {"requests": {"cpu": "25m", "memory": "1Ki"}}, {}]
    pod = {"spec": {"containers": [{"resources": each} for each in asked]}}

    assert quantities.of_pod(pod) == {"cpu": pytest.approx(0.125), "memory": 1024}
