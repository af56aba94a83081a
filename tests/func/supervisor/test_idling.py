"""A supervisor with nothing to do ends after a while, and one with something does not."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Any

import pytest
from mlfunc.cluster import kinds
from mlfunc.supervisor.idling import Idle, Idleness
from mlfunc.supervisor.state.objects import Objects

SERVICE = ("serving.knative.dev/v1", "Service", kinds.SERVICE)
TRIGGER = ("eventing.knative.dev/v1", "Trigger", kinds.TRIGGER)


def named(api: str, kind: str, name: str = "a") -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {"namespace": "default", "name": name}}


def timers(objects: Objects, seconds: float, *steps: Any) -> list[bool]:
    """Whether it would end, from the beginning and after each step."""

    async def watched() -> list[bool]:
        with closing(Idleness(objects, Idle(seconds, lambda: None))) as idleness:
            found = [idleness.is_timed]
            for step in steps:
                step()
                found.append(idleness.is_timed)
        return [*found, idleness.is_timed]

    return asyncio.run(watched())


@pytest.mark.parametrize(("api", "kind", "row"), [SERVICE, TRIGGER], ids=["service", "trigger"])
def test_its_time_runs_while_nothing_is_deployed(api: str, kind: str, row: Any) -> None:
    objects = Objects()
    wanted = named(api, kind)

    found = timers(
        objects, 60, lambda: objects.write(wanted), lambda: objects.remove(row, "default", "a")
    )

    assert found == [True, False, True, False]


def test_what_was_deployed_before_counts() -> None:
    objects = Objects()
    objects.write(named(*SERVICE[:2]))
    assert timers(objects, 60) == [False, False]


def test_one_that_somebody_has_started_on_purpose_stays() -> None:
    assert timers(Objects(), 0) == [False, False]


def test_at_the_end_of_its_time_it_is_told_to_end() -> None:
    async def ended() -> None:
        ending = asyncio.Event()
        with closing(Idleness(Objects(), Idle(0.001, ending.set))):
            await ending.wait()

    asyncio.run(ended())
