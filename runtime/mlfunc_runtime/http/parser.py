"""Bytes to requests (RFC 9112).

llhttp (by httptools) does the grammar, in its strict mode; this adds what it leaves to its user:
bounds, the target, fields that may be there once, and a body of one piece.
"""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from mlfunc_runtime.errors import Problem
from mlfunc_runtime.http import fields
from mlfunc_runtime.http.target import LINE_LIMIT, split
from mlfunc_runtime.messages import Request

FIELD_LIMIT = 8190
FIELDS_LIMIT = 100


class Incoming(NamedTuple):
    """A complete request. `keep`: another may follow. `modern`: the client speaks HTTP/1.1."""

    request: Request
    keep: bool
    modern: bool


class Parser:
    """Turns what arrives on one connection into requests, in `ready`.

    `refused` is set by the first thing that is wrong; nothing is read after it. `partial`: a
    request has begun. `expects`: its body is sent only after a 100 (Continue). `finished`: the
    client will send no other request.
    """

    _target: bytes
    _body: bytes | bytearray

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self.ready: deque[Incoming] = deque()
        self.refused: Problem | None = None
        self.partial = self.expects = self.finished = False
        self._parser = HttpRequestParser(self)
        self._replayed = False
        self._begin()

    @property
    def wanted(self) -> int:
        """Bytes of the body that are still to come, where the head has said how many."""
        if not (self.partial and self._in_body):
            return 0
        return int(self._headers.get("content-length", 0)) - self._size

    @property
    def received(self) -> int:
        """Bytes of the body that is under way."""
        return self._size

    def feed(self, data: bytes | memoryview) -> None:
        """Take what has arrived. Never raises."""
        if self.refused or self.finished:
            return
        try:
            self._feed(data)
            self._bound(len(data))
        except Problem as problem:
            self.refused = problem
        except HttpParserCallbackError as error:
            self.refused = _cause(error)
        except HttpParserError as error:
            self._refuse(error, bytes(data))

    def ends(self) -> None:
        """Nothing more will arrive."""
        if self.refused or not self.partial:
            return
        if not self._in_body:
            self.refused = Problem(400, "the request ended before its head did")
        else:
            told = self._headers.get("content-length", "all of its chunks")
            detail = f"the body has {self._size} bytes instead of {told}"
            self.refused = Problem(400, detail, field="Content-Length")

    def on_message_begin(self) -> None:
        """httptools: the first byte of a request."""
        if not self._replayed:
            self._begin()
            self.partial = True

    def on_url(self, url: bytes) -> None:
        """httptools: the target, or a piece of it."""
        if not self._replayed:
            self._target = self._target + url if self._target else url

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: a field of the head, or of the trailers, which are checked and dropped."""
        if self._replayed:
            return
        self._fields += 1
        if self._fields > FIELDS_LIMIT:
            raise Problem(431, f"there are more than {FIELDS_LIMIT} header fields")
        if len(name) + len(value) > FIELD_LIMIT:
            raise Problem(431, f"a header field is longer than {FIELD_LIMIT} bytes")
        known = fields.NAMES.get(name) or name.decode("latin-1").lower()
        if self._in_body:
            fields.check_trailer(known)
        else:
            self._keep(known, value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        """httptools: the head is there."""
        self._in_body = True
        if self._replayed:
            self._replayed = False
            return
        self._asked = time.perf_counter()
        headers, parser = self._headers, self._parser
        self._method = parser.get_method().decode("ascii")
        if self._method in fields.OF_OTHERS:
            raise Problem(400, f"{self._method} is no method of HTTP")
        version = parser.get_http_version()
        self._modern = version == "1.1"
        if not self._modern and version != "1.0":
            raise Problem(400, f"HTTP/{version} is not served here, but 1.1 and 1.0 are")
        self._path, self._query = split(self._target, headers, self._method)
        if self._modern and "host" not in headers:
            raise Problem(400, "a request of HTTP/1.1 has a Host", field="Host")
        self._keep_alive = parser.should_keep_alive() or parser.should_upgrade()
        self._check_framing()

    def on_body(self, data: bytes) -> None:
        """httptools: a piece of the body."""
        self._size += len(data)
        if self._size > self._max_body:
            raise self._too_large()
        if not self._body:
            self._body = data
        else:  # not a list: chunks of a byte would take fifty times their size
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += data

    def on_message_complete(self) -> None:
        """httptools: the last byte of a request is there."""
        if self._parser.should_upgrade():
            return  # its body is still to come: see _replay
        self.partial = self.expects = False
        request = Request(
            bytes(self._body),
            self._headers,
            method=self._method,
            path=self._path,
            query=self._query,
            request_id=fields.identify(self._headers.get("x-request-id")),
            asked=self._asked,
        )
        self.finished = not self._keep_alive
        self.ready.append(Incoming(request, self._keep_alive, self._modern))

    def _begin(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body = b""
        self._size = self._fields = self._unframed = 0
        self._began = True
        self._in_body = self._keep_alive = self._modern = False
        self._method, self._path, self._query = "", "", ""
        self._asked = 0.0

    def _feed(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while True:
            try:
                self._parser.feed_data(rest)
            except HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
                self._replay()
            else:
                return

    def _replay(self) -> None:
        """No upgrade is taken up (RFC 9110, section 7.8): the request is an ordinary one.

        llhttp takes what follows the head for another protocol, the body included. So a new parser
        is told how the body is framed, and reads on.
        """
        framing = (
            f"{name}: {self._headers[name]}\r\n"
            for name in ("content-length", "transfer-encoding")
            if name in self._headers
        )
        self._parser = HttpRequestParser(self)
        self._replayed, self._in_body = True, False
        self._parser.feed_data(f"POST / HTTP/1.1\r\n{''.join(framing)}\r\n".encode("latin-1"))

    def _keep(self, name: str, value: str) -> None:
        if value[-1:] in (" ", "\t"):
            value = value.rstrip(" \t")
        headers = self._headers
        if name == "transfer-encoding" and value.lower() != "chunked":
            raise fields.no_coding(value)
        if "_" in name:  # X_A and X-A are the same to CGI, and so to whoever trusts one of them
            return
        if name in headers:
            if name in fields.ONCE:
                raise Problem(400, f"{name} is there twice", field=name)
            value = f"{headers[name]}{'; ' if name == 'cookie' else ', '}{value}"
        headers[name] = value

    def _check_framing(self) -> None:
        headers = self._headers
        if self._method == "CONNECT":
            raise Problem(405, "CONNECT: this is no proxy", headers={"Allow": "GET, HEAD, POST"})
        if "transfer-encoding" in headers and not self._modern:
            raise Problem(400, "HTTP/1.0 has no Transfer-Encoding", field="Transfer-Encoding")
        if int(headers.get("content-length", 0)) > self._max_body:
            raise self._too_large()
        if "expect" in headers:
            self._check_expectation(headers["expect"])

    def _check_expectation(self, expectation: str) -> None:
        if expectation.lower() != "100-continue":
            raise Problem(417, f"{expectation}: only 100-continue is known", field="Expect")
        self.expects = self._modern

    def _too_large(self) -> Problem:
        limit = f"the body is larger than serve.max_body, {self._max_body} bytes"
        return Problem(413, limit, field="Content-Length")

    def _bound(self, size: int) -> None:
        """What is no body, a head that does not end or the framing of chunks, is bounded, too."""
        if self._began:  # in the midst of what has just been fed, and nobody says where
            self._began, size = False, 0
        self._unframed += size
        if not self._in_body and self._unframed > fields.HEAD_LIMIT:
            raise Problem(431, f"the head is longer than {fields.HEAD_LIMIT} bytes")
        if not self._in_body and len(self._target) > LINE_LIMIT:
            raise Problem(414, f"the target is longer than {LINE_LIMIT} bytes")
        if self._unframed > 2 * fields.HEAD_LIMIT + 16 * self._size:
            raise Problem(400, "there is too little in the chunks of the body")

    def _refuse(self, error: HttpParserError, data: bytes) -> None:
        """After the last request of a connection anything may follow: nobody reads it."""
        if not self.finished:
            self.refused = Problem(
                400, f"{error}: {fields.excerpt(data)}", field=fields.blamed(str(error))
            )


def _cause(error: HttpParserCallbackError) -> Problem:
    cause = error.__context__
    if isinstance(cause, Problem):
        return cause
    return Problem(400, "the request cannot be read")
