"""The API of a local platform on a socket of its own, on a thread of its own, and its client."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

from mlfunc.platforms.local import connecting
from mlfunc.supervisor import api
from mlfunc.supervisor.home import Home
from mlfunc.supervisor.http.server import Server

from tests.rig.objects import Opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from pathlib import Path

    from mlfunc.cluster.client import Cluster
    from mlfunc.supervisor.http.messages import Handler

GATEWAY = "http://127.0.0.1:8088"


class Running:
    """A server; `do` has something done on its thread, where objects may be touched."""

    def __init__(self, home: Home, opened: Opened, loop: asyncio.AbstractEventLoop) -> None:
        self.home = home
        self.opened = opened
        self.objects = opened.objects
        self._loop = loop

    def do(self, work: Callable[[], Any]) -> Any:
        async def done() -> Any:
            return work()

        return self.run(done())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def cluster(self, namespace: str = "default") -> Cluster:
        return connecting.connect(self.home, namespace)


async def no_logs(pod: Any, query: Any) -> AsyncIterator[bytes]:
    yield b"nothing\n"


@contextlib.contextmanager
def serving(
    folder: Path, *, logs: api.Logs = no_logs, state: Path | None = None
) -> Iterator[Running]:
    """One, until the `with` ends; what it has is kept in `state`, if that is given."""
    opened: list[Opened] = []

    def make() -> Handler:
        opened.append(Opened(state))
        return api.handler(opened[0].objects, logs, GATEWAY)

    with handling(folder, make) as (home, loop):
        yield Running(home, opened[0], loop)
        asyncio.run_coroutine_threadsafe(opened[0].close(), loop).result(10)


@contextlib.contextmanager
def handling(
    folder: Path, make: Callable[[], Handler]
) -> Iterator[tuple[Home, asyncio.AbstractEventLoop]]:
    """A server on the socket of a home, for whatever handler; its loop runs in a thread."""
    home, loop = Home(folder), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="local api")
    thread.start()

    async def start() -> Server:
        server = Server(make())
        home.socket.unlink(missing_ok=True)
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(str(home.socket))
        await server.listen(bound)
        return server

    try:
        server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        try:
            yield home, loop
        finally:
            asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
