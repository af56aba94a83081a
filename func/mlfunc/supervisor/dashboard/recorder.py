"""What is remembered while nobody looks: the timeline, rates, starts and crashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlfunc.supervisor.dashboard import snapshot
from mlfunc.supervisor.dashboard.chronicle import Chronicle
from mlfunc.supervisor.dashboard.measures import Measures, Meter
from mlfunc.supervisor.dashboard.timeline import Sample, Timeline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlfunc.supervisor.dashboard.sources import Counted, Statistics
    from mlfunc.supervisor.parts import Fleet, Instance, Key


class Recorder:
    """Looks at fleet and gateway each time it is told to, and at an instance that changes."""

    def __init__(self, fleet: Fleet, statistics: Statistics) -> None:
        self.timeline = Timeline()
        self.chronicle = Chronicle()
        self.measured: Mapping[Key, Measures] = {}
        self.stats: Mapping[Key, Counted] = {}
        self._fleet = fleet
        self._statistics = statistics
        self._meters: dict[Key, Meter] = {}
        self._busy: set[Key] = set()

    @property
    def is_busy(self) -> bool:
        """Whether there was something to see the last time: else there is no need to look on."""
        return bool(self._busy)

    def observe(self, now: float) -> None:
        """Once a second: read the counters, and take a sample of each revision."""
        self.stats = self._statistics.stats()
        self.measured = {
            revision: self._meters.setdefault(revision, Meter()).read(now, counted)
            for revision, counted in self.stats.items()
        }
        for gone in self._meters.keys() - self.stats.keys():
            del self._meters[gone]
        self._sample(now)
        self.timeline.prune(now)

    def tell(self, instance: Instance, now: float) -> None:
        """An instance has changed: the timeline has it at that moment."""
        self.chronicle.tell(instance)
        self._sample(now, instance.revision)

    def _sample(self, now: float, revision: Key | None = None) -> None:
        found = snapshot.samples(self._fleet.instances(revision), self.stats, self.measured)
        if revision is not None:
            self.timeline.record(revision, now, found.get(revision, Sample()))
            return
        for each in self._busy | found.keys():
            self.timeline.record(each, now, found.get(each, Sample()))
        self._busy = set(found)
