"""What is refused, and what is not, of what may arrive: the corpus of the runtime's server."""

from __future__ import annotations

import itertools
import re
import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlfunc.supervisor.gateway.parser import Parser

from tests.func.supervisor.gateway.instances import echo
from tests.func.supervisor.gateway.rig import ECHO, running, serve_echo, statuses
from tests.runtime.corpus import BAD, GOOD, SMUGGLED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.func.supervisor.gateway.instances import Instance
    from tests.func.supervisor.gateway.rig import Running

# Bodies are as large as the function takes: the gateway passes them on as they come.
ITS_OWN = ["a length beyond the limit"]
OTHER = {
    "a hundred fields": [431],  # the gateway adds some
    "Upgrade: websocket": [501],
    "HTTP/1.0": [404],  # it names no host
    "HTTP/1.0, kept": [404, 200],
}


def addressed(sent: bytes) -> bytes:
    """The same, to a function that is there."""
    named = re.sub(rb"(?<=\nHost: )[ab](?=[\r\n])", b"echo.default.localhost", sent)
    return named.replace(b"http://b", b"http://echo.default.localhost")


@pytest.fixture(scope="module")
def there() -> Iterator[tuple[Running, Instance]]:
    with running() as gate, echo() as instance:
        gate.call(serve_echo)
        gate.call(lambda g: g.join(ECHO, "a", instance.port))
        yield gate, instance


def answered(near: socket.socket, count: int) -> list[int]:
    """The statuses of so many replies, or of those until the end."""
    received = b""
    while len(statuses(received)) < count and (piece := near.recv(65536)):
        received += piece
    return statuses(received)


@pytest.mark.parametrize("name", GOOD)
def test_what_is_well_formed_is_answered(name: str, there: tuple[Running, Instance]) -> None:
    sent, expected = GOOD[name]
    with there[0].connect() as near:
        near.sendall(addressed(sent))
        assert answered(near, len(expected)) == OTHER.get(name, expected)


@pytest.mark.parametrize("name", [name for name in BAD if name not in ITS_OWN])
def test_what_is_malformed_is_refused_and_nothing_after_it_is_passed_on(
    name: str, there: tuple[Running, Instance]
) -> None:
    sent, expected = BAD[name]
    gate, instance = there
    instance.requests.clear()
    with gate.connect() as near:
        near.sendall(addressed(sent + SMUGGLED))
        found = statuses(b"".join(iter(lambda: near.recv(65536), b"")))
    assert len(found) == 1
    assert found[0] in expected
    assert not [line for line, *_ in instance.requests if "smuggled" in line]


@pytest.mark.parametrize("name", GOOD | BAD)
def test_pieces_make_no_difference(name: str) -> None:
    sent = addressed((GOOD | BAD)[name][0])
    if len(sent) < 5000:
        whole = told([sent])
        assert told([sent[n : n + 1] for n in range(len(sent))]) == whole


@given(st.sampled_from(sorted(GOOD | BAD)), st.lists(st.integers(0, 400), max_size=6))
def test_no_split_makes_a_difference(name: str, cuts: list[int]) -> None:
    sent = addressed((GOOD | BAD)[name][0])
    if len(sent) < 5000:
        at = [0, *sorted(cut for cut in cuts if cut < len(sent)), len(sent)]
        assert told([sent[a:b] for a, b in itertools.pairwise(at)]) == told([sent])


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 400), min_size=1, max_size=4))
def test_a_request_in_pieces_is_answered_like_a_whole_one(
    there: tuple[Running, Instance], cuts: list[int]
) -> None:
    sent = addressed(GOOD["two, pipelined"][0] + GOOD["trailers"][0] + GOOD["a body"][0])
    at = [0, *sorted(cut for cut in cuts if cut < len(sent)), len(sent)]
    with there[0].connect() as near:
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for a, b in itertools.pairwise(at):
            near.sendall(sent[a:b])
        assert answered(near, 4) == [200] * 4


def told(pieces: list[bytes]) -> tuple[object, ...]:
    """What a parser makes of these: requests, and whether it refuses the rest."""
    parser = Parser()
    for piece in pieces:
        parser.feed(piece)
    requests = [
        (each.method, each.target, each.known, each.fields, each.whole, each.keep, each.take())
        for each in parser.ready
    ]
    refused = parser.refused
    if refused is not None:  # how much of a body came before it differs
        requests = requests if requests and requests[-1][4] else requests[:-1]
    return (requests, refused and refused.status)
