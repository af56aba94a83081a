"""Messages between a function and its predictor's process, one at a time in each direction.

A message is pickled (protocol 5, PEP 574). What is small goes through a socket. Large parts, and
a pickle that is large as a whole, go through an arena: a file in memory that both processes have
open. The kernel copies them into it and out of it, without the GIL, so that a large tensor holds up
nobody; and what was received owns its memory, so that the next message may reuse the arena while
hooks and encoders still read the last one.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
from typing import TYPE_CHECKING, Any

from mlfunc_runtime.isolation.crossing import LARGE, reduce

if TYPE_CHECKING:
    from collections.abc import Sequence

# An arena that held more than this gives its memory back before the next message.
_KEPT = 64 * 2**20
_PROTOCOL = 5
_HEAD = struct.Struct("<Q?I")  # bytes of the pickle, whether it is in the arena, number of parts
_PART = struct.Struct("<Q?")  # bytes, whether they are for reading only


class Uncrossable(TypeError):
    """A message that cannot be pickled here, or not be made of its pickle there."""


class Arena:
    """A file in memory, written from its start for each message."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def write(self, parts: Sequence[memoryview]) -> None:
        """Put the parts one behind the other.

        Raises:
            OSError: there is no memory for them.

        """
        if os.fstat(self.descriptor).st_size > _KEPT:
            os.ftruncate(self.descriptor, 0)
        offset = 0
        for part in parts:
            done = 0
            while done < part.nbytes:
                done += os.pwrite(self.descriptor, part[done:], offset + done)
            offset += part.nbytes

    def read(self, sizes: Sequence[tuple[int, bool]]) -> list[bytes | bytearray]:
        """The parts, each in memory of its own: bytes where it is for reading only."""
        parts: list[bytes | bytearray] = []
        offset = 0
        for size, readonly in sizes:
            take = _bytes_at if readonly else _bytearray_at
            parts.append(take(self.descriptor, size, offset))
            offset += size
        return parts


class Channel:
    """One end of the connection: a stream socket and an arena in each direction.

    `sent` and `received` count the bytes that went through the socket.
    """

    def __init__(self, descriptor: int, outgoing: Arena, incoming: Arena) -> None:
        self.descriptor = descriptor
        self._outgoing = outgoing
        self._incoming = incoming
        self.sent = self.received = 0

    def send(self, message: Any) -> None:
        """Send a message, whole.

        Raises:
            Uncrossable: it cannot be pickled; nothing was sent.
            EOFError: nobody is there to read it.

        """
        try:
            pickled, parts = _dump(message)
            in_arena = len(pickled) >= LARGE
            self._outgoing.write([pickled, *parts] if in_arena else parts)
        except Exception as error:
            raise Uncrossable(f"{type(error).__name__}: {error}") from error
        head = _HEAD.pack(len(pickled), in_arena, len(parts))
        table = b"".join(_PART.pack(part.nbytes, part.readonly) for part in parts)
        self._write(b"".join((head, table, b"" if in_arena else pickled)))

    def receive(self) -> Any:
        """Wait for a message.

        Raises:
            Uncrossable: it came, but something in it cannot be made here.
            EOFError: nobody is there to send one.

        """
        size, in_arena, count = _HEAD.unpack(self._read(_HEAD.size))
        table = self._read(_PART.size * count)
        pickled = None if in_arena else self._read(size)
        sizes = [(size, True)] * in_arena + list(_PART.iter_unpack(table))
        try:
            parts: list[Any] = self._incoming.read(sizes)
            return pickle.loads(parts.pop(0) if pickled is None else pickled, buffers=parts)  # noqa: S301 - of our own process
        except Exception as error:
            raise Uncrossable(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Let go of the socket and the arenas."""
        for descriptor in (
            self.descriptor,
            self._outgoing.descriptor,
            self._incoming.descriptor,
        ):
            os.close(descriptor)

    def _write(self, frame: bytes) -> None:
        left = memoryview(frame)
        try:
            while left:
                left = left[os.write(self.descriptor, left) :]
        except ConnectionError as error:
            raise EOFError from error
        self.sent += len(frame)

    def _read(self, size: int) -> bytes:
        frame = bytearray()
        while len(frame) < size:
            try:
                chunk = os.read(self.descriptor, size - len(frame))
            except ConnectionError as error:
                raise EOFError from error
            if not chunk:
                raise EOFError
            frame += chunk
        self.received += size
        return bytes(frame)


class _Pickler(pickle.Pickler):
    """Asks for each object that is none of pickle's own how it crosses."""

    def reducer_override(self, value: Any) -> Any:
        return reduce(value)


def check(value: Any) -> None:
    """Raise Uncrossable if a message must not hold `value`."""
    try:
        _dump(value)
    except Exception as error:
        raise Uncrossable(f"{type(error).__name__}: {error}") from error


def _dump(message: Any) -> tuple[memoryview, list[memoryview]]:
    parts: list[memoryview] = []

    def stays_in(buffer: pickle.PickleBuffer) -> bool:
        part = buffer.raw()
        if part.nbytes >= LARGE:
            parts.append(part)
        return part.nbytes < LARGE

    stream = io.BytesIO()
    _Pickler(stream, _PROTOCOL, buffer_callback=stays_in).dump(message)
    return stream.getbuffer(), parts


def _bytes_at(descriptor: int, size: int, offset: int) -> bytes:
    part = os.pread(descriptor, size, offset)
    # The kernel reads at most 2 GiB at once.
    return part if len(part) == size else bytes(_bytearray_at(descriptor, size, offset))


def _bytearray_at(descriptor: int, size: int, offset: int) -> bytearray:
    part = bytearray(size)
    done = 0
    with memoryview(part) as view:
        while done < size:
            done += _some(os.preadv(descriptor, [view[done:]], offset + done))
    return part


def _some(count: int) -> int:
    if not count:
        message = "the arena is shorter than the message says"
        raise OSError(message)
    return count
