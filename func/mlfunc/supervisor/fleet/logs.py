"""What all instances say: a folder for each revision, its journals, and whoever reads them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlfunc.supervisor.fleet import reading
from mlfunc.supervisor.fleet.journal import Journal, Place
from mlfunc.supervisor.parts import Key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection
    from pathlib import Path

    from mlfunc.supervisor.fleet.reading import Query

# Of instances that have ended, for each revision.
_KEPT_BYTES = 50_000_000
_KEPT_FILES = 40


class NoLog(LookupError):
    """There is none of that pod, or of what ran before in it; the message says so."""


@dataclass
class _Pod:
    """The journal of the process that runs, or ran last, and of the one before it."""

    revision: Key
    present: Journal
    previous: Journal | None = None


class Logs:
    """Those of the instances there are; of others, the newest files are kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pods: dict[tuple[str, str], _Pod] = {}

    def begin(self, revision: Key, instance: str) -> Journal:
        """The journal of a process that is started now."""
        at = (revision.namespace, instance)
        pod = self._pods.get(at)
        previous = self._put_aside(pod.present) if pod else None
        journal = Journal(self.place(revision, instance))
        self._pods[at] = _Pod(revision, journal, previous)
        return journal

    def end(self, revision: Key, instance: str) -> None:
        """The instance is gone."""
        self._pods.pop((revision.namespace, instance), None)
        self._prune(revision)

    def place(self, revision: Key, instance: str) -> Place:
        """Where its lines are."""
        return Place(self._of(revision) / f"{instance}.log")

    def read(self, namespace: str, pod: str, query: Query) -> AsyncIterator[bytes]:
        """What of it is asked for.

        Raises:
            NoLog: there is none.

        """
        found = self._pods.get((namespace, pod))
        if found is None:
            raise NoLog(f'pods "{pod}" not found')
        journal = found.previous if query.previous else found.present
        if journal is None:
            raise NoLog(f'previous terminated container of pod "{pod}" not found')
        return reading.read(journal, query)

    def revisions(self) -> set[Key]:
        """Those that have an instance."""
        return {pod.revision for pod in self._pods.values()}

    def forget(self, revisions: Collection[Key]) -> None:
        """All that is there of revisions other than these."""
        for folder in self._folder.glob("*/*"):
            if Key(folder.parent.name, folder.name) not in revisions:
                shutil.rmtree(folder, ignore_errors=True)

    def _put_aside(self, journal: Journal) -> Journal:
        newer = journal.place.newer
        aside = Place(newer.with_name(f"{newer.stem}.previous.log"))
        journal.place.move(aside)
        journal.place = aside
        return journal

    def _prune(self, revision: Key) -> None:
        """The oldest files go that are too many."""
        live = {name for _, name in self._pods}
        ended = [path for path in self._of(revision).glob("*.log*") if _instance(path) not in live]
        told = sorted(((path.stat(), path) for path in ended), key=lambda each: -each[0].st_mtime)
        size = 0
        for count, (facts, path) in enumerate(told, 1):
            size += facts.st_size
            if size > _KEPT_BYTES or count > _KEPT_FILES:
                path.unlink(missing_ok=True)

    def _of(self, revision: Key) -> Path:
        return self._folder / revision.namespace / revision.name


def _instance(path: Path) -> str:
    """Whose file it is."""
    return path.name.partition(".log")[0].removesuffix(".previous")
