"""What is refused, what is not, and that our parser and gunicorn's mean the same by what both take."""

from __future__ import annotations

import random
import re
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser
from mlfunc_runtime.http.parser import Parser

from .corpus import BAD, GOOD, SMUGGLED, TRUNCATED
from .fuzz import mutated, run
from .wire import Echo, statuses, talk

CASES = GOOD | BAD | TRUNCATED


@pytest.mark.parametrize("name", GOOD)
def test_what_is_well_formed_is_answered(name: str) -> None:
    sent, expected = GOOD[name]
    assert statuses(talk(Echo(), [sent])) == expected


@pytest.mark.parametrize("name", BAD)
def test_what_is_malformed_is_refused_and_nothing_after_it_is_answered(name: str) -> None:
    sent, expected = BAD[name]
    routes = Echo()
    (status,) = statuses(talk(routes, [sent + SMUGGLED]))
    assert status in expected
    assert routes.requests == []


@pytest.mark.parametrize("name", TRUNCATED)
def test_what_is_cut_off_is_refused(name: str) -> None:
    sent, expected = TRUNCATED[name]
    assert statuses(talk(Echo(), [sent])) == expected


@pytest.mark.parametrize("name", CASES)
def test_pieces_make_no_difference(name: str) -> None:
    sent, _ = CASES[name]
    if len(sent) < 5000:
        whole, pieces = Echo(), Echo()
        expected = statuses(talk(whole, [sent]))
        assert statuses(talk(pieces, [sent[n : n + 1] for n in range(len(sent))])) == expected
        assert [told(r) for r in pieces.requests] == [told(r) for r in whole.requests]


def test_a_refusal_is_a_problem_that_closes() -> None:
    answer = talk(Echo(), [b"hello\r\n\r\n"])
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Connection: close" in head
    assert b"application/problem+json" in head
    assert b'"status":400' in body


def told(request: Any) -> tuple[object, ...]:
    return (request.method, request.path, request.query, request.headers, request.body)


def ours(sent: bytes) -> list[tuple[object, ...]]:
    """The requests in it, up to the first that is refused."""
    parser = Parser(2**20)
    parser.feed(sent)
    return [told(incoming.request) for incoming in parser.ready]


def theirs(sent: bytes) -> list[tuple[object, ...]]:
    """The same, as gunicorn reads it."""
    config = Config()
    config.set("limit_request_line", 8190)
    config.set("permit_unconventional_http_method", True)
    requests: list[tuple[object, ...]] = []
    try:
        for request in RequestParser(config, iter([sent]), ("127.0.0.1", 1)):
            requests.append(_told_by(request))
            if request.should_close():
                break
    except (Exception, StopIteration):
        pass
    return requests


def _told_by(request: Any) -> tuple[object, ...]:
    headers: dict[str, str] = {}
    for name, value in request.headers:
        name = name.lower()
        separator = "; " if name == "cookie" else ", "
        headers[name] = f"{headers[name]}{separator}{value}" if name in headers else value
    framed = {"content-length", "transfer-encoding"} & set(headers)
    body = request.body.read() if framed else b""
    if framed and int(headers.get("content-length", 0)) > len(body):
        raise ValueError("cut off")
    path, query, headers = request.path, request.query, headers
    if request.uri.startswith("http"):
        parts = urlsplit(request.uri)
        headers["host"], path, query = parts.netloc, parts.path or "/", parts.query
    path = unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
    return (request.method, path, query, headers, body)


def _lenient(sent: bytes) -> str | None:
    """Why we may take what gunicorn refuses."""
    reasons = {
        "RFC 9112, section 3: blanks between the words of the first line": rb"[A-Z] {2,}|/[^ \r\n]* {2,}HTTP/",
        "RFC 9112, section 2.2: empty lines before the first": rb"(^|\r\n)[\r\n]+[A-Z]",
        "llhttp reads RTSP as HTTP; such a client gets an answer": rb"RTSP/1",
        "RFC 9112, section 7.1.1: extensions of chunks are ignored, those without a name, too": rb";[;=]",
        "RFC 9110, section 7.8: an upgrade is ignored, whatever the method": rb"(?i)upgrade",
    }
    return next((why for why, pattern in reasons.items() if re.search(pattern, sent)), None)


@pytest.mark.parametrize("seed", range(10))
def test_what_both_take_is_the_same_to_gunicorn(seed: int) -> None:
    """Mutations of the corpus. What we take and it refuses must have a reason."""
    agreed = 0
    for number in range(1000):
        sent = mutated(random.Random(f"{seed}/{number}"))
        mine, other = ours(sent), theirs(sent)
        for ours_, theirs_ in zip(mine, other, strict=False):
            assert ours_ == theirs_, sent
            agreed += 1
        assert len(mine) <= len(other) or _lenient(sent), (sent, mine)
    assert agreed > 200


def test_fuzzed_requests_never_break_the_server() -> None:
    assert run(3000, seed=7) > 300
