"""Requests that go wrong, or nearly: what arrives, and the statuses it is answered with.

Refused ones are followed by SMUGGLED when they are sent, which must never be answered.
"""

from __future__ import annotations

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


def head(*fields: str | bytes, line: str | bytes = "POST / HTTP/1.1") -> bytes:
    lines = [line, "Host: a", *fields]
    return (
        b"\r\n".join(x.encode("latin-1") if isinstance(x, str) else x for x in lines) + b"\r\n\r\n"
    )


def chunked(body: bytes, *fields: str) -> bytes:
    return head("Transfer-Encoding: chunked", *fields) + body


def bare(*lines: bytes) -> bytes:
    return b"\r\n".join(lines) + b"\r\n\r\n"


GOOD: dict[str, tuple[bytes, list[int]]] = {
    "no body": (head(line="GET / HTTP/1.1"), [200]),
    "a body": (head("Content-Length: 3") + b"abc", [200]),
    "length zero": (head("Content-Length: 0"), [200]),
    "length with leading zeros": (head("Content-Length: 003") + b"abc", [200]),
    "chunks": (chunked(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), [200]),
    "chunks, upper case": (chunked(b"A\r\n0123456789\r\n0\r\n\r\n"), [200]),
    "chunked, spelled loudly": (head("Transfer-Encoding: CHUNKED") + b"0\r\n\r\n", [200]),
    "chunk extension": (chunked(b'3;a=b;c="d e"\r\nabc\r\n0;x\r\n\r\n'), [200]),
    "trailers": (chunked(b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"), [200]),
    "two, pipelined": (head("Content-Length: 3") + b"abc" + head(line="GET /b HTTP/1.1"), [200, 200]),
    "three, pipelined, the second bad": (
        head(line="GET /a HTTP/1.1") + head("Content-Length: x") + head(line="GET /c HTTP/1.1"), [200, 400]),
    "an empty line before": (b"\r\n" + head(), [200]),
    "absolute form": (bare(b"GET http://b/c?d HTTP/1.1", b"Host: a"), [200]),
    "absolute form without path": (bare(b"GET http://b HTTP/1.1", b"Host: a"), [200]),
    "OPTIONS *": (head(line="OPTIONS * HTTP/1.1"), [200]),
    "a fragment": (head(line="GET /a#b HTTP/1.1"), [200]),
    "a path with escapes": (head(line="GET /%C3%A9?a=%C3 HTTP/1.1"), [200]),
    "two slashes": (head(line="GET //a HTTP/1.1"), [200]),
    "dots": (head(line="GET /../../etc/passwd HTTP/1.1"), [200]),
    "obs-text in a value": (head(b"X: \xe9"), [200]),
    "an empty value": (head("X:"), [200]),
    "space around a value": (head("X: \t a \t "), [200]),
    "a field twice": (head("X: a", "X: b"), [200]),
    "a name with an underscore": (head("X_A: b"), [200]),
    "HTTP/1.0": (bare(b"GET / HTTP/1.0"), [200]),
    "HTTP/1.0, kept": (bare(b"GET / HTTP/1.0", b"Connection: keep-alive") + head(line="GET /b HTTP/1.1"), [200, 200]),
    "Upgrade: h2c, which nobody takes up": (
        head("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk", "Content-Length: 3") + b"abc"
        + head(line="GET /b HTTP/1.1"), [200, 200]),
    "Upgrade: websocket": (head("Connection: Upgrade", "Upgrade: websocket", line="GET / HTTP/1.1"), [200]),
    "Upgrade with chunks": (
        head("Connection: Upgrade", "Upgrade: h2c", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n" + head(line="GET /b HTTP/1.1"), [200, 200]),
    "Expect with its body": (head("Expect: 100-continue", "Content-Length: 3") + b"abc", [200]),
    "a method of WebDAV": (head(line="PROPFIND / HTTP/1.1"), [200]),
    "after the last one": (head("Connection: close") + head(line="GET /b HTTP/1.1"), [200]),
    "a large cookie": (head("Cookie: " + "a" * 8000), [200]),
    "a hundred fields": (head(*[f"X-{n}: a" for n in range(99)]), [200]),
}  # fmt: skip

BAD: dict[str, tuple[bytes, list[int]]] = {
    # Framing: where the request ends
    "length and chunks": (head("Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\n", [400]),
    "chunks and length": (chunked(b"0\r\n\r\n", "Content-Length: 4"), [400]),
    "two lengths that differ": (head("Content-Length: 3", "Content-Length: 4") + b"abc", [400]),
    "two lengths that agree": (head("Content-Length: 3", "Content-Length: 3") + b"abc", [400]),
    "a list of lengths": (head("Content-Length: 3, 3") + b"abc", [400]),
    "a signed length": (head("Content-Length: +3") + b"abc", [400]),
    "a negative length": (head("Content-Length: -3") + b"abc", [400]),
    "a hexadecimal length": (head("Content-Length: 0x3") + b"abc", [400]),
    "an underscored length": (head("Content-Length: 1_0") + b"abc", [400]),
    "an empty length": (head("Content-Length:") + b"abc", [400]),
    "a superscript length": (head(b"Content-Length: \xb3") + b"abc", [400]),
    "a length beyond 64 bits": (head("Content-Length: 99999999999999999999") + b"abc", [400]),
    "a length beyond the limit": (head("Content-Length: 1000000000") + b"abc", [413]),
    "chunked is not last": (head("Transfer-Encoding: chunked, gzip") + b"0\r\n\r\n", [400, 501]),
    "gzip before chunked": (head("Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", [501]),
    "chunked twice": (head("Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n", [400]),
    "two codings": (head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + b"0\r\n\r\n", [400]),
    "identity": (head("Transfer-Encoding: identity") + b"abc", [400]),
    "chunked and identity": (head("Transfer-Encoding: chunked", "Transfer-Encoding: identity") + b"0\r\n\r\n", [400]),
    "an unknown coding": (head("Transfer-Encoding: xchunked") + b"0\r\n\r\n", [501]),
    "a coding after a vertical tab": (head("Transfer-Encoding: \x0bchunked") + b"0\r\n\r\n", [400]),
    "a quoted coding": (head('Transfer-Encoding: "chunked"') + b"0\r\n\r\n", [501]),
    "chunks in HTTP/1.0": (bare(b"POST / HTTP/1.0", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", [400]),
    "an underscore for a dash": (head("Content_Length: 3", "Content-Length: x") + b"abc", [400]),
    # Chunks
    "a chunk size of nothing": (chunked(b"\r\nabc\r\n0\r\n\r\n"), [400]),
    "a chunk size that is no number": (chunked(b"zz\r\nabc\r\n0\r\n\r\n"), [400]),
    "a chunk size with 0x": (chunked(b"0x3\r\nabc\r\n0\r\n\r\n"), [400]),
    "a signed chunk size": (chunked(b"+3\r\nabc\r\n0\r\n\r\n"), [400]),
    "a negative chunk size": (chunked(b"-3\r\nabc\r\n0\r\n\r\n"), [400]),
    "an underscored chunk size": (chunked(b"1_0\r\nabc\r\n0\r\n\r\n"), [400]),
    "space before a chunk size": (chunked(b" 3\r\nabc\r\n0\r\n\r\n"), [400]),
    "space after a chunk size": (chunked(b"3 \r\nabc\r\n0\r\n\r\n"), [400]),
    "a chunk size beyond 64 bits": (chunked(b"11111111111111111\r\nabc\r\n0\r\n\r\n"), [400]),
    "bare LF after a chunk size": (chunked(b"3\nabc\r\n0\r\n\r\n"), [400]),
    "bare CR in a chunk extension": (chunked(b"3;a\rb\r\nabc\r\n0\r\n\r\n"), [400]),
    "bare LF in a chunk extension": (chunked(b"3;a\nabc\r\n0\r\n\r\n"), [400]),
    "a NUL in a chunk extension": (chunked(b"3;\x00\r\nabc\r\n0\r\n\r\n"), [400]),
    "a chunk longer than it says": (chunked(b"3\r\nabcd\r\n0\r\n\r\n"), [400]),
    "a chunk that ends with LF": (chunked(b"3\r\nabc\n0\r\n\r\n"), [400]),
    "a length in the trailers": (chunked(b"0\r\nContent-Length: 5\r\n\r\n"), [400]),
    "a coding in the trailers": (chunked(b"0\r\nTransfer-Encoding: chunked\r\n\r\n"), [400]),
    "a host in the trailers": (chunked(b"0\r\nHost: b\r\n\r\n"), [400]),
    "a bad name in the trailers": (chunked(b"0\r\nX Y: b\r\n\r\n"), [400]),
    "bare LF in the trailers": (chunked(b"0\r\nX: b\n\r\n"), [400]),
    "chunks that hold next to nothing": (chunked(b"1;" + b"x" * 1_000_000 + b"\r\na\r\n0\r\n\r\n"), [400]),
    # Fields
    "space before the colon": (head("X : a"), [400]),
    "a tab before the colon": (head("X\t: a"), [400]),
    "no colon": (head("X"), [400]),
    "no name": (head(": a"), [400]),
    "a NUL in a value": (head("X: a\x00b"), [400]),
    "a control in a value": (head("X: a\x01b"), [400]),
    "a DEL in a value": (head("X: a\x7fb"), [400]),
    "a NUL in a name": (head("X\x00: a"), [400]),
    "a letter of Latin-1 in a name": (head(b"X\xdf: a"), [400]),
    "a name in quotes": (head('"X": a'), [400]),
    "obs-fold": (head("X: a", " b"), [400]),
    "obs-fold with a tab": (head("X: a", "\tb"), [400]),
    "a folded length": (head("Content-Length: 3", " 3") + b"abc", [400]),
    "space before the first field": (bare(b"GET / HTTP/1.1", b" Host: a"), [400]),
    "bare LF ends a field": (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", [400]),
    "bare LF ends the head": (b"GET / HTTP/1.1\r\nHost: a\r\n\n", [400]),
    "bare LF throughout": (b"GET / HTTP/1.1\nHost: a\n\n", [400]),
    "bare CR ends a field": (b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", [400]),
    "CR twice": (b"GET / HTTP/1.1\r\nHost: a\r\r\nX: b\r\n\r\n", [400]),
    "no host": (bare(b"GET / HTTP/1.1", b"X: a"), [400]),
    "two hosts": (head("Host: b"), [400]),
    "two hosts that agree": (head("Host: a"), [400]),
    "two content types": (head("Content-Type: a/b", "Content-Type: a/b"), [400]),
    "an unknown expectation": (head("Expect: more"), [417]),
    "a long field": (head("X: " + "a" * 9000), [431]),
    "a long name": (head("X" * 9000 + ": a"), [431]),
    "many fields": (head(*[f"X-{n}: a" for n in range(200)]), [431]),
    "an endless head": (head("X: " + "a" * 200_000), [431]),
    # The first line
    "no HTTP": (b"hello\r\n\r\n", [400]),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", [400]),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400]),
    "the PROXY protocol": (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
    "CONNECT": (bare(b"CONNECT a:80 HTTP/1.1", b"Host: a:80"), [405]),
    "HTTP/0.9": (b"GET /\r\n\r\n", [400]),
    "HTTP/0.9, said so": (head(line="GET / HTTP/0.9"), [400]),
    "HTTP/1.2": (head(line="GET / HTTP/1.2"), [400]),
    "HTTP/2.0": (head(line="GET / HTTP/2.0"), [400]),
    "HTTP/3": (head(line="GET / HTTP/3"), [400]),
    "HTTP/1.10": (head(line="GET / HTTP/1.10"), [400]),
    "HTTP/1": (head(line="GET / HTTP/1"), [400]),
    "http/1.1": (head(line="GET / http/1.1"), [400]),
    "RTSP": (head(line="DESCRIBE / RTSP/1.0"), [400]),
    "something after the version": (head(line="GET / HTTP/1.1 x"), [400]),
    "space in the target": (head(line="GET /a b HTTP/1.1"), [400]),
    "a tab for a space": (head(line="GET\t/\tHTTP/1.1"), [400]),
    "space before the method": (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
    "a method in lower case": (head(line="get / HTTP/1.1"), [400]),
    "an unknown method": (head(line="FETCH / HTTP/1.1"), [400]),
    "no target": (head(line="GET HTTP/1.1"), [400]),
    "a target without a slash": (head(line="GET a HTTP/1.1"), [400]),
    "a star that is no OPTIONS": (head(line="GET * HTTP/1.1"), [400]),
    "a target of another scheme": (head(line="GET ftp://a/ HTTP/1.1"), [400]),
    "a target with a user": (head(line="GET http://u@a/ HTTP/1.1"), [400]),
    "half an escape": (head(line="GET /%4 HTTP/1.1"), [400]),
    "an escape of no number": (head(line="GET /%zz HTTP/1.1"), [400]),
    "an escaped NUL": (head(line="GET /%00 HTTP/1.1"), [400]),
    "a NUL in the target": (head(line="GET /\x00 HTTP/1.1"), [400]),
    "a letter of Latin-1 in the target": (head(line=b"GET /\xe9 HTTP/1.1"), [400]),
    "a long target": (head(line="GET /" + "a" * 9000 + " HTTP/1.1"), [414]),
    "an endless target": (b"GET /" + b"a" * 200_000, [400, 414, 431]),
}  # fmt: skip

TRUNCATED: dict[str, tuple[bytes, list[int]]] = {
    "half a method": (b"PO", [400]),
    "half a line": (b"POST /abc HT", [400]),
    "half a field": (b"POST / HTTP/1.1\r\nHos", [400]),
    "no empty line": (b"POST / HTTP/1.1\r\nHost: a\r\n", [400]),
    "half a body": (head("Content-Length: 5") + b"abc", [400]),
    "half a chunk": (chunked(b"5\r\nabc"), [400]),
    "half a chunk size": (chunked(b"5"), [400]),
    "no last chunk": (chunked(b"3\r\nabc\r\n"), [400]),
    "no end of the trailers": (chunked(b"3\r\nabc\r\n0\r\nX: a\r\n"), [400]),
    "one, and half another": (head(line="GET / HTTP/1.1") + b"POST / HT", [200, 400]),
}
