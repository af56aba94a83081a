"""What changes in a project while it is served: its code and settings, and its models.

Of code the system tells. A model is looked at, because it may lie anywhere, may not be there yet,
and is written for minutes: it has changed when it is no longer what it was and has come to rest.
"""

from __future__ import annotations

import fnmatch
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Self

# A database or a picture that the function writes is no reason to start again.
_WATCHED = ("*.py", "*.toml", "mlfunc.yaml", "requirements*.txt")
_NOT_WATCHED = ("test_*.py", "conftest.py")
_LOOK_SECONDS = 1.0
# So many times longer than a look takes is waited until the next: folders may be huge.
_IDLE_FACTOR = 20

Fingerprint = frozenset[tuple[str, int, int]]


@dataclass(frozen=True)
class Changed:
    """Files of the project were written."""

    names: list[str]


@dataclass(frozen=True)
class Unwatched:
    """The system does not tell of changes."""

    reason: str


class Watch:
    """Tells of changes, from threads of its own, until its block ends."""

    def __init__(self, folder: Path, tell: Callable[[Changed | Unwatched], None]) -> None:
        self._folder = folder
        self._tell = tell
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._models: Sequence[Path] = ()
        self._known: Fingerprint = frozenset()
        targets = (self._watch_code, self._look_at_models)
        self._threads = [threading.Thread(target=target, name="watch") for target in targets]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def models(self, paths: Iterable[Path]) -> None:
        """These are its models from now on, as they are now."""
        here = self._folder.resolve()
        # All of a project is no model of its own: it may write there.
        watched = [path for path in paths if not here.is_relative_to(path.resolve())]
        with self._lock:
            self._models, self._known = watched, fingerprint(watched)

    def _watch_code(self) -> None:
        try:
            for names in _changes(self._folder, self._stop):
                self._tell(Changed(names))
        except (OSError, RuntimeError) as error:
            # Too many folders for inotify, a file system that cannot tell.
            self._tell(Unwatched(str(error)))

    def _look_at_models(self) -> None:
        before: Fingerprint = frozenset()
        pause = _LOOK_SECONDS
        while not self._stop.wait(pause):
            began = time.monotonic()
            before = self._look(before)
            pause = max(_LOOK_SECONDS, _IDLE_FACTOR * (time.monotonic() - began))

    def _look(self, before: Fingerprint) -> Fingerprint:
        with self._lock:
            now = fingerprint(self._models)
            changed, self._known = now ^ self._known, now if now == before else self._known
        if changed and now == before:
            self._tell(Changed(sorted({Path(path).name for path, _, _ in changed})))
        return now


def fingerprint(paths: Iterable[Path]) -> Fingerprint:
    """Every file of these folders, or these files themselves, with size and time of change."""
    return frozenset(told for path in paths for file in _files(path) if (told := _look_at(file)))


def is_watched(path: str) -> bool:
    """Whether a change of this file of code or settings is a reason to start again."""
    name = Path(path).name
    return _matches(name, _WATCHED) and not _matches(name, _NOT_WATCHED)


def _changes(folder: Path, stop: threading.Event) -> Iterator[list[str]]:
    """The names of files that changed, each time that some did."""
    import watchfiles

    of_interest = watchfiles.DefaultFilter()
    for changes in watchfiles.watch(
        folder,
        watch_filter=lambda change, path: is_watched(path) and of_interest(change, path),
        stop_event=stop,
        rust_timeout=200,
        raise_interrupt=False,
    ):
        yield sorted({Path(path).name for _, path in changes})


def _files(path: Path) -> Iterator[str]:
    """What a model is made of; downloads keep what is half done in folders with a dot."""
    if path.is_file():
        yield str(path)
    for root, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        yield from (os.path.join(root, name) for name in names if not name.startswith("."))  # noqa: PTH118 - thousands


def _look_at(file: str) -> tuple[str, int, int] | None:
    try:
        status = os.stat(file)  # noqa: PTH116 - thousands of files, each second
    except OSError:
        # Renamed or removed meanwhile.
        return None
    return file, status.st_size, status.st_mtime_ns


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
