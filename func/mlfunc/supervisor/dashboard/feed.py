"""What pages get: a message a second, with those sections that have changed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_encoder = msgspec.json.Encoder(order="deterministic")


@dataclass(frozen=True)
class Frame:
    """Everything at a moment, each section as JSON."""

    at: float
    sections: Mapping[str, bytes] = field(default_factory=dict)


class Page:
    """A page that is open. One that is slow misses frames, and never gets an old one."""

    def __init__(self) -> None:
        self._sent: dict[str, bytes] = {}
        self._frame: Frame | None = None
        self._news = asyncio.Event()
        self._ended = False

    def show(self, frame: Frame) -> None:
        """This is how things are now."""
        self._frame = frame
        self._news.set()

    def end(self) -> None:
        """There is no more to come."""
        self._ended = True
        self._news.set()

    async def messages(self) -> AsyncIterator[bytes]:
        """One for each frame, if it is read in time."""
        while True:
            await self._news.wait()
            self._news.clear()
            if self._ended:
                return
            if self._frame is not None:
                yield self._message(self._frame)

    def _message(self, frame: Frame) -> bytes:
        changed = {
            name: text for name, text in frame.sections.items() if self._sent.get(name) != text
        }
        self._sent |= changed
        raw = {name: msgspec.Raw(text) for name, text in changed.items()}
        return event({"at": round(frame.at, 3), **raw})


def encode(data: Any) -> bytes:
    """As JSON: the same for the same."""
    return _encoder.encode(data)


def event(data: Any, name: str = "") -> bytes:
    """A server-sent event. JSON has no line feed, so it is one line."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + encode(data) + b"\n\n"
