"""All open connections: the idle ones are closed after a while, all of them at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gevent import get_hub
from gevent.event import Event

if TYPE_CHECKING:
    from mlfunc_runtime.http.connection import Connection

# Seconds before idle connections are closed at the end: a request that is on its way then is still
# answered, and its reply says that it was the last.
_LAST_WORDS = 0.2
# So many are closed in one go: each takes 0.05 ms, and ten thousand would hold up the hub.
_AT_ONCE = 100


class Limits(NamedTuple):
    """What a client may do. Bytes and seconds."""

    max_body: int = 64 * 2**20
    # Knative's queue-proxy keeps idle connections for 90 s; a server that closes first makes it
    # answer 502 now and then.
    idle: float = 120.0
    # A head must be there after so long, and a body bring `rate` bytes in each second of it.
    slow: float = 10.0
    rate: int = 1024
    # So long it may read nothing of its reply.
    send: float = 30.0
    # So long what is refused is still read.
    linger: float = 2.0
    # Of further requests so much is read ahead while one is under way.
    pipelined: int = 65536


class Connections:
    """Kept on the hub. `draining`: each reply is its connection's last."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.draining = False
        self._open: set[Connection] = set()
        self._none = Event()
        self._none.set()
        self._reaper: Any = None

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> None:
        """It has just been accepted."""
        self._open.add(connection)
        self._none.clear()
        if self._reaper is None:
            self._look_in(self.limits.idle)

    def remove(self, connection: Connection) -> None:
        """Nothing more is read from it."""
        self._open.discard(connection)
        if not self._open:
            self._none.set()

    def drain(self) -> None:
        """Let what is under way finish, and close what is idle."""
        self.draining = True
        self._look_in(_LAST_WORDS)

    def wait_until_none(self, seconds: float) -> bool:
        """Whether all were closed within `seconds`."""
        closed: bool = self._none.wait(seconds)
        return closed

    def _look_in(self, seconds: float) -> None:
        if self._reaper is not None:
            self._reaper.stop()
            self._reaper.close()
        self._reaper = get_hub().loop.timer(seconds)
        self._reaper.start(self._reap)

    def _reap(self) -> None:
        """Close what has been idle for too long; look again when the next one may be."""
        now = get_hub().loop.now()
        keep = 0.0 if self.draining else self.limits.idle
        due = [c for c in self._open if c.idle and c.since + keep <= now]
        for connection in due[:_AT_ONCE]:
            connection.retire()
        self._reaper = None
        if len(due) > _AT_ONCE:
            self._look_in(0)
        elif self._open:
            oldest = min((c.since for c in self._open if c.idle), default=now)
            self._look_in(max(_LAST_WORDS, oldest + keep - now))
