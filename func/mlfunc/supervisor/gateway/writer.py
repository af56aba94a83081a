"""Replies to bytes, on a client's connection: whole ones in one piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlfunc.supervisor.gateway import forwarding

if TYPE_CHECKING:
    import asyncio

    from mlfunc.supervisor.gateway.forwarding import ReplyHead
    from mlfunc.supervisor.gateway.parser import Incoming


class Writer:
    """`begun`: a reply is under way. `keep`: another request may follow it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._out: list[bytes] = []
        self._chunked = self._until_end = self._bodiless = False
        self.begun = self.keep = False

    def begin(self, head: ReplyHead, incoming: Incoming, *, last: bool) -> None:
        """The head of a reply; what is not wholly read is the last request anyway."""
        body = forwarding.has_body(head, incoming.method)
        endless = body and head.length is None
        self.begun, self._bodiless = True, not body
        self._chunked = endless and incoming.modern
        self._until_end = endless and not incoming.modern
        self.keep = incoming.keep and incoming.whole and not last and not self._until_end
        self._out.append(forwarding.reply_head(head, keep=self.keep, chunked=self._chunked))

    def data(self, piece: bytes) -> None:
        """Some of its body."""
        if not self._bodiless:
            self._out.append(forwarding.chunk(piece) if self._chunked else piece)

    def end(self) -> None:
        """All of it."""
        if self._chunked:
            self._out.append(forwarding.LAST_CHUNK)
        self.flush()
        self.begun = False

    def flush(self) -> None:
        """What was handed over goes out."""
        if self._out:
            out, self._out = self._out, []
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))

    def cut(self) -> None:
        """The reply will not be whole, and the client shall see that it is not."""
        self.flush()
        if self._until_end:
            self._transport.abort()
        else:
            self._transport.close()
