"""Bytes to requests (RFC 9112), whose bodies go on as they come.

llhttp (by httptools) does the grammar, in its strict mode; this adds what it leaves to its user:
bounds, the target, fields that may be there once.
"""

from __future__ import annotations

import re
from collections import deque

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser

from mlfunc.supervisor.gateway import fields
from mlfunc.supervisor.gateway.fields import Refused

_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#@]+)([/?].*)?")
_VISIBLE = re.compile(rb"[\x21-\x7e]+")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})|%00")


class Incoming:
    """A request whose head is there; its body comes in `pieces`, until it is `whole`. `ended`: who
    gets the body knows that it is.

    `known` has the fields that the gateway itself reads, `fields` all others; names in lower case.
    """

    __slots__ = (
        "chunked",
        "ended",
        "fields",
        "keep",
        "known",
        "length",
        "method",
        "modern",
        "pieces",
        "size",
        "target",
        "whole",
    )

    def __init__(self, known: dict[bytes, bytes], others: list[tuple[bytes, bytes]]) -> None:
        self.known = known
        self.fields = others
        self.method = self.target = b""
        self.keep = self.modern = self.chunked = self.whole = self.ended = False
        self.length = self.size = 0
        self.pieces: list[bytes] = []

    @property
    def expects(self) -> bool:
        """Its body is sent only after a 100 (Continue)."""
        return self.modern and b"expect" in self.known

    def take(self) -> bytes:
        """What has come of the body, once."""
        pieces, self.pieces = self.pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class Parser:
    """Turns what arrives on one connection into requests, in `ready`.

    `refused` is set by the first thing that is wrong; nothing is read after it. `partial`: a
    request has begun and is not whole. `finished`: the client will send no other request.
    """

    _target: bytes
    _typed: bool  # a content-type has come

    def __init__(self) -> None:
        self.ready: deque[Incoming] = deque()
        self.refused: Refused | None = None
        self.partial = self.finished = False
        self._parser = HttpRequestParser(self)
        self._replayed = False
        self._incoming: Incoming | None = None
        self._begin()

    @property
    def wanted(self) -> int:
        """Bytes of the body that are still to come, where the head has said how many."""
        incoming = self._incoming
        return 0 if incoming is None else max(0, incoming.length - incoming.size)

    def feed(self, data: bytes | memoryview) -> None:
        """Take what has arrived. Never raises."""
        if self.refused or self.finished:
            return
        try:
            self._feed(data)
            self._bound(len(data))
        except Refused as refused:
            self.refused = refused
        except HttpParserCallbackError as error:
            self.refused = _cause(error)
        except HttpParserError as error:
            self._refuse(error, bytes(data))

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
        self._count += 1
        if self._count > fields.FIELDS_LIMIT:
            raise Refused(431, f"there are more than {fields.FIELDS_LIMIT} header fields")
        if len(name) + len(value) > fields.FIELD_LIMIT:
            raise Refused(431, f"a header field is longer than {fields.FIELD_LIMIT} bytes")
        name = name.lower()
        if self._incoming is not None:
            fields.check_trailer(name)
        elif name in fields.OURS:
            self._know(name, value.rstrip(b" \t"))
        elif name == b"content-type" and self._typed:
            raise Refused(400, "content-type is there twice")
        elif b"_" not in name:  # X_A and X-A are the same to CGI, and so to whoever trusts one
            self._typed = self._typed or name == b"content-type"
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """httptools: the head is there."""
        if self._replayed:
            self._replayed = False
            return
        parser = self._parser
        incoming = Incoming(self._known, self._fields)
        incoming.method = parser.get_method()
        incoming.modern = parser.get_http_version() == "1.1"
        incoming.keep = parser.should_keep_alive() or self._stays()
        self._check_line(incoming)
        self._check_fields(incoming)
        self._incoming = incoming
        self.ready.append(incoming)

    def on_body(self, data: bytes) -> None:
        """httptools: a piece of the body."""
        incoming = self._incoming
        if incoming is not None:
            incoming.size += len(data)
            incoming.pieces.append(data)

    def on_message_complete(self) -> None:
        """httptools: the last byte of a request is there."""
        if self._parser.should_upgrade():
            return  # its body is still to come: see _replay
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.whole = True
            self.partial, self.finished = False, not incoming.keep

    def _begin(self) -> None:
        self._target = b""
        self._known: dict[bytes, bytes] = {}
        self._fields: list[tuple[bytes, bytes]] = []
        self._count = self._unframed = 0
        self._began = True
        self._typed = False

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
        framing = b"".join(
            b"%b: %b\r\n" % (name, self._known[name])
            for name in (b"content-length", b"transfer-encoding")
            if name in self._known
        )
        self._parser = HttpRequestParser(self)
        self._replayed = True
        self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % framing)

    def _stays(self) -> bool:
        """Where an upgrade is asked for, llhttp thinks of nothing else."""
        own = fields.tokens(self._known.get(b"connection", b""))
        return self._parser.should_upgrade() and b"close" not in own

    def _know(self, name: bytes, value: bytes) -> None:
        if name == b"transfer-encoding":
            fields.check_coding(value)
        if name in self._known:
            if name in fields.ONCE:
                raise Refused(400, f"{name.decode()} is there twice")
            value = b"%b, %b" % (self._known[name], value)
        self._known[name] = value

    def _check_line(self, incoming: Incoming) -> None:
        version = self._parser.get_http_version()
        if incoming.method in fields.OF_OTHERS:
            raise Refused(400, f"{incoming.method.decode()} is no method of HTTP")
        if not incoming.modern and version != "1.0":
            raise Refused(400, f"HTTP/{version} is not served here, but 1.1 and 1.0 are")
        if incoming.method == b"CONNECT":
            raise Refused(405, "CONNECT: this is no such proxy")
        incoming.target = _origin_form(self._target, self._known, incoming.method)
        if incoming.modern and b"host" not in self._known:
            raise Refused(400, "a request of HTTP/1.1 has a Host")

    def _check_fields(self, incoming: Incoming) -> None:
        known = self._known
        incoming.chunked = b"transfer-encoding" in known
        if incoming.chunked and not incoming.modern:
            raise Refused(400, "HTTP/1.0 has no Transfer-Encoding")
        incoming.length = int(known.get(b"content-length", 0))
        if known.get(b"expect", b"100-continue").lower() != b"100-continue":
            raise Refused(417, f"{known[b'expect'].decode('latin-1')}: only 100-continue is known")

    def _bound(self, size: int) -> None:
        """What is no body, a head that does not end or the framing of chunks, is bounded, too."""
        if self._began:  # in the midst of what has just been fed, and nobody says where
            self._began, size = False, 0
        self._unframed += size
        incoming = self._incoming
        if incoming is None:
            self._bound_head()
        elif incoming.chunked and self._unframed > 2 * fields.HEAD_LIMIT + 16 * incoming.size:
            raise Refused(400, "there is too little in the chunks of the body")

    def _bound_head(self) -> None:
        if not self.partial:
            return
        if self._unframed > fields.HEAD_LIMIT:
            raise Refused(431, f"the head is longer than {fields.HEAD_LIMIT} bytes")
        if len(self._target) > fields.LINE_LIMIT:
            raise Refused(414, f"the target is longer than {fields.LINE_LIMIT} bytes")

    def _refuse(self, error: HttpParserError, data: bytes) -> None:
        """After the last request of a connection anything may follow: nobody reads it."""
        if not self.finished:
            self.refused = Refused(400, f"{error}: {fields.excerpt(data)}")


def _origin_form(target: bytes, known: dict[bytes, bytes], method: bytes) -> bytes:
    """Path and query. The host of an absolute target replaces the Host field (RFC 9112, 3.2.2)."""
    if target == b"/":
        return target
    if len(target) > fields.LINE_LIMIT:
        raise Refused(414, f"the target is longer than {fields.LINE_LIMIT} bytes")
    if target == b"*" and method == b"OPTIONS":
        return target
    if absolute := _ABSOLUTE.fullmatch(target):
        known[b"host"] = absolute[1]
        target = absolute[2] or b"/"
        target = target if target.startswith(b"/") else b"/" + target
    if not target.startswith(b"/") or not _VISIBLE.fullmatch(target):
        raise Refused(400, f"{target.decode('latin-1')[:60]} is no path")
    if _BAD_ESCAPE.search(target):
        raise Refused(400, f"{target.decode('latin-1')[:60]} has a % that stands for nothing")
    return target.partition(b"#")[0]


def _cause(error: HttpParserCallbackError) -> Refused:
    cause = error.__context__
    if isinstance(cause, Refused):
        return cause
    return Refused(400, "the request cannot be read")
