"""What a process writes: cut into lines, and the lines of the runtime that tools read."""

from __future__ import annotations

from typing import Any

from mlfunc import runner

# What has no line end by then gets one. The runtime's own longest lines are shorter.
LONGEST = 256 * 1024
_PHASE = b'"phase"'


class Lines:
    """Bytes come in, whole lines go out, without their ends."""

    def __init__(self) -> None:
        self._rest = b""

    def cut(self, chunk: bytes) -> list[bytes]:
        """Those that are whole now."""
        *lines, rest = (self._rest + chunk).split(b"\n")
        while len(rest) >= LONGEST:
            lines.append(rest[:LONGEST])
            rest = rest[LONGEST:]
        self._rest = rest
        return [part for line in lines for part in _parts(line)]

    def end(self) -> list[bytes]:
        """The last one, which nobody has ended."""
        rest, self._rest = self._rest, b""
        return _parts(rest) if rest else []


def phase(line: bytes) -> dict[str, Any] | None:
    """What a line says of a phase; None: it is another line."""
    if _PHASE not in line:
        return None
    found = runner.record(line)
    return found.fields if found and isinstance(found.fields.get("phase"), str) else None


def _parts(line: bytes) -> list[bytes]:
    """A record may follow on a progress bar that has not ended its line."""
    at = line.find(runner.MARK)
    if at <= 0 or runner.record(line[at:]) is None:
        return [line]
    return [line[:at], line[at:]]
