"""How often and when, by Knative's rules."""

from __future__ import annotations

import pytest
from mlfunc.supervisor.broker import delivery
from mlfunc.supervisor.broker.delivery import Policy


def _pauses(policy: Policy) -> list[float | None]:
    return [policy.pause(failures) for failures in range(1, policy.retry + 2)]


def test_an_exponential_pause_doubles() -> None:
    found = delivery.policy(
        {"retry": 3, "backoffPolicy": "exponential", "backoffDelay": "PT0.2S", "timeout": "PT2M"}
    )
    assert _pauses(found) == pytest.approx([0.2, 0.4, 0.8, None])
    assert found.timeout == 120


def test_a_linear_pause_begins_with_none_as_in_knative() -> None:
    found = delivery.policy({"retry": 3, "backoffPolicy": "linear", "backoffDelay": "PT2S"})
    assert _pauses(found) == [0, 2, 4, None]


def test_a_delay_without_a_policy_counts_for_nothing() -> None:
    assert _pauses(delivery.policy({"retry": 1, "backoffDelay": "PT2S"})) == [0, None]


def test_no_delivery_is_one_try() -> None:
    assert _pauses(delivery.policy({})) == [None]


def test_a_pause_has_an_end() -> None:
    assert Policy(5000, "exponential", 1.0).pause(4000) == 86_400


@pytest.mark.parametrize("status", [-1, 404, 408, 409, 429, 500, 503, 599])
def test_these_are_tried_again(status: int) -> None:
    assert delivery.is_tried_again(status)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 413, 415])
def test_these_are_not(status: int) -> None:
    assert not delivery.is_tried_again(status)


@pytest.mark.parametrize(
    ("iso", "seconds"),
    [("PT0.2S", 0.2), ("PT1M30S", 90), ("PT2H", 7200), ("P1DT1S", 86_401)],
)
def test_a_duration_is_read(iso: str, seconds: float) -> None:
    assert delivery.seconds(iso) == seconds


@pytest.mark.parametrize("iso", ["", "P", "PT", "5s", "PT5"])
def test_what_is_no_duration_is_refused(iso: str) -> None:
    with pytest.raises(ValueError, match="no duration of ISO 8601"):
        delivery.seconds(iso)
