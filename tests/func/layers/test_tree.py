"""Trees: what is one, how they part and merge, and what a folder here is as one."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.errors import MlfuncError
from mlfunc.layers import reading, tree
from mlfunc.layers.tree import File, Folder, Link, Range, Tree

from .trees import trees

if TYPE_CHECKING:
    from random import Random


@pytest.mark.parametrize(
    "path", ["", "/etc", "a//b", "a/", "./a", "a/../b", "..", "a\0b", "a\udc80"]
)
def test_a_path_that_leaves_the_image_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"path|encode"):
        Tree((Folder(path),))


@pytest.mark.parametrize(
    "entries",
    [
        (File("a", ()), File("a", (b"x",))),
        (File("a", ()), File("a/b", ())),
        (Link("a", "/etc"), File("a/b/c", ())),
        (Link("a", ""),),
    ],
    ids=["twice", "below a file", "through a link", "a link to nowhere"],
)
def test_what_cannot_be_in_one_folder_is_refused(entries: tuple[tree.Entry, ...]) -> None:
    with pytest.raises(ValueError, match=r"twice|no folder|nowhere"):
        Tree(entries)


@given(trees(), st.randoms())
def test_the_order_in_which_entries_come_says_nothing(one: Tree, random: Random) -> None:
    shuffled = list(one.entries)
    random.shuffle(shuffled)
    assert Tree(tuple(shuffled)) == one


def test_a_folder_that_something_is_in_needs_no_mention() -> None:
    assert Tree((Folder("a"), File("a/b", ()))) == Tree((File("a/b", ()),))


@given(trees(), st.integers(0, 3))
def test_parts_merge_to_the_whole(one: Tree, wanted: int) -> None:
    chosen, rest = tree.part(one, lambda entry: len(entry.path) % 4 == wanted)
    assert tree.merge([rest, chosen]) == one
    assert chosen.size + rest.size == one.size


@given(trees())
def test_a_tree_merged_with_itself_is_itself(one: Tree) -> None:
    assert tree.merge([one, Tree(), one]) == one


def test_two_different_files_at_one_path_do_not_merge() -> None:
    with pytest.raises(ValueError, match="a/b is there twice"):
        tree.merge([Tree((File("a/b", (b"1",)),)), Tree((File("a/b", (b"2",)),))])


def test_a_folder_is_scanned_to_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/run").write_bytes(b"#!")
    (tmp_path / "bin/run").chmod(0o700)
    (tmp_path / "weights").write_bytes(b"1234")
    (tmp_path / "weights").chmod(0o600)
    (tmp_path / "empty/inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("./bin/../nowhere")
    assert tree.scan(tmp_path, "workspace").entries == (
        File("workspace/bin/run", (Range(tmp_path / "bin/run", 0, 2),), executable=True),
        Folder("workspace/empty/inner"),
        Link("workspace/link", "./bin/../nowhere"),
        File("workspace/weights", (Range(tmp_path / "weights", 0, 4),)),
    )


def test_what_is_skipped_is_not_even_looked_at(tmp_path: Path) -> None:
    (tmp_path / ".venv/lib").mkdir(parents=True)
    os.mkfifo(tmp_path / ".venv/pipe")
    (tmp_path / "x.py").touch()
    (tmp_path / "x.pyc").touch()
    seen: list[str] = []

    def skip(path: str) -> bool:
        seen.append(path)
        return path in {".venv/", "x.pyc"}

    found = tree.scan(tmp_path, skip=skip)
    assert found == Tree((File("x.py", ()),))
    assert sorted(seen) == [".venv/", "x.py", "x.pyc"]


def test_an_empty_folder_is_scanned_to_itself(tmp_path: Path) -> None:
    assert tree.scan(tmp_path, "a/b") == Tree((Folder("a/b"),))
    assert tree.scan(tmp_path) == Tree()


def test_a_socket_is_refused_by_name(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "control"))
        with pytest.raises(MlfuncError, match="control is a socket, which no image can hold"):
            tree.scan(tmp_path)


def test_a_name_that_is_not_utf8_is_refused_and_shown(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).touch()
    with pytest.raises(MlfuncError, match=r"caf\\xe9.txt is not UTF-8"):
        tree.scan(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MlfuncError, match="gone cannot be read: No such file"):
        tree.scan(tmp_path / "gone")


def test_a_tree_that_is_written_scans_to_the_same(tmp_path: Path) -> None:
    whole = Tree(
        (
            File("a/b.txt", (b"one ", b"two")),
            File("a/run", (b"#!",), executable=True),
            Link("a/up", "../a"),
            Folder("empty"),
        )
    )
    umask = os.umask(0o077)
    try:
        tree.write(whole, tmp_path / "out")
    finally:
        os.umask(umask)
    found = tree.scan(tmp_path / "out")
    assert [entry.path for entry in found.entries] == [entry.path for entry in whole.entries]
    assert (tmp_path / "out/a/b.txt").read_bytes() == b"one two"
    assert (tmp_path / "out/a").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "out/a/b.txt").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "out/a/run").stat().st_mode & 0o777 == 0o755


def test_nothing_that_is_there_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        tree.write(Tree((File("a", (b"theirs",)),)), tmp_path)
    assert (tmp_path / "a").read_bytes() == b"mine"


def test_a_file_that_was_written_after_the_scan_is_not_taken_for_what_was_found(
    tmp_path: Path,
) -> None:
    path = tmp_path / "predictor.py"
    path.write_text("first\n", encoding="utf-8")
    (entry,) = tree.scan(tmp_path).entries
    assert isinstance(entry, File)
    path.write_text("other\n", encoding="utf-8")
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))

    with pytest.raises(MlfuncError, match=r"predictor\.py changed while it was read"):
        list(reading.read(entry.pieces))
