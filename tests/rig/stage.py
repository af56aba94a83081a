"""A broker and two functions: a worker, whose answers go on to a collector that keeps them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
ALONE: dict[str, Any] = {
    "scale": {"min": 1, "max": 1},
    "resources": {"cpu": "20m", "memory": "64Mi", "limits": {"cpu": "1", "memory": "256Mi"}},
}
JOBS: dict[str, Any] = {"filter": {"type": "job"}}


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

    def counted(self, what: str = "done") -> dict[int, int]:
        """How often the worker that runs now has done each number, or what is after it."""
        found = json.loads(self.place.request("worker", {}).data)[what]
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


def staged(place: Place, folder: Path) -> Stage:
    """Both deployed, and subscribed: the worker to jobs, the collector to its answers."""
    place.make_broker()
    replies = {"filter": {"type": "dev.mlfunc.worker.result"}}
    collector = place.project(
        folder / "collector", COLLECTOR, **ALONE, events={"subscriptions": [replies]}
    )
    worker = place.project(folder / "worker", WORKER, **ALONE, serve={"slots": 2})
    place.mlfunc("deploy", "--path", collector)
    made = Stage(place, worker)
    made.subscribe_worker(JOBS)
    made.settled("collector")
    return made
