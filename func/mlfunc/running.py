"""The functions that `mlfunc run` serves on this machine now, so that `mlfunc invoke` finds them.

One file each, locked by the program that serves it. The kernel drops the lock with the program,
however it ends: a file that nobody holds is stale, and no process id can be mistaken for another's.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mlfunc import paths
from mlfunc.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Running:
    """A function that is served."""

    name: str
    folder: str
    url: str
    pid: int


@contextlib.contextmanager
def published(name: str, folder: Path, url: str) -> Iterator[Running]:
    """Let others find this function until the block ends."""
    root = paths.running()
    root.mkdir(parents=True, exist_ok=True)
    entry = Running(name, str(folder.resolve()), url, os.getpid())
    unlocked = root / f".{entry.pid}"
    path = root / f"{entry.pid}.json"
    with unlocked.open("w", encoding="utf-8") as file:
        # Locked before it has its name: whoever sees it sees it locked.
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(asdict(entry)))
        file.flush()
        unlocked.rename(path)
        try:
            yield entry
        finally:
            path.unlink(missing_ok=True)


def everything() -> list[Running]:
    """All running functions, by name. What ended without tidying up is tidied up."""
    entries = (_read(path) for path in sorted(paths.running().glob("*.json")))
    return sorted((entry for entry in entries if entry), key=lambda entry: entry.name)


def resolve(target: str | None, folder: Path) -> str:
    """The URL that a name, a URL, or nothing stands for.

    Raises:
        NotFound: nothing of that name runs, or it is not clear which is meant.

    """
    if target is not None and "://" in target:
        return target
    if target is not None and (":" in target or "." in target):
        # No function can be called so: it is a URL as people type it.
        return f"http://{target}"
    entries = everything()
    if target is not None:
        named = [entry for entry in entries if entry.name == target]
        return _only(named, f"{target} does not run here", entries)
    here = [entry for entry in entries if entry.folder == str(folder.resolve())]
    if (folder / "mlfunc.yaml").is_file():
        # Whoever stands in a project means it, and not another that happens to run.
        return _only(here, "the function of this folder does not run", entries)
    return _only(here or entries, "no function runs here", entries)


def _only(candidates: list[Running], what: str, entries: list[Running]) -> str:
    match candidates:
        case [entry]:
            return entry.url
        case []:
            others = f"; there are {', '.join(entry.name for entry in entries)}" if entries else ""
            raise NotFound(what + others, "start it with `mlfunc run`, or name a URL")
        case _:
            listed = ", ".join(f"{entry.name} at {entry.url}" for entry in candidates)
            raise NotFound(f"several functions run here: {listed}", "name one, or its URL")


def _read(path: Path) -> Running | None:
    # What cannot be read as an entry is another version's.
    unreadable = (FileNotFoundError, ValueError, TypeError)
    with contextlib.suppress(*unreadable), path.open(encoding="utf-8") as file:
        if _is_held(file.fileno()):
            return Running(**json.load(file))
        path.unlink(missing_ok=True)
    return None


def _is_held(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
