"""A request to a function, from its arrival to the end of its reply.

It waits for a place in an instance, is sent, and what is replied is handed to whoever has asked.
Nothing is asked twice that may have been done: see `_may_repeat`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from mlfunc.supervisor.gateway import replies
from mlfunc.supervisor.gateway.forwarding import IDEMPOTENT, LAST_CHUNK, chunk
from mlfunc.supervisor.gateway.meter import LEFT

if TYPE_CHECKING:
    from mlfunc.supervisor.gateway.forwarding import ReplyHead
    from mlfunc.supervisor.gateway.holding import Place, Revision
    from mlfunc.supervisor.gateway.upstream import Upstream
    from mlfunc.supervisor.http.messages import Reply

# So much of a body is kept, while it waits, and to be sent again.
KEPT = 65536


class Recipient(Protocol):
    """Who has asked."""

    def begin(self, head: ReplyHead) -> None:
        """The head of the reply is there."""
        ...

    def data(self, piece: bytes) -> None:
        """Some of its body."""
        ...

    def end(self) -> None:
        """All of it."""
        ...

    def flush(self) -> None:
        """That was all for now: what was handed over may go out."""
        ...

    def cut(self) -> None:
        """It began, and will not be whole."""
        ...

    def answer(self, reply: Reply) -> None:
        """There is none of an instance, but this."""
        ...

    def pause(self) -> None:
        """Send no more of the request's body for now."""
        ...

    def resume(self) -> None:
        """Go on."""
        ...


class Outgoing(NamedTuple):
    """A request as an instance gets it; its body is handed over piece by piece."""

    id: bytes
    method: bytes
    head: bytes
    chunked: bool


class Exchange:
    """One request. `came`: when."""

    __slots__ = (
        "_body",
        "_size",
        "_upstream",
        "came",
        "over",
        "place",
        "recipient",
        "replying",
        "request",
        "revision",
        "status",
        "whole",
    )

    def __init__(self, request: Outgoing, recipient: Recipient, revision: Revision) -> None:
        self.request = request
        self.recipient = recipient
        self.revision = revision
        self.place: Place | None = None
        self.whole = self.replying = self.over = False
        self.came = 0.0
        self.status = 0
        self._body: list[bytes] | None = []  # None: too much to be kept
        self._size = 0
        self._upstream: Upstream | None = None

    @property
    def size(self) -> int:
        """Bytes of the body that are kept."""
        return self._size

    # What whoever has asked says.

    def begin(self) -> None:
        """Its head is there, and maybe more."""
        self.revision.admit(self)

    def more(self, piece: bytes) -> None:
        """Some of its body."""
        if piece and not self.over:
            self._send(chunk(piece) if self.request.chunked else piece)

    def ends(self) -> None:
        """All of its body."""
        self.whole = True
        if self.request.chunked and not self.over:
            self._send(LAST_CHUNK)

    def abandon(self) -> None:
        """Nobody waits for the reply any more."""
        if not self.over:
            self._finish(LEFT)

    def pause(self) -> None:
        """Nobody takes more of the reply for now."""
        if self._upstream is not None:
            self._upstream.pause()

    def resume(self) -> None:
        """Somebody does."""
        if self._upstream is not None:
            self._upstream.resume()

    # What the revision says.

    def go(self, place: Place) -> None:
        """Here is a place."""
        self.place = place
        kept = place.kept()
        if kept is None:
            place.connect(self)
        else:
            self.send_on(kept)

    def expire(self) -> None:
        """No reply has begun, and it is too late."""
        timeout = self.revision.timeout
        where = "no instance had room" if self.place is None else "the function has not answered"
        self.fail(504, f"{where} within {timeout:g} s, its timeout")

    def fail(self, status: int, detail: str, *more: tuple[str, str]) -> None:
        """Say so to whoever has asked, if they have heard nothing yet."""
        self._finish(status)
        self.recipient.answer(replies.problem(status, detail, self.request.id, *more))

    # What the connection to an instance says.

    def send_on(self, upstream: Upstream) -> None:
        """It is open."""
        self._upstream = upstream
        upstream.send(self, b"".join((self.request.head, *(self._body or ()))))
        if self._size > KEPT:
            self._body = None
        if not upstream.full:
            self.recipient.resume()

    def unreachable(self) -> None:
        """It cannot be opened: nobody has seen the request."""
        self._again()

    def reply(self, head: ReplyHead) -> None:
        """The head of a reply."""
        self.replying, self.status, self._body = True, head.status, None
        self.revision.replies(self)
        self.recipient.begin(head)

    def done(self) -> None:
        """The reply is whole."""
        self._finish(self.status)
        self.recipient.end()

    def lost(self, *, kept: bool, reset: bool) -> None:
        """The connection has ended. `kept`: it had served before. `reset`: with unread bytes."""
        if self.place is not None:
            self.place.shun()  # it may be on its way out
        if self.replying:
            self.revision.meter.broken += 1
            self._finish(self.status)
            self.recipient.cut()
        elif self._may_repeat(kept=kept, reset=reset):
            self._again()
        else:
            self.fail(502, "the instance ended before it had answered")

    def _may_repeat(self, *, kept: bool, reset: bool) -> bool:
        """An instance that had read the request when it ended closes its connection; one that had
        not resets it (RFC 9293, 3.6.1). On a new connection it may have read a part.
        """
        if self._body is None:
            return False
        return kept and (reset or self.request.method in IDEMPOTENT)

    def _again(self) -> None:
        place, self.place, self._upstream = self.place, None, None
        if place is not None:
            place.release()
        self.revision.again(self)

    def _send(self, data: bytes) -> None:
        self._size += len(data)
        if self._body is not None:
            self._body.append(data)
        if self._upstream is None:
            self.revision.keeps(self, len(data))
            if self._size > KEPT:
                self.recipient.pause()
            return
        if self._size > KEPT:
            self._body = None
        self._upstream.write(data)

    def _finish(self, status: int) -> None:
        self.over = True
        place, upstream = self.place, self._upstream
        self._upstream = None
        if upstream is not None:
            upstream.end(self)
        self.revision.leaves(self, status)
        if place is not None:
            place.release()
