"""Load on a function: requests that come whatever becomes of those before, and each one's end.

An open loop (`steady`) is what users are; a closed one (`crowd`) keeps all places taken. No request
is ever tried again, and each has its outcome: that none has failed is a fact, not a figure.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import urllib3

_OK = 200
_NO_REPLY = 0
# At once: more wait in line, and it counts, for time is from when a request was due.
_CLIENTS = 128
_PATIENCE = 90.0

Send = Callable[[int], tuple[int, bytes]]  # request number n: the reply's status and body


@dataclass(frozen=True)
class Outcome:
    """The end of a request: `due` seconds after the beginning, answered `seconds` after that."""

    number: int
    due: float
    seconds: float
    status: int  # 0: there was no reply
    said: bytes  # the reply's body, else the error

    @property
    def ok(self) -> bool:
        """Whether it was answered."""
        return self.status == _OK

    def json(self) -> Any:
        """What was replied."""
        return json.loads(self.said)


@dataclass
class Load:
    """What has come of the requests so far."""

    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def failed(self) -> list[Outcome]:
        """Those without a good reply."""
        return [each for each in self.outcomes if not each.ok]

    def count(self, key: str) -> Counter[Any]:
        """How many good replies have what in the field `key`."""
        return Counter(each.json()[key] for each in self.outcomes if each.ok)

    def latest(self, key: str) -> Any:
        """What the last good reply has there."""
        last = next((each for each in reversed(self.outcomes) if each.ok), None)
        return last.json()[key] if last else None

    def __str__(self) -> str:
        """For people: how many, how fast."""
        times = sorted(each.seconds * 1000 for each in self.outcomes if each.ok) or [float("nan")]
        p50, p99 = (times[int(share * (len(times) - 1))] for share in (0.5, 0.99))
        return (
            f"{len(self.outcomes)} requests, {len(self.failed)} failed, "
            f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, max {times[-1]:.0f} ms"
        )


@contextlib.contextmanager
def client(url: str, host: str, body: Callable[[int], Any]) -> Iterator[Send]:
    """Sends request number n, `body(n)` as JSON, over connections that are kept."""
    with urllib3.PoolManager(maxsize=_CLIENTS, retries=False, timeout=_PATIENCE) as pool:

        def send(number: int) -> tuple[int, bytes]:
            data = json.dumps(body(number)).encode()
            headers = {"host": host, "content-type": "application/json"}
            reply = pool.request("POST", url, body=data, headers=headers)
            return reply.status, reply.data

        yield send


@contextlib.contextmanager
def steady(send: Send, *, per_second: float) -> Iterator[Load]:
    """So many requests a second until the block ends; then the last ones are waited for."""
    load, began, stop = Load(), time.monotonic(), threading.Event()
    with ThreadPoolExecutor(_CLIENTS) as clients, ThreadPoolExecutor(1) as clock:

        def feed() -> list[Future[None]]:
            sent = []
            for number in itertools.count():
                due = began + number / per_second
                if stop.wait(max(0.0, due - time.monotonic())):
                    break
                sent.append(clients.submit(_request, send, number, due, began, load))
            return sent

        feeder = clock.submit(feed)
        try:
            yield load
        finally:
            stop.set()
            for each in feeder.result():
                each.result()


def crowd(send: Send, *, clients: int, requests: int) -> Load:
    """So many requests in all, from clients who each wait for a reply before they ask again."""
    load, began, numbers = Load(), time.monotonic(), iter(range(requests))

    def ask() -> None:
        for number in numbers:
            _request(send, number, time.monotonic(), began, load)

    with ThreadPoolExecutor(clients) as pool:
        for each in [pool.submit(ask) for _ in range(clients)]:
            each.result()
    return load


def _request(send: Send, number: int, due: float, began: float, load: Load) -> None:
    try:
        status, said = send(number)
    except urllib3.exceptions.HTTPError as error:
        status, said = _NO_REPLY, repr(error).encode()
    load.outcomes.append(Outcome(number, due - began, time.monotonic() - due, status, said))
