"""Uploading one blob: whole, or in chunks that a broken connection or a killed program interrupts.

Distribution specification, "Pushing blobs". Chunks of one blob are strictly one after the other,
so only different blobs travel at once.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from mlfunc.errors import MlfuncError, RegistryFailed
from mlfunc.oci.reference import registry_host
from mlfunc.oci.transport import BUSY, Broken, asked_for

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from mlfunc.oci.content import Blob
    from mlfunc.oci.registry import Remote
    from mlfunc.oci.sessions import Sessions
    from mlfunc.oci.transport import Reply

CHUNK = 64 << 20  # also the longest blob that is sent in one request
_PIECE = 256 << 10  # what one write to the network may hold: each has to pass within a timeout
_FATAL = {401, 403, 413, 429}  # beginning anew would end the same


# Bytes of a line that broke may have been on their way still when it was asked what it has.
_HAS_ANOTHER_SIZE = 416


class Stopped(Exception):
    """Another upload failed, so this one was given up."""


@dataclass
class Upload:
    """One blob on its way. `sent` counts the bytes that went over the network, in vain or not."""

    remote: Remote
    blob: Blob
    sessions: Sessions
    report: Callable[[int], None]  # the bytes that the registry has or was sent
    stop: threading.Event
    chunk: int = CHUNK
    sent: int = 0

    def run(self) -> None:
        """Send it, going on where an earlier program was interrupted.

        Raises:
            RegistryFailed: it was refused, or broke off too often.
            MlfuncError: its bytes could not be read, or have changed.
            Stopped: somebody else failed.

        """
        location = self.sessions.get(*self._key)
        if location and (offset := self._reached(location)) is not None:
            reply = self._in_chunks(location, offset)
            if reply.status == 201 or reply.status in _FATAL:
                return self._finish(reply)
        self.sessions.forget(*self._key)
        if self._size <= self.chunk:
            return self._finish(self._whole())
        location, chunk = self._begin()
        self.chunk = max(self.chunk, chunk)
        reply = self._in_chunks(location, 0)
        if reply.status != 201 and reply.status not in _FATAL | BUSY:
            # A registry that takes no chunks, or lost the session: all in one request.
            reply = self._whole()
        self._finish(reply)
        return None

    @property
    def _key(self) -> tuple[str, str, str]:
        reference = self.remote.reference
        return reference.registry, reference.repository, self.blob.descriptor.digest

    @property
    def _size(self) -> int:
        return self.blob.descriptor.size

    def _finish(self, reply: Reply) -> None:
        if reply.status != 201:
            raise self.remote.refusal(reply)
        self.sessions.forget(*self._key)
        self.report(self._size)

    def _begin(self, *, again: bool = True) -> tuple[str, int]:
        """A new session: where it is, and the least that a chunk must have."""
        empty = {"Content-Length": "0"}
        reply = self.remote.request("POST", "blobs/uploads/", empty, again=again)
        if reply.status in BUSY:
            raise self._busy(reply)
        if reply.status != 202:
            raise self.remote.refusal(reply)
        least = reply.headers.get("oci-chunk-min-length", "")
        return self._next(reply, ""), int(least) if least.isdecimal() else 0

    def _whole(self) -> Reply:
        """POST, then PUT with everything. A break begins it anew: half of it is worth nothing."""
        return self.remote.transport.patiently(lambda: self._put(self._begin(again=False)[0], 0))

    def _put(self, location: str, offset: int) -> Reply:
        """The end of a session, with all bytes from `offset` on."""
        joint = "&" if urlsplit(location).query else "?"
        url = f"{location}{joint}digest={self.blob.descriptor.digest}"
        length = self._size - offset
        return self._send("PUT", url, offset, length, {})

    def _in_chunks(self, location: str, offset: int) -> Reply:
        """PATCH after PATCH, then PUT; after a break the registry is asked what it has."""
        waits = iter(self.remote.transport.access.waits)
        while True:
            self.sessions.put(*self._key, location)
            try:
                reply = self._step(location, offset)
            except Broken as broken:
                wait = next(waits, None)
                if wait is None:
                    raise
                time.sleep(max(wait, broken.after))
                known = self._reached(location)
                if known is None:
                    location, _ = self._begin()
                offset = known or 0
                continue
            if reply.status == _HAS_ANOTHER_SIZE and next(waits, None) is not None:
                known = self._reached(location)
                if known not in {None, offset}:
                    offset = known or 0
                    continue
            if reply.status != 202:
                return reply
            known = _range_end(reply)
            if known is not None and known > offset:
                waits = iter(self.remote.transport.access.waits)
            location = self._next(reply, location)
            offset = min(self._size, offset + self.chunk) if known is None else known

    def _step(self, location: str, offset: int) -> Reply:
        length = min(self.chunk, self._size - offset)
        if length:
            headers = {"Content-Range": f"{offset}-{offset + length - 1}"}
            reply = self._send("PATCH", location, offset, length, headers)
        else:
            reply = self._put(location, offset)
        if reply.status in BUSY:
            raise self._busy(reply)
        return reply

    def _busy(self, reply: Reply) -> Broken:
        refusal = self.remote.refusal(reply)
        return Broken(refusal.message, refusal.hint, after=asked_for(reply))

    def _send(
        self, method: str, url: str, offset: int, length: int, headers: dict[str, str]
    ) -> Reply:
        headers |= {"Content-Type": "application/octet-stream", "Content-Length": str(length)}
        return self.remote.request(
            method, url, headers, lambda: self._pieces(offset, length), again=False
        )

    def _pieces(self, offset: int, length: int) -> Iterator[bytes]:
        """The blob's bytes, exactly so many, in small pieces."""
        end = offset + length
        if not length:
            # The end of a session that has all of them.
            return
        try:
            for data in self.blob.read(offset):
                for start in range(0, min(len(data), end - offset), _PIECE):
                    if self.stop.is_set():
                        raise Stopped
                    piece = data[start : min(start + _PIECE, end - offset)]
                    yield piece
                    self.sent += len(piece)
                    self.report(offset + start + len(piece))
                offset += min(len(data), end - offset)
                if offset == end:
                    return
        except OSError as error:
            # Else it would look like one of the network.
            raise MlfuncError(f"cannot read what is to be pushed: {error}") from error
        raise MlfuncError("what is to be pushed has become shorter since it was looked at")

    def _reached(self, location: str) -> int | None:
        """How many bytes a session has; None: it is no more."""
        reply = self.remote.request("GET", location)
        if reply.status != 204:
            return None
        return _range_end(reply) or 0

    def _next(self, reply: Reply, before: str) -> str:
        """Where the next request goes: never to a private address that is not the registry's."""
        location = urljoin(before or self.remote.base, reply.headers.get("location", before))
        host, own = (registry_host(urlsplit(url).netloc) for url in (location, self.remote.base))
        if host == own:
            # Behind a proxy that ends TLS, registries believe they speak HTTP.
            parts = urlsplit(self.remote.base)
            return urlsplit(location)._replace(scheme=parts.scheme, netloc=parts.netloc).geturl()
        if _is_private(host):
            message = (
                f"{own} wants the upload sent to {host}, a private address that is not its own"
            )
            raise RegistryFailed(message, "correct the `host` in the registry's configuration")
        return location


def _range_end(reply: Reply) -> int | None:
    """What a session has, of `Range: 0-99`; 0-0 is said of an empty one."""
    text = reply.headers.get("range", "").removeprefix("bytes=")
    _, dash, last = text.partition("-")
    if not dash or not last.isdecimal():
        return None
    return int(last) + 1 if int(last) else 0


def _is_private(host: str) -> bool:
    """Whether a name leads into some network of ours: then nobody outside may send us there."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return False  # it will not be reached either
    return any(not ip_address(address.partition("%")[0]).is_global for address in found)
