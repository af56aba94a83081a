"""Clients: an open loop that keeps to its schedule whatever the server does, and a closed loop.

Callbacks on raw sockets, one connection a request in flight: the client shares the machine with the
server, so what it costs counts.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from typing import TYPE_CHECKING

from lib.ask import OK
from lib.connection import CUT, Connection
from lib.processes import pinned
from lib.servers import CLIENT_CORES
from lib.stats import percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

# The connection was not accepted.
REFUSED = -1
BUSY = 503
_PATIENCE = 30.0


@dataclass(frozen=True)
class Sample:
    """One request. `seconds` count from when it was due, which is not later than it was sent."""

    number: int
    due: float
    seconds: float
    status: int


@dataclass(frozen=True)
class Load:
    """What came of many requests, and the seconds from the first to the last reply."""

    samples: Sequence[Sample]
    seconds: float

    @property
    def good(self) -> list[Sample]:
        """Those answered with 200."""
        return [sample for sample in self.samples if sample.status == OK]

    @property
    def failed(self) -> int:
        """How many were not."""
        return len(self.samples) - len(self.good)

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return len(self.good) / self.seconds if self.seconds else 0.0

    def ms(self, share: float) -> float:
        """The percentile of the good ones' latency; infinite when there is none."""
        good = [sample.seconds * 1000 for sample in self.good]
        return percentile(good, share) if good else float("inf")


@dataclass(frozen=True)
class Window:
    """A measuring window: what came of its requests, and the CPU seconds the server used."""

    load: Load
    cpu: float


def pooled(windows: Sequence[Window]) -> Window:
    """All requests of all windows as one: a percentile of many is better than many of few."""
    samples = [sample for each in windows for sample in each.load.samples]
    seconds = sum(each.load.seconds for each in windows)
    return Window(Load(samples, seconds), sum(each.cpu for each in windows))


def request(body: bytes, path: str = "/") -> bytes:
    """A POST of JSON as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def open_loop(port: int, arrivals: Sequence[float], requests: Sequence[bytes]) -> Load:
    """Send `requests` (over and over) at the times of `arrivals`, seconds from now."""

    async def run() -> Load:
        loop, client = asyncio.get_running_loop(), _Client(port, requests)
        began = loop.time() + 0.05
        for number, arrival in enumerate(arrivals):
            loop.call_at(began + arrival, client.send, number, began + arrival)
        last = began + max(arrivals, default=0.0)
        await client.until(lambda: len(client.samples) == len(arrivals), last + _PATIENCE)
        client.close()
        return client.load(began, len(arrivals))

    return _run(run())


def closed_loop(port: int, clients: int, requests: Callable[[int], bytes], seconds: float) -> Load:
    """`clients` send one request after the other for `seconds`; one that is refused stops."""

    async def run() -> Load:
        loop, numbers = asyncio.get_running_loop(), count()
        client = _Client(port, requests)
        began = loop.time()
        sent = 0

        def another(sample: Sample | None = None) -> None:
            nonlocal sent
            refused = sample is not None and sample.status in (REFUSED, BUSY)
            if loop.time() < began + seconds and not refused:
                sent += 1
                client.send(next(numbers), loop.time())

        client.answered = another
        for _ in range(clients):
            another()
        deadline = began + seconds + _PATIENCE
        await client.until(lambda: len(client.samples) == sent, deadline)
        client.close()
        return client.load(began, sent)

    return _run(run())


class _Client:
    """Free connections, and what came of the requests."""

    def __init__(self, port: int, requests: Sequence[bytes] | Callable[[int], bytes]) -> None:
        self._port = port
        self._requests = requests
        self._free: list[Connection] = []
        self._made: list[Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.samples: list[Sample] = []
        self.answered: Callable[[Sample], None] = lambda _: None

    def send(self, number: int, due: float) -> None:
        while self._free:
            connection = self._free.pop()
            if not connection.closed:
                connection.send(self._wire(number), (number, due))
                return
        task = asyncio.get_running_loop().create_task(self._connect(number, due))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def until(self, done: Callable[[], bool], deadline: float) -> None:
        loop = asyncio.get_running_loop()
        while not done() and loop.time() < deadline:
            await asyncio.sleep(0.02)

    def load(self, began: float, sent: int) -> Load:
        """Those that nobody answered in the end count as cut."""
        seen = {sample.number for sample in self.samples}
        lost = [Sample(n, began, float("inf"), CUT) for n in range(sent) if n not in seen]
        ends = [sample.due + sample.seconds for sample in self.samples]
        return Load([*self.samples, *lost], max(ends, default=began) - began)

    def close(self) -> None:
        for connection in self._made:
            connection.transport.close()

    def _wire(self, number: int) -> bytes:
        if callable(self._requests):
            return self._requests(number)
        return self._requests[number % len(self._requests)]

    async def _connect(self, number: int, due: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: Connection(self._done), "127.0.0.1", self._port
            )
        except OSError:
            self._record(number, due, REFUSED)
        else:
            self._made.append(connection)
            connection.send(self._wire(number), (number, due))

    def _done(self, connection: Connection, ticket: tuple[int, float], status: int) -> None:
        if not connection.closed:
            self._free.append(connection)
        self._record(*ticket, status)

    def _record(self, number: int, due: float, status: int) -> None:
        sample = Sample(number, due, asyncio.get_running_loop().time() - due, status)
        self.samples.append(sample)
        self.answered(sample)


def _run(work: Coroutine[None, None, Load]) -> Load:
    """On the client's cores, and on the cheaper loop where it is installed."""
    try:
        factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    except ImportError:
        factory = asyncio.new_event_loop
    with pinned(CLIENT_CORES), asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)
