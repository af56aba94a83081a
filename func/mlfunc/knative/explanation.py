"""What the autoscaler will do for a function: when one more instance comes, who waits. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlfunc.knative import autoscaler, simulation, timeouts
from mlfunc.knative.instances import Serving
from mlfunc.knative.wording import counted

if TYPE_CHECKING:
    from mlfunc.function import Function
    from mlfunc.knative.autoscaler import Policy
    from mlfunc.knative.simulation import Latency, Moment, Outcome

_MOST = 10_000
_STEADY_SECONDS = 120.0  # two windows: what comes of a rate is settled then


@dataclass(frozen=True)
class Demand:
    """Requests, all at once or so many a second; of a rate alone, two minutes."""

    requests: int | None = None
    rate: float | None = None

    def arrivals(self) -> list[float]:
        """Seconds at which they come."""
        if self.rate is None:
            return simulation.at_once(self.requests or 1)
        lasts = self.requests / self.rate if self.requests else _STEADY_SECONDS
        return simulation.steady(self.rate, lasts)

    def __str__(self) -> str:
        """In words."""
        if self.rate is None:
            return f"{self.requests} requests at once" if self.requests != 1 else "one request"
        lasts = "for 2 minutes" if self.requests is None else f"{self.requests} in all"
        return f"{counted(self.rate)} a second, {lasts}"


@dataclass(frozen=True)
class Explanation:
    """What it goes by, and what comes of a demand.

    `second_at`: requests at once that bring a second instance where there is one, on average of the
    window; `burst_at`: the same of the short window, which counts in a panic.
    """

    policy: Policy
    serving: Serving
    demand: Demand
    second_at: float
    burst_at: float
    outcome: Outcome


def explain(policy: Policy, serving: Serving, demand: Demand) -> Explanation:
    """All of it; of instances, at most ten thousand are simulated."""
    most = min(policy.maximum or _MOST, _MOST)
    simulated = replace(policy, minimum=min(policy.minimum, most), maximum=most)
    return Explanation(
        policy,
        serving,
        demand,
        second_at=autoscaler.enough(policy, 1),
        burst_at=autoscaler.burst(policy, 1),
        outcome=simulation.simulate(simulated, serving, demand.arrivals()),
    )


def serving(function: Function, prediction: float, cold_start: float) -> Serving:
    """How an instance of a function serves, if a call and a start take so many seconds."""
    serve = function.serve
    return Serving(
        prediction,
        cold_start,
        slots=serve.slots,
        batch=serve.batch.max_size,
        concurrency=serve.concurrency,
        timeout=timeouts.request_timeout(function),
    )


def facts(found: Explanation) -> list[tuple[str, str]]:
    """What it goes by, as names and sentences."""
    policy, serving = found.policy, found.serving
    most = f"at most {policy.maximum}" if policy.maximum else "no bound above"
    gone = f"{policy.window:g} s after the last reply, and up to 4 to notice it"
    return [
        ("target", f"{counted(policy.target)} in an instance, {_share(policy)}"),
        ("room", _room(serving)),
        ("instances", f"at least {policy.minimum}, {most}"),
        ("second", _second(found)),
        ("fewer", _fewer(policy)),
        ("none", gone if policy.minimum == 0 else "never: min keeps some"),
    ]


def rows(found: Explanation) -> list[tuple[str, ...]]:
    """The timeline, for a table of `HEADERS`."""
    return [
        (f"{each.at:g}", *map(str, (each.wanted, each.ready, each.waiting)), _mode(each))
        for each in found.outcome.timeline
    ]


HEADERS = ("seconds", "wanted", "ready", "waiting", "")


def summary(found: Explanation) -> str:
    """What became of the requests."""
    told = found.outcome
    answered = "one reply" if told.answered == 1 else f"{told.answered} replies"
    replies = f"{answered}: {_times(told.latency)}" if told.answered else "no reply"
    late = f"{told.timed_out} failed after {found.serving.timeout:g} s" if told.timed_out else ""
    back = f"back at {found.policy.minimum} after {told.idle:.0f} s"
    paid = f"{told.instance_seconds:.0f} instance-seconds"
    return "; ".join(each for each in (replies, late, f"{back}, {paid}") if each)


def _times(latency: Latency) -> str:
    return f"p50 {latency.p50:.1f} s, p99 {latency.p99:.1f} s, longest {latency.longest:.1f} s"


def _share(policy: Policy) -> str:
    return f"{policy.utilization:.0%} of {policy.total:g}".replace("%", " %")


def _room(serving: Serving) -> str:
    room = f"it takes {serving.concurrency}" if serving.concurrency else "it takes any number"
    slots = f"{serving.slots} slot" + ("s" if serving.slots != 1 else "")
    batch = f" for {serving.batch} each" if serving.batch > 1 else ""
    return f"{room}, for {slots}{batch}"


def _second(found: Explanation) -> str:
    policy = found.policy
    if policy.maximum == 1:
        return "never: max allows one"
    if found.burst_at < 1:
        return "with the first request, which alone is more than the target"
    averaged = f"on average of {policy.panic_seconds:g} s or of {policy.window:g} s"
    return f"for more than {counted(found.burst_at)} at once, {averaged}"


def _fewer(policy: Policy) -> str:
    delay = f" for {policy.delay:g} s" if policy.delay else ""
    calm = f"{policy.window:g} s after the last burst at the earliest"
    return f"once the average of {policy.window:g} s is lower{delay}; {calm}"


def _mode(moment: Moment) -> str:
    return "burst" if moment.panics else ""
