"""Events: in by a broker, out by it, delivered again, and to the dead letters in the end."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.rig.cluster import eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rig.places import Place

# Keeps what it was sent; a plain request reads it.
COLLECTOR = """
class Collector:
    def load(self, context):
        self.events = []

    def predict(self, event=None):
        if event is None:
            return self.events
        attributes = {name: str(value) for name, value in event.get_attributes().items()}
        self.events.append({**attributes, "data": event.get_data()})
"""
# Counts what it did; a plain request without a number reads the counts.
WORKER = """
class Worker:
    def load(self, context):
        self.done = {}

    def predict(self, n: int | None = None, fail: bool = False) -> dict:
        if n is None:
            return self.done
        self.done[n] = self.done.get(n, 0) + 1
        if fail:
            raise RuntimeError("as it was asked to")
        return {"n": n}
"""
# One instance each, always there: what they keep is in its memory.
_ALONE: dict[str, Any] = {"scale": {"min": 1, "max": 1}}
_JOBS: dict[str, Any] = {"filter": {"type": "job"}}


@dataclass(frozen=True)
class Stage:
    """A broker, and two functions: `worker` answers, `collector` keeps."""

    place: Place
    worker: Path

    def events(self, type_: str = "") -> list[dict[str, Any]]:
        """What the collector has got, of a type or all."""
        found = json.loads(self.place.request("collector", {}).data)
        return [each for each in found if type_ in ("", each["type"])]

    def results(self) -> Counter[int]:
        """How often the collector has got each of the worker's answers."""
        return Counter(each["data"]["n"] for each in self.events("dev.mlfunc.worker.result"))

    def counted(self) -> dict[int, int]:
        """How often the worker has done each number."""
        found = json.loads(self.place.request("worker", {}).data)
        return {int(n): count for n, count in found.items()}

    def subscribe_worker(self, *subscriptions: dict[str, Any]) -> list[str]:
        """Deploy the worker with these, and wait until they deliver; the Triggers there are."""
        self.write(*subscriptions)
        self.place.mlfunc("deploy", "--path", self.worker)
        self.settled("worker")
        return self.triggers()

    def write(self, *subscriptions: dict[str, Any]) -> None:
        """Have the worker's mlfunc.yaml name these."""
        path = self.worker / "mlfunc.yaml"
        keys = yaml.safe_load(path.read_text())
        path.write_text(yaml.safe_dump({**keys, "events": {"subscriptions": list(subscriptions)}}))

    def triggers(self) -> list[str]:
        """Those of the worker, whoever made them."""
        return [each["trigger"] for each in self.shown("worker")]

    def settled(self, name: str) -> None:
        """Wait until it gets all that it is subscribed to."""
        eventually(
            lambda: all(each["ready"] for each in self.shown(name)), f"{name} gets its events"
        )

    def shown(self, name: str) -> list[dict[str, Any]]:
        """The subscriptions that `mlfunc events` shows."""
        told = self.place.mlfunc("events", name, "-o", "json").data
        found: list[dict[str, Any]] = told["subscriptions"]
        return found


@pytest.fixture(scope="module")
def stage(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    place.make_broker()
    folder = tmp_path_factory.mktemp("projects")
    replies = {"filter": {"type": "dev.mlfunc.worker.result"}}
    collector = place.project(
        folder / "collector", COLLECTOR, **_ALONE, events={"subscriptions": [replies]}
    )
    worker = place.project(folder / "worker", WORKER, **_ALONE, serve={"slots": 2})
    place.mlfunc("deploy", "--path", collector)
    made = Stage(place, worker)
    made.subscribe_worker(_JOBS)
    made.settled("collector")
    return made


def test_an_event_passes_the_filter_to_a_function_whose_answer_goes_to_the_next(
    stage: Stage,
) -> None:
    stage.place.send("other", {"n": 1})
    stage.place.send("job", {"n": 2})

    eventually(lambda: stage.results()[2], "the answer at the second function")
    assert (stage.results()[1], stage.counted()[2]) == (0, 1)
    answer = stage.events("dev.mlfunc.worker.result")[-1]
    assert (answer["source"], answer["data"]) == ("/mlfunc/worker", {"n": 2})


def test_an_event_that_comes_twice_is_worked_on_once_and_answered_once(stage: Stage) -> None:
    for _ in range(3):
        stage.place.send("job", {"n": 20}, id="twenty")
    stage.place.send("job", {"n": 21})

    eventually(lambda: stage.results()[21], "the answer to what came last")
    eventually(lambda: stage.results()[20], "the answer to what came thrice")
    assert stage.counted()[20] == 1


def test_what_fails_each_time_goes_to_the_dead_letters(stage: Stage) -> None:
    which = ("worker", "--type", "doomed")
    stage.place.mlfunc("subscribe", *which, "--retry", "2", "--dead-letter", "ksvc:collector")

    stage.place.send("doomed", {"n": 50, "fail": True})

    (letter,) = eventually(lambda: stage.events("doomed"), "the dead letter")
    assert letter["knativeerrorcode"] == "500"
    assert letter["data"] == {"n": 50, "fail": True}
    assert stage.counted()[50] == 3
    stage.place.mlfunc("unsubscribe", *which)


def test_a_function_is_not_subscribed_to_its_own_replies(stage: Stage) -> None:
    before = stage.triggers()
    stage.write({"filters": [{"prefix": {"type": "dev.mlfunc."}}]})

    refused = stage.place.mlfunc("deploy", "--path", stage.worker, code=2)
    stage.write(_JOBS)
    by_command = stage.place.mlfunc("subscribe", "worker", code=2)

    for each in (refused, by_command):
        assert "would give worker its own replies, of type dev.mlfunc.worker.result" in each.err
    assert stage.triggers() == before


def test_a_function_is_subscribed_at_once_until_it_is_unsubscribed(stage: Stage) -> None:
    of_file = stage.triggers()

    made = stage.place.mlfunc("subscribe", "worker", "--type", "extra", "-o", "json").data
    stage.place.send("extra", {"n": 60})
    eventually(lambda: stage.results()[60], "the answer to what it was subscribed to")
    assert set(stage.subscribe_worker(_JOBS)) == {*of_file, made["trigger"]}
    stage.place.mlfunc("unsubscribe", "worker", "--type", "extra")

    assert stage.triggers() == of_file
    stage.place.send("extra", {"n": 61})
    stage.place.send("job", {"n": 62})
    eventually(lambda: stage.results()[62], "the answer to what it is still subscribed to")
    assert stage.results()[61] == 0


def test_a_broker_that_is_missing_is_told(stage: Stage) -> None:
    args = ("subscribe", "worker", "--broker", "late", "--type", "job")

    refused = stage.place.mlfunc(*args, code=5)

    assert "there is no broker late" in refused.err


def test_dead_letters_for_who_is_not_there_are_refused_and_nothing_is_applied(
    stage: Stage,
) -> None:
    before = stage.triggers()

    for sink, missing in (("ksvc:nosuch", "function"), ("broker:nosuch", "broker")):
        args = ("subscribe", "worker", "--type", "job.late", "--dead-letter", sink)
        assert f"there is no {missing} nosuch" in stage.place.mlfunc(*args, code=5).err
        stage.write({**_JOBS, "dead_letter": sink})
        refused = stage.place.mlfunc("deploy", "--path", stage.worker, code=7)
        assert f"there is no {missing} nosuch" in refused.err.replace("Broker", "broker")

    stage.write(_JOBS)
    assert stage.triggers() == before


def test_another_filter_counts_from_the_next_deployment_on(stage: Stage) -> None:
    dialects = [{"prefix": {"type": "job."}}, {"not": {"suffix": {"type": ".tmp"}}}]

    assert len(stage.subscribe_worker({"filters": dialects})) == 1
    for n, kind in ((10, "job"), (11, "job.tmp"), (12, "job.new")):
        stage.place.send(kind, {"n": n})
    eventually(lambda: stage.results()[12], "the answer to what passes the new filter")
    assert {10, 11}.isdisjoint(stage.results())


def test_a_subscription_that_the_file_has_no_more_goes_with_its_trigger(stage: Stage) -> None:
    more = stage.subscribe_worker(_JOBS, {"filter": {"type": "more"}, "retry": 1})
    retries = {each["retry"] for each in stage.shown("worker")}

    fewer = stage.subscribe_worker(_JOBS)

    assert retries == {5, 1}
    assert (len(more), len(fewer)) == (2, 1)
    assert set(fewer) < set(more)
    deployed = stage.place.mlfunc("deploy", "--path", stage.worker, "-o", "json").data
    assert {each["action"] for each in deployed["changes"]} == {"keep"}
