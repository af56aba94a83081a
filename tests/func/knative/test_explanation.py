"""What the autoscaler will do, in words and rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from mlfunc.function import Batch, Function, Scale, Serve
from mlfunc.knative import explanation, policies
from mlfunc.knative.explanation import Demand

if TYPE_CHECKING:
    from mlfunc.knative.explanation import Explanation

_FUNCTION = Function(
    name="f",
    serve=Serve(slots=2, batch=Batch(max_size=2), concurrency=8),
    scale=Scale(max=3, window="40s"),
)


def explained(demand: Demand, *, starts: float = 5, minimum: int = 0) -> Explanation:
    policy = replace(policies.of_function(_FUNCTION), minimum=minimum, utilization=0.7)
    serving = explanation.serving(_FUNCTION, prediction=1, cold_start=starts)
    return explanation.explain(policy, serving, demand)


def test_it_tells_when_instances_come_and_go() -> None:
    assert dict(explanation.facts(explained(Demand(1)))) == {
        "target": "2.8 requests in an instance, 70 % of 4",
        "room": "it takes 8, for 2 slots for 2 each",
        "instances": "at least 0, at most 3",
        "second": "for more than 2.8 requests at once, on average of 4 s or of 40 s",
        "fewer": "once the average of 40 s is lower; 40 s after the last burst at the earliest",
        "none": "40 s after the last reply, and up to 4 to notice it",
    }


def test_a_target_below_one_request_is_told_for_what_it_does() -> None:
    policy = replace(policies.of_function(_FUNCTION), total=1.0, utilization=0.7)
    serving = explanation.serving(_FUNCTION, prediction=1, cold_start=5)
    found = explanation.explain(policy, serving, Demand(1))

    assert "with the first request" in dict(explanation.facts(found))["second"]
    assert found.outcome.timeline[0].wanted == 2


def test_one_request_is_one() -> None:
    policy = replace(policies.of_function(_FUNCTION), total=1.0, utilization=1.0)
    serving = explanation.serving(_FUNCTION, prediction=1, cold_start=5)

    facts = dict(explanation.facts(explanation.explain(policy, serving, Demand(1))))
    assert facts["target"].startswith("1 request in an instance, ")
    assert facts["second"].startswith("for more than 1 request at once, ")
    assert str(Demand(rate=1.0)) == "1 request a second, for 2 minutes"


def test_what_bounds_forbid_is_told_so() -> None:
    found = explained(Demand(1), minimum=1)
    found = replace(found, policy=replace(found.policy, maximum=1))

    facts = dict(explanation.facts(found))
    assert facts["second"] == "never: max allows one"
    assert facts["none"] == "never: min keeps some"


@pytest.mark.parametrize(
    ("demand", "arrivals", "words"),
    [
        (Demand(3), [0.0, 0.0, 0.0], "3 requests at once"),
        (Demand(1), [0.0], "one request"),
        (Demand(3, 2.0), [0.0, 0.5, 1.0], "2 requests a second, 3 in all"),
    ],
)
def test_a_demand_is_requests_over_time(demand: Demand, arrivals: list[float], words: str) -> None:
    assert (demand.arrivals(), str(demand)) == (arrivals, words)


def test_a_rate_alone_lasts_two_minutes() -> None:
    assert len(Demand(rate=2.0).arrivals()) == 240
    assert str(Demand(rate=0.5)) == "0.5 requests a second, for 2 minutes"


def test_the_timeline_has_a_row_for_each_change() -> None:
    found = explained(Demand(4))

    assert explanation.rows(found)[0] == ("0", "1", "0", "4", "")
    assert explanation.summary(found) == (
        "4 replies: p50 6.0 s, p99 6.0 s, longest 6.0 s; back at 0 after 50 s, 94 instance-seconds"
    )


def test_requests_that_would_wait_too_long_are_counted() -> None:
    found = explained(Demand(2), starts=1000)

    assert "no reply; 2 failed after 90 s" in explanation.summary(found)
