"""A gateway on a loop in a thread of its own, instances behind it, and raw sockets before it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from mlfunc.supervisor.gateway.gateway import Gateway
from mlfunc.supervisor.parts import Key, Route, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from mlfunc.supervisor.http.messages import Handler

T = TypeVar("T")
ECHO = Key("default", "echo-00001")
SERVICE = Key("default", "echo")
PATIENCE = 20.0


class Running:
    """A gateway that runs; `call` is to be used for all that is asked of it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.gateway: Gateway
        self.port = 0
        self.broken: list[dict[str, Any]] = []  # what the loop has caught

    def call(self, do: Callable[[Gateway], T]) -> T:
        """On its thread."""

        async def done() -> T:
            return do(self.gateway)

        return self.wait(done())

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Until it is done, there."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    def own(self, pages: dict[str, Handler]) -> None:
        """Give it pages of its own."""

        def add(gateway: Gateway) -> None:
            for prefix, handler in pages.items():
                gateway.own(prefix, handler)

        self.call(add)

    def connect(self) -> socket.socket:
        """A client's socket."""
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def talk(self, data: bytes) -> bytes:
        """All that is answered to these bytes, by a server that closes then."""
        with self.connect() as near:
            near.sendall(data)
            return b"".join(iter(lambda: near.recv(65536), b""))


@contextlib.contextmanager
def running(factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> Iterator[Running]:
    """A gateway, until the block ends."""
    loop = (factory or asyncio.new_event_loop)()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    here = Running(loop)
    loop.set_exception_handler(lambda _, told: here.broken.append(told))

    async def start() -> None:
        here.gateway = Gateway()
        await here.gateway.take(socket.create_server(("127.0.0.1", 0), backlog=1024), "127.0.0.1")
        here.port = here.gateway.port

    try:
        here.wait(start())
        yield here
    finally:
        here.wait(here.gateway.close(0.5))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    assert here.broken == []


def serve_echo(gateway: Gateway, concurrency: int = 0, timeout: float = PATIENCE) -> None:
    """A function `echo` with one revision, and no instance yet."""
    gateway.serve(ECHO, concurrency, timeout)
    gateway.route([Route(SERVICE, (Target(ECHO, 100),), {"blue": ECHO})])


def is_idle(gateway: Gateway, instance: str = "a") -> bool:
    """Whether an instance has no request."""
    return not any(each.instances.get(instance) for each in gateway.stats())


def statuses(received: bytes) -> list[int]:
    """The statuses of the replies, in order."""
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", received) if code != b"100"]


def request(
    *fields: str, line: str = "GET / HTTP/1.1", host: str = "echo.default.localhost"
) -> bytes:
    """A head."""
    return "\r\n".join((line, f"Host: {host}", *fields, "", "")).encode("latin-1")


CLOSE = "Connection: close"
