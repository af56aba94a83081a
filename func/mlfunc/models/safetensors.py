"""Parts a safetensors file on the borders of its tensors, without copying it.

The format: eight bytes with the length of the header, the header (JSON: name -> dtype, shape and
place), then the tensors' bytes without a gap. A part is a new header before a range of the old
file. How they belong together says an index, as transformers writes it.

This module reads no tensor and knows no dtype: bytes stay as they are.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlfunc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

INDEX = "model.safetensors.index.json"
_LENGTH = struct.Struct("<Q")
# As the format's own library has it: more is an attack or no such file.
_HEADER_AT_MOST = 100_000_000
# What begins here stays aligned for every dtype.
_ALIGNMENT = 8
_METADATA = "__metadata__"


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's place in the data, in bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class Header:
    """What a file says of itself; `start` is where its data begins."""

    tensors: tuple[Tensor, ...]
    metadata: Mapping[str, str]
    start: int

    @property
    def size(self) -> int:
        """Of the data, in bytes."""
        return self.tensors[-1].end if self.tensors else 0


@dataclass(frozen=True)
class Part:
    """A file of its own: this header, then bytes of the old file."""

    header: bytes
    offset: int
    length: int
    tensors: tuple[Tensor, ...]


def read_header(path: Path) -> Header:
    """The header of a file.

    Raises:
        UsageError: it is no safetensors file, or a broken one.

    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = _length(file.read(_LENGTH.size), size)
            header = _header(json.loads(file.read(length)), _LENGTH.size + length)
        _check_whole(header, size)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        message = f"{path} is no complete safetensors file: {error}"
        raise UsageError(message, "fetch it again") from error
    return header


def _length(start: bytes, size: int) -> int:
    if len(start) < _LENGTH.size:
        raise ValueError("it is too short")
    length = int(_LENGTH.unpack(start)[0])
    if length > min(_HEADER_AT_MOST, size - _LENGTH.size):
        raise ValueError("its header is longer than it may be")
    return length


def _header(fields: Any, start: int) -> Header:
    if not isinstance(fields, dict):
        raise TypeError("its header is no mapping")
    metadata = fields.pop(_METADATA, None) or {}
    tensors = (
        Tensor(name, of["dtype"], tuple(of["shape"]), *map(int, of["data_offsets"]))
        for name, of in fields.items()
    )
    # Empty tensors share a place with their neighbours: first those that end first.
    return Header(tuple(sorted(tensors, key=lambda t: (t.begin, t.end))), metadata, start)


def _check_whole(header: Header, size: int) -> None:
    at = 0
    for tensor in header.tensors:
        if tensor.begin != at or tensor.end < at:
            raise ValueError(f"tensor {tensor.name} does not follow on the one before")
        at = tensor.end
    if header.start + at != size:
        raise ValueError(f"it has {size} bytes where its header promises {header.start + at}")


def part(header: Header, count: int) -> tuple[Part, ...]:
    """The same tensors in so many files of about one size; some may hold none."""
    groups: list[list[Tensor]] = [[] for _ in range(count)]
    for run in _runs(header.tensors):
        # By where its middle lies, so that each border is decided without the others.
        middle = (run[0].begin + run[-1].end) // 2
        groups[min(count - 1, middle * count // max(1, header.size))].extend(run)
    return tuple(_part(header, group) for group in groups)


def _runs(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Tensors that a cut may not part: those after the first would lose their alignment."""
    run: list[Tensor] = []
    for tensor in tensors:
        if run and tensor.begin % _ALIGNMENT == 0:
            yield run
            run = []
        run.append(tensor)
    if run:
        yield run


def _part(header: Header, tensors: Sequence[Tensor]) -> Part:
    begin, end = (tensors[0].begin, tensors[-1].end) if tensors else (0, 0)
    fields: dict[str, Any] = {_METADATA: dict(header.metadata)} if header.metadata else {}
    for t in tensors:
        place = [t.begin - begin, t.end - begin]
        fields[t.name] = {"dtype": t.dtype, "shape": list(t.shape), "data_offsets": place}
    return Part(_encode(fields), header.start + begin, end - begin, tuple(tensors))


def _encode(fields: dict[str, Any]) -> bytes:
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return _LENGTH.pack(len(text)) + text


def part_name(number: int, count: int) -> str:
    """What transformers calls a part; the first is number 0."""
    return f"model-{number + 1:05}-of-{count:05}.safetensors"


def index(header: Header, parts: Sequence[Part]) -> bytes:
    """What tells a loader in which part each tensor is."""
    names = {
        tensor.name: part_name(number, len(parts))
        for number, each in enumerate(parts)
        for tensor in each.tensors
    }
    content = {"metadata": {"total_size": header.size}, "weight_map": dict(sorted(names.items()))}
    return json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"
