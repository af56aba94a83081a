"""How long is waited: before what failed starts again, before more of what is written is read."""

from __future__ import annotations

from dataclasses import dataclass

# A kubelet begins with 10 s. Here somebody sits before it, and mends what has failed.
_FIRST = 1.0
_LONGEST = 300.0
_RUN_WELL = 10.0
# What is read of one process: at once, and in a second. A line costs more than its bytes. What
# writes faster waits, as for any slow reader: it is not to take the gateway's time.
_BURST = 4e6
_RATE = 16e6
_LINE = 100


@dataclass(frozen=True)
class Backoff:
    """Pauses that double; of one that has run well, they begin anew."""

    pause: float = 0.0

    def after(self, served: float) -> Backoff:
        """What it is after an end, when it was ready for so many seconds before."""
        if served >= max(_RUN_WELL, 2 * self.pause):
            return Backoff(_FIRST)
        return Backoff(min(max(_FIRST, 2 * self.pause), _LONGEST))


class Meter:
    """What may be read of one process: a bucket that fills as time goes by."""

    def __init__(self, now: float) -> None:
        self._left = _BURST
        self._then = now

    def spend(self, chunk: bytes, now: float) -> float:
        """So much was read: how many seconds to wait before more is."""
        self._left = min(_BURST, self._left + (now - self._then) * _RATE)
        self._then = now
        self._left -= len(chunk) + _LINE * chunk.count(b"\n")
        return max(0.0, -self._left / _RATE)
