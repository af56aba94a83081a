"""Requests from within, such as events: who asks is no connection, and gets the reply whole."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mlfunc.supervisor.gateway import replies
from mlfunc.supervisor.http.messages import Reply

if TYPE_CHECKING:
    from mlfunc.supervisor.gateway.forwarding import ReplyHead

_BOUND = 64 * 2**20


class Within:
    """A recipient; `reply` is set when it is there."""

    def __init__(self, request_id: bytes) -> None:
        self.reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._id = request_id
        self._head: ReplyHead | None = None
        self._pieces: list[bytes] = []
        self._size = 0

    def begin(self, head: ReplyHead) -> None:
        """The head of the reply."""
        self._head = head

    def data(self, piece: bytes) -> None:
        """Some of its body."""
        self._size += len(piece)
        if self._size <= _BOUND:
            self._pieces.append(piece)

    def end(self) -> None:
        """All of it."""
        head = self._head
        if head is None:
            return
        if self._size > _BOUND:
            told = f"the reply is larger than {_BOUND} bytes"
            self.answer(replies.problem(502, told, self._id))
            return
        headers = [_parted(line) for line in head.lines]
        self.answer(Reply(head.status, headers, b"".join(self._pieces)))

    def flush(self) -> None:
        """Nothing: it is whole, or it is not there."""

    def cut(self) -> None:
        """It will not be whole."""
        self.answer(replies.problem(502, "the instance ended in the midst of its reply", self._id))

    def answer(self, reply: Reply) -> None:
        """This is it."""
        if not self.reply.done():
            self.reply.set_result(reply)

    def pause(self) -> None:
        """Nothing: the body is here already."""

    def resume(self) -> None:
        """Nothing."""


def _parted(line: bytes) -> tuple[str, str]:
    name, _, value = line.decode("latin-1").partition(":")
    return name.lower(), value.strip()
