"""What the autoscaler will do for a function: when one more instance comes, who waits. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlfunc.knative import autoscaler, simulation, timeouts
from mlfunc.knative.instances import Serving

if TYPE_CHECKING:
    from mlfunc.function import Function
    from mlfunc.knative.autoscaler import Policy
    from mlfunc.knative.simulation import Moment, Outcome

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
        return f"{self.rate:g} requests a second, {lasts}"


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
    """All of it."""
    return Explanation(
        policy,
        serving,
        demand,
        second_at=autoscaler.enough(policy, 1),
        burst_at=autoscaler.burst(policy, 1),
        outcome=simulation.simulate(policy, serving, demand.arrivals()),
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
    gone = f"{policy.window:g} s after the last reply, and a few to decide it"
    return [
        ("target", f"{policy.target:g} requests in an instance, {_share(policy)}"),
        ("room", _room(serving)),
        ("instances", f"at least {policy.minimum}, {most}"),
        ("a second one", _second(found)),
        ("one less", _less(policy)),
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
    told, latency = found.outcome, found.outcome.latency
    late = f"; {told.timed_out} failed after {found.serving.timeout:g} s" if told.timed_out else ""
    times = f"p50 {latency.p50:.1f} s, p99 {latency.p99:.1f} s, longest {latency.longest:.1f} s"
    back = f"back at {found.policy.minimum} after {told.idle:.0f} s"
    paid = f"{told.instance_seconds:.0f} s of instances"
    return f"{told.answered} replies: {times}{late}; {back}, {paid} in all"


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
    if found.second_at < 1:
        return "at once: one request is more than the target"
    many = f"more than {found.burst_at:g} requests at once"
    return f"for {many}, on average of {policy.panic_seconds:g} s"


def _less(policy: Policy) -> str:
    delay = f", and {policy.delay:g} s later" if policy.delay else ""
    calm = f"{policy.window:g} s after a burst at the earliest"
    return f"for a lower average of {policy.window:g} s{delay}; {calm}"


def _mode(moment: Moment) -> str:
    return "burst" if moment.panics else ""
