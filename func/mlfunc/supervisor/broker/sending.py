"""An event on its way over HTTP: to a function through the gateway, or to any other address."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlfunc.supervisor.broker import answers, cloudevents
from mlfunc.supervisor.http.messages import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    import urllib3

    from mlfunc.supervisor.broker.answers import Answer
    from mlfunc.supervisor.broker.journal import Delivery
    from mlfunc.supervisor.broker.subscriptions import Destination
    from mlfunc.supervisor.parts import Gateway

_OUTSIDE = 32  # requests to other addresses at once, a thread each


class Sender:
    """One for all deliveries."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._places = asyncio.Semaphore(_OUTSIDE)
        self._pool: urllib3.PoolManager | None = None

    async def send(self, due: Delivery, destination: Destination, timeout: float) -> Answer:
        """Send it once; a failure is an answer, too."""
        request = _request(due, destination)
        began = time.monotonic()
        if destination.kind == "function":
            reply = await self._gateway.send(destination.key, request, timeout)
            return answers.read(reply, time.monotonic() - began)
        if destination.kind == "address":
            return await self._outside(destination.uri, request, timeout)
        return answers.unanswered(f"there is no way to {destination}", 0.0)

    def close(self) -> None:
        """Requests to other addresses that go on are left alone."""
        if self._pool:
            self._pool.clear()

    async def _outside(self, uri: str, request: Request, timeout: float) -> Answer:
        import urllib3

        async with self._places:
            began = time.monotonic()
            try:
                reply = await _in_thread(lambda: self._post(uri, request, timeout))
            except urllib3.exceptions.HTTPError as error:
                return answers.unanswered(f"{uri}: {error}", time.monotonic() - began)
            return answers.read(reply, time.monotonic() - began)

    def _post(self, uri: str, request: Request, timeout: float) -> Reply:
        """Redirects are answers, as for Knative."""
        import urllib3

        self._pool = self._pool or urllib3.PoolManager(maxsize=_OUTSIDE, retries=False)
        answer = self._pool.request(
            "POST",
            uri,
            body=request.body,
            headers=dict(request.headers),
            timeout=urllib3.Timeout(total=timeout),
            redirect=False,
        )
        headers = [(name.lower(), value) for name, value in answer.headers.items()]
        return Reply(answer.status, headers, answer.data)


def _request(due: Delivery, destination: Destination) -> Request:
    headers, body = cloudevents.binary(answers.addressed(due))
    own = {**due.headers, "kn-namespace": due.way.namespace, "prefer": "reply"}
    return Request("POST", _path(destination), [*headers, *own.items()], body)


def _path(destination: Destination) -> str:
    if destination.kind != "function" or not destination.uri:
        return "/"
    parts = urlsplit(destination.uri)
    path = "/" + parts.path.lstrip("/")
    return f"{path}?{parts.query}" if parts.query else path


def _in_thread(work: Callable[[], Reply]) -> asyncio.Future[Reply]:
    """Nobody waits for the thread in the end: an address that is silent holds up no stop."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Reply] = loop.create_future()

    def settle(reply: Reply | None, error: Exception | None) -> None:
        if done.done():
            return
        if reply is not None:
            done.set_result(reply)
        elif error is not None:
            done.set_exception(error)

    def run() -> None:
        reply, failure = None, None
        try:
            reply = work()
        except Exception as error:  # whatever it is, it is raised where this was asked for
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, reply, failure)

    threading.Thread(target=run, name="broker-sends", daemon=True).start()
    return done
