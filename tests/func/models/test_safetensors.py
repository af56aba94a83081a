"""Parts of a safetensors file: its own library is the judge."""

from __future__ import annotations

import itertools
import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.errors import UsageError
from mlfunc.models import safetensors as ours
from mlfunc.models.safetensors import Header, Part, Tensor
from safetensors import safe_open
from safetensors.numpy import save_file

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    tensors: dict[str, Any] = {
        f"layer.{n}.weight": rng.random((50 + n, 3)).astype(np.float16) for n in range(40)
    }
    tensors |= {"odd": np.arange(7, dtype=np.uint8), "empty": np.zeros((0, 4), np.float32)}
    tensors |= {"größe": np.arange(3, dtype=np.int64), "scalar": np.array(2.5, np.float32)}
    path = tmp_path / "model.safetensors"
    save_file(tensors, path, metadata={"format": "pt", "of": "a test"})
    return path


def write(parts: tuple[Part, ...], source: Path, folder: Path) -> list[Path]:
    paths = [folder / ours.part_name(number, len(parts)) for number in range(len(parts))]
    data = source.read_bytes()
    for path, part in zip(paths, parts, strict=True):
        path.write_bytes(part.header + data[part.offset :][: part.length])
    return paths


def read(path: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    with safe_open(path, "np") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no dict
    return {name: (str(t.dtype), t.shape, t.tobytes()) for name, t in tensors.items()}


@pytest.mark.parametrize("count", [1, 2, 7, 60])
def test_the_library_reads_the_same_tensors_from_the_parts(
    file: Path, tmp_path: Path, count: int
) -> None:
    header = ours.read_header(file)
    parts = ours.part(header, count)

    paths = write(parts, file, tmp_path)

    found = {name: tensor for path in paths for name, tensor in read(path).items()}
    assert found == read(file)
    index = json.loads(ours.index(header, parts))["weight_map"]
    assert {name: path.name for path in paths for name in read(path)} == index


def test_each_part_says_what_the_whole_says_of_itself(file: Path, tmp_path: Path) -> None:
    for path in write(ours.part(ours.read_header(file), 3), file, tmp_path):
        with safe_open(path, "np") as opened:
            assert opened.metadata() == {"format": "pt", "of": "a test"}


@st.composite
def headers(draw: st.DrawFn) -> Header:
    sizes = draw(st.lists(st.integers(0, 100), max_size=50))
    at = [sum(sizes[:n]) for n in range(len(sizes) + 1)]
    tensors = [Tensor(f"t{n}", "U8", (size,), at[n], at[n + 1]) for n, size in enumerate(sizes)]
    return Header(tuple(tensors), {}, 8)


@given(headers(), st.integers(1, 12))
def test_parts_follow_on_each_other_and_cover_every_byte_once(header: Header, count: int) -> None:
    parts = ours.part(header, count)

    full = [part for part in parts if part.length]
    assert len(parts) == count
    assert sum(part.length for part in full) == header.size
    for before, after in itertools.pairwise(full):
        assert before.offset + before.length == after.offset
    assert [t for part in parts for t in part.tensors] == list(header.tensors)


@given(headers(), st.integers(1, 12))
def test_every_tensor_stays_aligned_as_it_was(header: Header, count: int) -> None:
    for part in ours.part(header, count):
        assert len(part.header) % 8 == 0
        assert (part.offset - header.start) % 8 == 0


@given(headers(), st.integers(1, 12))
def test_a_part_is_no_larger_than_its_share_and_its_largest_run(header: Header, count: int) -> None:
    largest = max((t.end - t.begin for t in header.tensors), default=0)
    # Runs of tensors that end on no border of 8 bytes are kept together.
    run = 8 * (largest + 1) + largest
    for part in ours.part(header, count):
        assert part.length <= header.size / count + 2 * max(run, header.size * (largest % 8 > 0))


def header_of(fields: Any, data: bytes = b"") -> bytes:
    text = json.dumps(fields).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "too short"),
        (b"\xff" * 8 + b"{}", "longer than it may be"),
        (struct.pack("<Q", 10) + b"{}", "longer than it may be"),
        (struct.pack("<Q", 2) + b"[]", "no mapping"),
        (struct.pack("<Q", 2) + b"{x", "property name"),
        (header_of({"t": {"dtype": "U8", "shape": [1]}}), "data_offsets"),
        (header_of({"t": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}}, b"x"), "promises"),
        (header_of({"t": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}}, b"xy"), "follow"),
        (header_of({"t": {"dtype": "U8", "shape": [1], "data_offsets": [0]}}, b"x"), "argument"),
    ],
)
def test_what_is_no_such_file_is_refused_with_the_reason(
    tmp_path: Path, content: bytes, why: str
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)

    with pytest.raises(UsageError, match=rf"no complete safetensors file.*{why}"):
        ours.read_header(path)
