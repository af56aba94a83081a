"""A revision: its instances, the places in them, and the line of requests that wait for one.

A request gets a place in the instance that has the fewest; while none has room, it waits: first
come, first served, so many and so long as the bounds say.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

from mlfunc.supervisor.gateway.meter import Meter, Stats
from mlfunc.supervisor.gateway.replies import RETRY
from mlfunc.supervisor.gateway.upstream import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc.supervisor.gateway.exchange import Exchange
    from mlfunc.supervisor.parts import Key, Load

LINE_LIMIT = 10_000  # requests, as Knative's activator has it
LINE_BYTES = 64 * 2**20
_KEPT_LIMIT = 100  # idle connections to an instance
# Before the instance closes it, which it does after 120 s.
_IDLE = 90.0
# One that could not be reached, or broke off, is tried again after so long, if it has not left.
_UNREACHABLE = 0.2


class Place:
    """An instance, and the connections to it. `in_flight`: requests that it has."""

    def __init__(self, name: str, port: int, revision: Revision) -> None:
        self.name = name
        self.in_flight = 0
        self.leaving = False
        self.unreachable = False
        self._port = port
        self._revision = revision
        self._loop = revision.loop
        self._idle: list[Upstream] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._look: asyncio.TimerHandle | None = None

    def take(self, exchange: Exchange) -> None:
        """One more request."""
        self.in_flight += 1
        exchange.go(self)

    def release(self) -> None:
        """One less."""
        self.in_flight -= 1
        self._revision.freed(self)

    def kept(self) -> Upstream | None:
        """A connection that is open and idle."""
        while self._idle:
            upstream = self._idle.pop()
            if upstream.is_open:
                return upstream
            upstream.close()
        return None

    def keep(self, upstream: Upstream) -> None:
        """It is idle."""
        if self.leaving or len(self._idle) >= _KEPT_LIMIT:
            upstream.close()
            return
        upstream.since = self._loop.time()
        self._idle.append(upstream)

    def forget(self, upstream: Upstream) -> None:
        """It is closed."""
        if upstream in self._idle:
            self._idle.remove(upstream)

    def connect(self, exchange: Exchange) -> None:
        """Open a connection for it."""
        task = self._loop.create_task(self._open(exchange))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def shun(self) -> None:
        """No more requests for a moment: it does not answer as it should."""
        if not (self.unreachable or self.leaving):
            self.unreachable = True
            self._look = self._loop.call_later(_UNREACHABLE, self._look_again)

    def leave(self) -> None:
        """No more requests; those that it has go on."""
        self.leaving = True
        if self._look is not None:
            self._look.cancel()
        while self._idle:
            self._idle.pop().close()

    def sweep(self, now: float) -> None:
        """Close what was idle for too long: the oldest are first."""
        while self._idle and self._idle[0].since + _IDLE < now:
            self._idle.pop(0).close()

    async def _open(self, exchange: Exchange) -> None:
        try:
            _, upstream = await self._loop.create_connection(
                lambda: Upstream(self), "127.0.0.1", self._port
            )
        except OSError:
            self.shun()
            if not exchange.over:
                exchange.unreachable()
            return
        if exchange.over:
            self.keep(upstream)
        else:
            exchange.send_on(upstream)

    def _look_again(self) -> None:
        self._look, self.unreachable = None, False
        self._revision.freed(self)


class Revision:
    """`wake` is called when a request waits and there is no instance at all."""

    def __init__(
        self, key: Key, concurrency: int, timeout: float, wake: Callable[[Key], None]
    ) -> None:
        self.key = key
        self.concurrency = concurrency
        self.timeout = timeout
        self.loop = asyncio.get_running_loop()
        self.meter = Meter(self.loop.time)
        self.gone = False
        self._wake = wake
        self._places: dict[str, Place] = {}
        self._line: OrderedDict[Exchange, None] = OrderedDict()
        self._bytes = 0  # of bodies in the line
        # Without a reply, the oldest first, that is also the next to be too late.
        self._due: OrderedDict[Exchange, None] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    # What the control plane says.

    def join(self, name: str, port: int) -> None:
        """An instance is ready; one of the same name before is another."""
        self.leave(name)
        place = self._places[name] = Place(name, port, self)
        self.freed(place)

    def leave(self, name: str) -> None:
        """It gets no more requests."""
        place = self._places.get(name)
        if place is None or place.leaving:
            return
        place.leave()
        if not place.in_flight:
            del self._places[name]
        if self._line and not self._has_instance():
            self._wake(self.key)

    def load(self) -> Load:
        """Since this was last asked."""
        return self.meter.load(len(self._line))

    def stats(self) -> Stats:
        """All there is to know."""
        meter = self.meter
        return Stats(
            revision=self.key,
            requests=meter.requests,
            in_flight=sum(each.in_flight for each in self._places.values()),
            waiting=len(self._line),
            instances={each.name: each.in_flight for each in self._places.values()},
            statuses=dict(meter.statuses),
            times=tuple(meter.times),
            waits=tuple(meter.waits),
            held=meter.held,
            repeated=meter.repeated,
            broken=meter.broken,
        )

    def close(self, detail: str) -> None:
        """Nothing more: whoever waits is told why."""
        self.gone = True
        for exchange in list(self._line):
            exchange.fail(503, detail, RETRY)
        for name in list(self._places):
            self.leave(name)

    def sweep(self, now: float) -> None:
        """Close connections that were idle for too long."""
        for place in self._places.values():
            place.sweep(now)

    # What exchanges and places say.

    def admit(self, exchange: Exchange) -> None:
        """One more: to a place, into the line, or away."""
        exchange.came = self.meter.enter()
        self._expect(exchange)
        place = None if self._line else self._roomiest()
        if place is not None:
            place.take(exchange)
        elif self.gone:
            exchange.fail(503, f"{self.key.name} is not served any more", RETRY)
        elif len(self._line) >= LINE_LIMIT or self._bytes > LINE_BYTES:
            exchange.fail(503, f"too many requests wait for {self.key.name}", RETRY)
        else:
            self._wait(exchange)

    def again(self, exchange: Exchange) -> None:
        """It lost its place, and nobody has done anything for it: it is the next."""
        self.meter.repeated += 1
        if self.gone:
            exchange.fail(503, f"{self.key.name} is not served any more", RETRY)
            return
        self._line[exchange] = None
        self._line.move_to_end(exchange, last=False)
        self._bytes += exchange.size
        self._fill()
        if exchange in self._line and not self._has_instance():
            self._wake(self.key)

    def keeps(self, exchange: Exchange, size: int) -> None:
        """It has brought more of its body while it has no connection."""
        if exchange in self._line:
            self._bytes += size

    def replies(self, exchange: Exchange) -> None:
        """Its reply has begun: it cannot be too late any more."""
        self._due.pop(exchange, None)

    def leaves(self, exchange: Exchange, status: int) -> None:
        """It is over."""
        self._due.pop(exchange, None)
        if exchange in self._line:
            self._step_out(exchange)
        self.meter.leave(exchange.came, status)

    def freed(self, place: Place) -> None:
        """It has room, or is gone."""
        if place.leaving:
            if not place.in_flight and self._places.get(place.name) is place:
                del self._places[place.name]
            return
        if self._line:
            self._fill()

    def _fill(self) -> None:
        while self._line and (place := self._roomiest()) is not None:
            exchange = next(iter(self._line))
            self._step_out(exchange)
            self.meter.waited(exchange.came)
            place.take(exchange)

    def _roomiest(self) -> Place | None:
        """Of those with room, the one with the fewest requests; the oldest of such."""
        best = None
        for place in self._places.values():
            if place.leaving or place.unreachable:
                continue
            if best is None or place.in_flight < best.in_flight:
                best = place
        if best is None or (self.concurrency and best.in_flight >= self.concurrency):
            return None
        return best

    def _has_instance(self) -> bool:
        return any(not place.leaving for place in self._places.values())

    def _wait(self, exchange: Exchange) -> None:
        first = not self._line
        self._line[exchange] = None
        self._bytes += exchange.size
        if not self._has_instance():
            self.meter.held += 1
            if first:
                self._wake(self.key)

    def _step_out(self, exchange: Exchange) -> None:
        del self._line[exchange]
        self._bytes -= exchange.size

    def _expect(self, exchange: Exchange) -> None:
        """One timer for all: the first to come is the first that is too late."""
        self._due[exchange] = None
        if self._timer is None:
            self._timer = self.loop.call_at(exchange.came + self.timeout, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self.loop.time()
        while self._due and (first := next(iter(self._due))).came + self.timeout <= now:
            first.expire()
        if self._due:
            oldest = next(iter(self._due))
            self._timer = self.loop.call_at(oldest.came + self.timeout, self._look)
