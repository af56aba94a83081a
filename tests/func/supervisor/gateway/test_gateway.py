"""Requests through a gateway, to instances that say what they were sent."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from tests.func.supervisor.gateway.instances import echo
from tests.func.supervisor.gateway.rig import (
    CLOSE,
    ECHO,
    Running,
    request,
    running,
    serve_echo,
    statuses,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def gate() -> Iterator[Running]:
    with running() as here:
        here.call(serve_echo)
        yield here


def test_a_request_gets_to_the_instance_by_host(gate: Running) -> None:
    with echo() as instance:
        gate.call(lambda g: g.join(ECHO, "a", instance.port))
        received = gate.talk(
            request(CLOSE, "Content-Length: 3", line="POST /x?y=1 HTTP/1.1") + b"abc"
        )

    assert statuses(received) == [200]
    told = json.loads(received.partition(b"\r\n\r\n")[2])
    assert told["line"] == "POST /x?y=1 HTTP/1.1"
    assert told["body"] == "abc"
    assert told["headers"]["host"] == "echo.default.localhost"


def test_a_request_gets_there_by_the_first_segment_of_its_path(gate: Running) -> None:
    with echo() as instance:
        gate.call(lambda g: g.join(ECHO, "a", instance.port))
        received = gate.talk(request(CLOSE, line="GET /echo/x?y=1 HTTP/1.1", host="127.0.0.1"))

    told = json.loads(received.partition(b"\r\n\r\n")[2])
    assert told["line"] == "GET /x?y=1 HTTP/1.1"
    assert told["headers"]["host"] == f"echo.default.localhost:{gate.port}"
    assert told["headers"]["x-forwarded-prefix"] == "/echo"


def test_a_request_waits_until_there_is_an_instance(gate: Running) -> None:
    woken = threading.Event()
    gate.call(lambda g: g.wake(lambda key: woken.set()))
    with echo() as instance, gate.connect() as near:
        near.sendall(request(CLOSE))
        assert woken.wait(20)
        gate.call(lambda g: g.join(ECHO, "a", instance.port))
        assert statuses(b"".join(iter(lambda: near.recv(65536), b""))) == [200]
