"""Who listens on a port of this machine, as far as this user may know. Linux says."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from mlfunc.supervisor import home as homes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PROC = Path("/proc")
_LISTENS = "0A"
_LONGEST = 60
# As `platforms.local.starting` begins one.
_SUPERVISOR = "mlfunc.supervisor"
_HOME = "--home="


def whose(port: int) -> str:
    """A program and its process id, or at least its user; empty: nobody knows."""
    found = next(_listening(port), None)
    if found is None:
        return ""
    inode, uid = found
    process = _holder(f"socket:[{inode}]")
    return f"{_program(process)} (process {process.name})" if process else homes.user(uid)


def _listening(port: int) -> Iterator[tuple[str, int]]:
    """The socket's inode and its user."""
    for table in ("net/tcp", "net/tcp6"):
        with contextlib.suppress(OSError), (_PROC / table).open(encoding="ascii") as lines:
            for fields in map(str.split, lines):
                if fields[3] == _LISTENS and fields[1].endswith(f":{port:04X}"):
                    yield fields[9], int(fields[7])


def _holder(socket: str) -> Path | None:
    for process in _PROC.iterdir():
        # Other users' are closed to us, and some end while they are looked at.
        with contextlib.suppress(OSError):
            if process.name.isdecimal() and any(
                str(each.readlink()) == socket for each in (process / "fd").iterdir()
            ):
                return process
    return None


def _program(process: Path) -> str:
    with contextlib.suppress(OSError):
        words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        if _SUPERVISOR in words:
            return _platform(homes.user(process.stat().st_uid), words)
        if text := " ".join(words).strip():
            return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return "a program"


def _platform(user: str, words: Sequence[str]) -> str:
    """Another supervisor, by whose it is: nobody shall end it by mistake."""
    told = (each.removeprefix(_HOME) for each in words if each.startswith(_HOME))
    return f"the local platform of {user} in {next(told, 'a home of its own')}"
