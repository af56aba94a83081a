"""Events on a cluster: in by a broker, out by it, delivered again, and never round in circles."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import yaml
from mlfunc.cluster import client

from tests.rig.cluster import ended, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.rig.cluster import Cluster, Ended

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
import time


class Worker:
    def load(self, context):
        self.done, self.after = {}, {}

    def predict(self, n: int | None = None, seconds: float = 0, fail: bool = False) -> dict:
        if n is None:
            return {"done": self.done, "after": self.after}
        self.done[n] = self.done.get(n, 0) + 1
        if fail:
            raise RuntimeError("as it was asked to")
        time.sleep(seconds)
        return {"n": n}

    def after_response(self, result, request):
        if "n" in result:
            self.after[result["n"]] = self.after.get(result["n"], 0) + 1
"""
# One instance each, always there: what they keep is in its memory.
_ALONE: dict[str, Any] = {
    "scale": {"min": 1, "max": 1},
    "resources": {"cpu": "20m", "memory": "64Mi", "limits": {"cpu": "1", "memory": "256Mi"}},
}
_JOBS: dict[str, Any] = {"filter": {"type": "job"}}


@dataclass(frozen=True)
class Broker:
    """A broker of a namespace, reached through the API server."""

    namespace: str
    name: str = "default"

    def send(self, type_: str, data: Any, **attributes: str) -> float:
        """One event; the seconds until the broker has it, with the in-memory channel delivered."""
        event = {
            "specversion": "1.0",
            "type": type_,
            "source": "/tests",
            "id": str(uuid.uuid4()),
            "datacontenttype": "application/json",
            "data": data,
            **attributes,
        }
        began = time.monotonic()
        eventually(lambda: self._takes(event), f"the broker takes {type_}")
        return time.monotonic() - began

    def _takes(self, event: dict[str, Any]) -> bool:
        """Whether it took it. A sender sends again what it did not: the in-memory channel still
        delivers to a Trigger that has just gone, and fails.
        """
        reply = client.connect(namespace=self.namespace).request(
            "POST",
            self._path(),
            body=event,
            content_type="application/cloudevents+json",
            read_seconds=120,
        )
        return reply.status == 202

    def _path(self) -> str:
        """Where its ingress is, from the address that it has in the cluster."""
        shown = ended(["kubectl", "get", "broker", self.name, "-n", self.namespace, "-o", "json"])
        address = urlsplit(json.loads(shown.ok().out)["status"]["address"]["url"])
        service, namespace, *_ = str(address.hostname).split(".")
        port = address.port or 80
        root = f"/api/v1/namespaces/{namespace}/services/http:{service}:{port}/proxy"
        return f"{root}{address.path}"


@dataclass(frozen=True)
class Stage:
    """The cluster with a broker, and two functions: `worker` answers, `collector` keeps."""

    cluster: Cluster
    broker: Broker
    worker: Path

    def events(self, type_: str = "") -> list[dict[str, Any]]:
        """What the collector has got, of a type or all."""
        found = json.loads(self.cluster.request("collector", {}).data)
        return [each for each in found if type_ in ("", each["type"])]

    def results(self) -> Counter[int]:
        """How often the collector has got each of the worker's answers."""
        return Counter(each["data"]["n"] for each in self.events("dev.mlfunc.worker.result"))

    def counted(self, what: str = "done") -> dict[int, int]:
        """How often the worker that runs now has done each number, or what is after it."""
        found = json.loads(self.cluster.request("worker", {}).data)[what]
        return {int(n): count for n, count in found.items()}

    def subscribe_worker(self, *subscriptions: dict[str, Any]) -> list[str]:
        """Deploy the worker with these, and wait until they deliver; the Triggers there are."""
        self.write(*subscriptions)
        self.cluster.mlfunc("deploy", "--path", self.worker)
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
        found: list[dict[str, Any]] = self.mlfunc("events", name, "-o", "json").data[
            "subscriptions"
        ]
        return found

    def mlfunc(self, *args: str, code: int = 0) -> Ended:
        """In the namespace of the stage."""
        return self.cluster.mlfunc(*args, "-n", self.cluster.namespace, code=code)


@pytest.fixture(scope="module")
def stage(shared: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    ended(["kn", "broker", "create", "default", "-n", shared.namespace]).ok()
    folder = tmp_path_factory.mktemp("projects")
    replies = {"filter": {"type": "dev.mlfunc.worker.result"}}
    collector = shared.project(
        folder / "collector", COLLECTOR, **_ALONE, events={"subscriptions": [replies]}
    )
    worker = shared.project(folder / "worker", WORKER, **_ALONE, serve={"slots": 2})
    shared.mlfunc("deploy", "--path", collector)
    made = Stage(shared, Broker(shared.namespace), worker)
    made.subscribe_worker(_JOBS)
    made.settled("collector")
    return made


def test_an_event_passes_the_filter_to_a_function_whose_answer_goes_to_the_next(
    stage: Stage, figure: Callable[[str], None]
) -> None:
    stage.broker.send("other", {"n": 1})
    seconds = stage.broker.send("job", {"n": 2})

    eventually(lambda: stage.results()[2], "the answer at the second function")
    assert (stage.results()[1], stage.counted()[2]) == (0, 1)
    answer = stage.events("dev.mlfunc.worker.result")[-1]
    assert (answer["source"], answer["data"]) == ("/mlfunc/worker", {"n": 2})
    figure(f"broker -> worker -> broker -> collector: {seconds * 1000:.0f} ms")


def test_an_event_that_comes_twice_is_worked_on_once_and_answered_once(stage: Stage) -> None:
    def send(_: int) -> float:
        return stage.broker.send("job", {"n": 20, "seconds": 0.5}, id="twenty")

    with ThreadPoolExecutor(3) as pool:
        assert len(list(pool.map(send, range(3)))) == 3
    send(3)

    eventually(lambda: stage.counted("after").get(20), "the hook after the answer")
    assert (stage.counted()[20], stage.counted("after")[20], stage.results()[20]) == (1, 1, 1)


def test_events_that_a_killed_pod_was_at_are_delivered_again(
    stage: Stage, figure: Callable[[str], None]
) -> None:
    numbers = range(30, 42)
    (pod,) = (each["metadata"]["name"] for each in stage.cluster.pods("worker"))

    with ThreadPoolExecutor(len(numbers)) as pool:
        began = time.monotonic()
        sent = [pool.submit(stage.broker.send, "job", {"n": n, "seconds": 1.0}) for n in numbers]
        eventually(lambda: _of(numbers, stage.results()), "the first answer")
        stage.cluster.kubectl("delete", "pod", pod, "--force", "--grace-period=0", "--wait=false")
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


def test_what_fails_each_time_goes_to_the_dead_letters(
    stage: Stage, figure: Callable[[str], None]
) -> None:
    which = ("worker", "--type", "doomed")
    stage.mlfunc("subscribe", *which, "--retry", "2", "--dead-letter", "ksvc:collector")

    seconds = stage.broker.send("doomed", {"n": 50, "fail": True})

    (letter,) = eventually(lambda: stage.events("doomed"), "the dead letter")
    assert letter["knativeerrorcode"] == "500"
    assert letter["data"] == {"n": 50, "fail": True}
    assert stage.counted()[50] == 3
    stage.mlfunc("unsubscribe", *which)
    figure(f"dead letter after 3 tries, {seconds:.1f} s")


def test_a_broker_that_is_missing_is_told_with_the_command_that_makes_it(stage: Stage) -> None:
    refused = stage.mlfunc("subscribe", "worker", "--broker", "late", "--type", "job", code=5)

    assert f"try: kn broker create late -n {stage.cluster.namespace}" in refused.err


def test_func_describe_shows_the_subscriptions(stage: Stage) -> None:
    shown = ended(["func", "describe", "worker", "-n", stage.cluster.namespace, "-o", "json"])

    assert json.loads(shown.ok().out)["subscriptions"] == [
        {"source": "", "type": "job", "broker": "default"}
    ]


def _of(numbers: range, counts: Mapping[int, int]) -> dict[int, int]:
    """What was counted of these, and was at all."""
    return {n: counts[n] for n in numbers if counts.get(n)}
