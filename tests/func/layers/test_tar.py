"""Archives: the same bytes each time, readable from any byte on, and by programs that unpack them."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mlfunc.errors import MlfuncError
from mlfunc.layers import reading, tar, tree
from mlfunc.layers.tree import File, Folder, Link, Range, Tree
from mlfunc.oci import content

from .trees import trees

if TYPE_CHECKING:
    from pathlib import Path

LONG = "/".join(["a folder whose name is long"] * 12)
AWKWARD = Tree(
    (
        File("workspace/x.py", (b"print('x')",)),
        File("workspace/run", (b"#!/bin/sh",), executable=True),
        File(f"{LONG}/model.bin", (b"1" * 511, b"2" * 600)),
        File("Größe/模型 🤗.txt", ("ünï".encode(),)),
        File("exactly one block", (bytes(512),)),
        File("empty", ()),
        Folder("tmp/nothing in it"),
        Link("workspace/latest", "../Größe/模型 🤗.txt"),
        Link("workspace/far", f"../{LONG}/model.bin"),
    )
)
# What every machine, architecture and Python gives. Another one makes all layers that there are anew.
AWKWARD_DIFF_ID = "67543cd223b4aff3e9203c5471033eaf736ab0d4ed6312dc68680adc8dde3bd8"


def whole(archive: tar.Tar) -> bytes:
    return b"".join(archive.read())


def unpacked(data: bytes) -> Tree:
    """A tree, as Python's own tarfile reads it."""
    with tarfile.open(fileobj=io.BytesIO(data)) as read:
        return Tree(tuple(_entry(read, info) for info in read))


def _entry(read: tarfile.TarFile, info: tarfile.TarInfo) -> tree.Entry:
    if info.issym():
        return Link(info.name, info.linkname)
    if info.isdir():
        return Folder(info.name)
    file = read.extractfile(info)
    data = file.read() if file else b""
    return File(info.name, (data,) if data else (), executable=bool(info.mode & 0o100))


def joined(one: Tree) -> Tree:
    """The same with each file in one piece."""
    return Tree(tuple(map(_joined, one.entries)))


def _joined(entry: tree.Entry) -> tree.Entry:
    if not isinstance(entry, File):
        return entry
    data = b"".join(reading.read(entry.pieces))
    return File(entry.path, (data,) if data else (), entry.executable)


@given(trees())
@example(AWKWARD)
def test_an_archive_holds_the_tree(one: Tree) -> None:
    assert unpacked(whole(tar.archive(one))) == joined(one)


@given(trees(), st.data())
@example(AWKWARD, None)
def test_from_any_byte_on_it_reads_as_the_end_of_the_whole(
    one: Tree, data: st.DataObject | None
) -> None:
    archive = tar.archive(one)
    full = whole(archive)
    assert len(full) == archive.size
    offsets = [data.draw(st.integers(0, archive.size))] if data else range(0, archive.size, 97)
    for offset in offsets:
        assert b"".join(archive.read(offset)) == full[offset:]


def test_the_same_tree_is_the_same_bytes_on_every_machine() -> None:
    digest = hashlib.sha256(whole(tar.archive(AWKWARD))).hexdigest()
    assert digest == AWKWARD_DIFF_ID


def test_nothing_of_this_machine_is_in_it() -> None:
    with tarfile.open(fileobj=io.BytesIO(whole(tar.archive(AWKWARD)))) as read:
        facts = {(i.mtime, i.uid, i.gid, i.uname, i.gname) for i in read}
        modes = {i.mode for i in read}
    assert facts == {(315532801, 0, 0, "", "")}
    assert modes == {0o644, 0o755, 0o777}


def test_folders_come_before_what_is_in_them() -> None:
    with tarfile.open(fileobj=io.BytesIO(whole(tar.archive(AWKWARD)))) as read:
        names = read.getnames()
    assert len(names) == len(set(names))
    for position, name in enumerate(names):
        assert set(tree.parents(name)) <= set(names[:position])


@pytest.mark.parametrize("program", ["tar", "umoci"])
def test_programs_unpack_it(tmp_path: Path, program: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    if program == "tar":
        command = ["tar", "-x", "-C", str(out)]
        subprocess.run(command, input=whole(tar.archive(AWKWARD)), check=True)
    else:
        _layout(tmp_path / "layout", whole(tar.archive(AWKWARD)))
        command = ["umoci", "raw", "unpack", "--rootless", "--image", "layout:it", "out"]
        subprocess.run(command, cwd=tmp_path, check=True)
    found = tree.scan(out)
    assert joined(found) == joined(AWKWARD)
    assert (out / "workspace/x.py").stat().st_mtime == tar.MTIME


def _layout(folder: Path, layer: bytes) -> None:
    """An image with one layer, as a folder that Go's archive/tar, which containerd uses, reads."""
    (folder / "blobs/sha256").mkdir(parents=True)
    diff_id = content.digest(layer)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    }
    blobs = [
        content.Bytes(json.dumps(config).encode(), content.CONFIG),
        content.Bytes(layer, content.LAYER),
    ]
    of_config, of_layer = (blob.descriptor.as_json() for blob in blobs)
    manifest = {
        "schemaVersion": 2,
        "mediaType": content.MANIFEST,
        "config": of_config,
        "layers": [of_layer],
    }
    blobs.append(content.Bytes(json.dumps(manifest).encode(), content.MANIFEST))
    for blob in blobs:
        (folder / "blobs/sha256" / blob.descriptor.digest.partition(":")[2]).write_bytes(blob.data)
    named = {
        **blobs[-1].descriptor.as_json(),
        "annotations": {"org.opencontainers.image.ref.name": "it"},
    }
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def test_a_file_may_be_larger_than_an_octal_size_can_tell(tmp_path: Path) -> None:
    """8 GiB is where the ustar format ends; the file is a hole, of which only the end is read."""
    path = tmp_path / "model.gguf"
    size = (8 << 30) + 5
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size - 3)
        file.write(b"end")
    archive = tar.archive(tree.scan(tmp_path, "m"))
    head = b"".join(itertools.islice(archive.read(), 1))[:4096]
    with tarfile.open(fileobj=io.BytesIO(head)) as read:
        info = next(i for i in read if i.isfile())
    assert (info.name, info.size) == ("m/model.gguf", size)
    listed = subprocess.run(["tar", "-tv"], input=head, capture_output=True, check=False).stdout
    assert str(size) in listed.decode()
    assert b"".join(archive.read(archive.size - 1024 - 512))[:5] == b"\0\0end"


def test_reading_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    """A process of its own reads a hole of 1 GiB, and tells the most memory that it had."""
    program = """
import sys
from pathlib import Path
from mlfunc.layers import tar, tree
sum(len(piece) for piece in tar.archive(tree.scan(Path(sys.argv[1]))).read())
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(1 << 30)
    command = [sys.executable, "-c", program, str(tmp_path)]
    kilobytes = int(subprocess.run(command, capture_output=True, check=True).stdout)
    assert kilobytes < 100_000


def test_a_file_that_grows_while_it_is_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(3 << 20))
    pieces = tar.archive(tree.scan(tmp_path)).read()
    next(pieces)
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(MlfuncError, match="weights changed while it was read"):
        list(pieces)


@pytest.mark.parametrize("problem", ["removed", "shortened", "a folder now"])
def test_a_file_that_is_not_what_it_was_is_named(tmp_path: Path, problem: str) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(3 << 20))
    archive = tar.archive(tree.scan(tmp_path))
    path.unlink()
    if problem == "shortened":
        path.write_bytes(b"short")
    elif problem == "a folder now":
        path.mkdir()
    with pytest.raises(MlfuncError, match=r"weights (changed while|cannot be read: )"):
        whole(archive)


def test_only_what_is_asked_for_is_opened(tmp_path: Path) -> None:
    files = tuple(File(name, (Range(tmp_path / name, 0, 10),)) for name in ("a", "b"))
    (tmp_path / "b").write_bytes(b"0123456789")
    archive = tar.archive(Tree(files))
    assert b"".join(archive.read(archive.size - 1024 - 512))[:10] == b"0123456789"
