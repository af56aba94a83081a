"""The functions that `mlfunc run` serves on this machine now, so that `mlfunc invoke` finds them.

Two files each: one is locked by the program that serves it, one says what it serves. The kernel
drops the lock with the program, however it ends: an entry whose lock nobody holds is stale, and no
process id can be mistaken for another's.
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
from mlfunc.suggest import closest

if TYPE_CHECKING:
    from pathlib import Path


class NotRunning(NotFound):
    """Nothing of that name runs here, not even something broken."""


@dataclass(frozen=True)
class Running:
    """A function that somebody runs; while it starts or is broken, it does not serve."""

    name: str
    folder: str
    url: str
    pid: int
    serves: bool = True

    def __str__(self) -> str:
        """As it is listed."""
        return f"{self.name} at {self.url}" if self.serves else f"{self.name} (does not serve now)"


class Publication:
    """What others are told of the function that this program runs, until it is closed."""

    def __init__(self) -> None:
        self._held = contextlib.ExitStack()
        self._entry: Path | None = None

    def close(self) -> None:
        """Tell nothing any more."""
        self._held.close()

    def tell(self, name: str, folder: Path, url: str, *, serves: bool) -> Running:
        """This is so from now on."""
        entry = Running(name, str(folder.resolve()), url, os.getpid(), serves)
        if self._entry is None:
            self._entry = self._open(paths.running())
        # Whole, or not there: it may be read at any moment.
        fresh = self._entry.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(entry)), encoding="utf-8")
        fresh.rename(self._entry)
        return entry

    def _open(self, root: Path) -> Path:
        root.mkdir(parents=True, exist_ok=True)
        lock, entry = root / f"{os.getpid()}.lock", root / f"{os.getpid()}.json"
        fcntl.flock(self._held.enter_context(lock.open("w")), fcntl.LOCK_EX)
        self._held.callback(lock.unlink, missing_ok=True)
        self._held.callback(entry.unlink, missing_ok=True)
        return entry


def everything() -> list[Running]:
    """All running functions, by name. What ended without tidying up is tidied up."""
    entries = (_read(path) for path in sorted(paths.running().glob("*.json")))
    return sorted((entry for entry in entries if entry), key=lambda entry: entry.name)


def resolve(target: str | None, folder: Path, *, named: bool = False) -> str:
    """The URL that a name, a URL, or nothing stands for; `named`: the folder was asked for.

    Raises:
        NotRunning: nothing of that name runs.
        NotFound: it does not serve, or it is not clear which is meant.

    """
    if target is not None and is_url(target):
        return target if "://" in target else f"http://{target}"
    entries = everything()
    if target is not None:
        same = [entry for entry in entries if entry.name == target]
        return _only(same, f"{target} does not run here", entries, target)
    here = [entry for entry in entries if entry.folder == str(folder.resolve())]
    if (folder / "mlfunc.yaml").is_file():
        # Whoever stands in a project means it, and not another that happens to run.
        return _only(here, "the function of this folder does not run", entries)
    if named:
        raise NotFound(f"no function's project in {folder.absolute()}", "name another with --path")
    return _only(here or entries, "no function runs here", entries)


def is_url(target: str | None) -> bool:
    """Whether it is one, perhaps as people type it: no function is called so."""
    return target is not None and (":" in target or "." in target)


def _only(candidates: list[Running], what: str, entries: list[Running], meant: str = "") -> str:
    match [entry for entry in candidates if entry.serves] or candidates:
        case [Running(serves=True) as entry]:
            return entry.url
        case [entry]:
            raise NotFound(f"{entry.name} does not serve now", "see its terminal: it tells why")
        case []:
            raise _not_there(what, [entry.name for entry in entries], meant)
        case several:
            listed = ", ".join(map(str, several))
            raise NotFound(f"several functions run here: {listed}", "name one, or its URL")


def _not_there(what: str, names: list[str], meant: str) -> NotRunning:
    close = closest(meant, names) if meant else None
    others = f"; did you mean {close}?" if close else f"; running: {', '.join(names)}"
    return NotRunning(what + (others if names else ""), "start it with `mlfunc run`, or name a URL")


def _read(path: Path) -> Running | None:
    lock = path.with_suffix(".lock")
    # What cannot be read as an entry is another version's, or another user's.
    with contextlib.suppress(FileNotFoundError, PermissionError, ValueError, TypeError):
        if _is_held(lock):
            return Running(**json.loads(path.read_text(encoding="utf-8")))
        path.unlink(missing_ok=True)
        lock.unlink(missing_ok=True)
    return None


def _is_held(lock: Path) -> bool:
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
