"""Has the client left, or has it only said all it had to say?

Both arrive as the same end of input, and a client that half-closes still reads. What tells them
apart is a byte: a closed socket answers it with a reset. So the client is sent one that means
nothing: a 100 (Continue), which clients that did not ask for it discard (RFC 9110, section 15.2.1);
in a chunked body a leading zero of the next chunk's size (RFC 9112, section 7.1). HTTP/1.0 has
neither: such a client is taken to be there until a send fails.
"""

from __future__ import annotations

from _socket import SO_ERROR, SOL_SOCKET
from typing import TYPE_CHECKING, Any

from mlfunc_runtime.http.render import CONTINUE

if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable

    from mlfunc_runtime.http.writer import Writer

# Seconds before the byte is sent, so that a reply that is nearly ready goes out without it; and the
# longest time between two looks at the socket after it.
_GRACE, _LONGEST = 0.02, 0.5


class Departure:
    """Watches a client that sends no more; calls `lost` when it is gone."""

    def __init__(self, loop: Any, sock: socket, writer: Writer, lost: Callable[[], None]) -> None:
        self._sock = sock
        self._writer = writer
        self._lost = lost
        self._probe: bytes = CONTINUE
        self._wait = _GRACE
        self._loop = loop
        self._timer: Any = None

    def begin(self) -> None:
        """The input has ended while the client's request is under way."""
        self._again(self._ask)

    def streaming(self) -> None:
        """The head of a chunked reply is out."""
        self._probe = b"0"

    def end(self) -> None:
        """The reply is out."""
        self._stop()
        self._probe, self._wait = CONTINUE, _GRACE

    def _ask(self) -> None:
        if self._writer.busy:  # in the middle of a chunk; the write itself will tell
            self._again(self._ask)
        elif self._writer.try_write(self._probe):
            self._again(self._look)
        else:
            self._lost()

    def _look(self) -> None:
        if self._sock.getsockopt(SOL_SOCKET, SO_ERROR):
            self._lost()
        else:
            self._wait = min(2 * self._wait, _LONGEST)
            self._again(self._look)

    def _again(self, step: Callable[[], None]) -> None:
        self._stop()
        self._timer = self._loop.timer(self._wait)
        self._timer.start(step)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None
