"""The store: a layer is made once, whoever wants it, and what it says of one is true."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from mlfunc.errors import UsageError
from mlfunc.layers import store
from mlfunc.layers.tree import File, Tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlfunc.layers.making import Compression
    from mlfunc.layers.store import Store

TREE = Tree((File("workspace/x.py", (b"print('x')",)),))
OTHER = Tree((File("workspace/x.py", (b"print('y')",)),))


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Store]:
    with store.opened(tmp_path / "build") as opened:
        yield opened


def never() -> Tree:
    raise AssertionError("made again")


def test_it_lies_in_the_users_cache(home: Path) -> None:
    with store.opened() as opened:
        opened.bases.put("sha256:1", {})
    assert (home / "build/store.db").is_file()


@pytest.mark.parametrize("compression", ["none", "zstd", "gzip"])
def test_a_layer_is_made_once(tmp_path: Path, compression: Compression) -> None:
    with store.opened(tmp_path) as first:
        made = first.obtain("key", lambda: TREE, compression)
    with store.opened(tmp_path) as second:
        assert second.obtain("key", never, compression) == made
        assert second.made("key", compression) == made


def test_each_compression_is_a_layer_of_its_own(opened: Store) -> None:
    kinds = [opened.obtain("key", lambda: TREE, kind) for kind in ("none", "zstd", "gzip")]
    assert len({made.diff_id for made in kinds}) == 1
    assert len({made.descriptor.digest for made in kinds}) == 3


def test_threads_that_want_the_same_layer_get_the_one_that_is_made(opened: Store) -> None:
    calls = []

    def tree() -> Tree:
        calls.append(threading.get_ident())
        return TREE

    with ThreadPoolExecutor(4) as pool:
        made = set(map(repr, pool.map(lambda _: opened.obtain("key", tree, "zstd"), range(4))))
    assert len(calls) == len(made) == 1


def test_a_layer_that_failed_is_made_by_the_next(opened: Store) -> None:
    with pytest.raises(AssertionError):
        opened.obtain("key", never, "zstd")
    assert opened.made("key", "zstd") is None
    assert opened.obtain("key", lambda: TREE, "zstd").diff_id


def test_a_kept_blob_is_opened_without_its_tree(opened: Store) -> None:
    made = opened.obtain("key", lambda: TREE, "zstd")
    data = b"".join(opened.open("key", made, never).read())
    assert f"sha256:{hashlib.sha256(data).hexdigest()}" == made.descriptor.digest


def test_a_blob_that_is_gone_is_made_again(tmp_path: Path) -> None:
    with store.opened(tmp_path) as first:
        made = first.obtain("key", lambda: TREE, "zstd")
    with store.opened(tmp_path) as second:
        assert second.prune(0) == made.descriptor.size
        assert second.open("key", made, lambda: TREE).descriptor == made.descriptor


def test_a_layer_that_is_not_compressed_is_read_from_its_tree(opened: Store) -> None:
    made = opened.obtain("key", lambda: TREE, "none")
    data = b"".join(opened.open("key", made, lambda: TREE).read())
    assert f"sha256:{hashlib.sha256(data).hexdigest()}" == made.descriptor.digest


def test_a_layer_that_comes_out_different_is_an_error_once(tmp_path: Path) -> None:
    with store.opened(tmp_path) as first:
        made = first.obtain("key", lambda: TREE, "zstd")
    with store.opened(tmp_path) as second:
        second.prune(0)
        with pytest.raises(store.Different, match="was made again, and is"):
            second.open("key", made, lambda: OTHER)
        again = second.obtain("key", never, "zstd")
        assert second.open("key", again, never).descriptor == again.descriptor != made.descriptor


def test_layers_that_nobody_asks_for_are_forgotten(
    opened: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.obtain("old", lambda: TREE, "none")
    monkeypatch.setattr(time, "time", lambda real=time.time: real() + 100 * 24 * 3600)
    opened.obtain("new", lambda: TREE, "none")
    opened.prune(0)
    assert opened.made("new", "none")
    monkeypatch.setattr(time, "time", lambda real=time.time: real() + 100 * 24 * 3600)
    opened.prune(0)
    assert opened.made("old", "none") is None
    assert opened.made("new", "none")


def test_scratch_folders_lie_where_a_blob_can_be_moved_from(opened: Store, tmp_path: Path) -> None:
    with opened.scratch() as folder:
        assert folder.stat().st_dev == (tmp_path / "build").stat().st_dev


@pytest.mark.parametrize(
    ("given", "size"),
    [
        (None, 20 * 10**9),
        ("", 20 * 10**9),
        ("500MB", 500 * 10**6),
        ("1.5 gb", 1_500_000_000),
        ("7", 7),
        ("0", 0),
    ],
)
def test_the_size_of_the_cache_is_a_setting(given: str | None, size: int) -> None:
    assert store.limit({} if given is None else {"MLFUNC_CACHE_SIZE": given}) == size


@pytest.mark.parametrize("given", ["big", "-1", "GB", "1e9"])
def test_a_size_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match=f"MLFUNC_CACHE_SIZE={given} is no size"):
        store.limit({"MLFUNC_CACHE_SIZE": given})


BUILD = """
import random, sys
from pathlib import Path
from mlfunc.layers import store
from mlfunc.layers.tree import File, Tree

def tree(n):
    return Tree((File(str(n), (random.Random(n).randbytes(400_000) * 2,)),))

seed = int(sys.argv[2])
for round in range(4):
    with store.opened(Path(sys.argv[1])) as opened:
        for n in random.Random(seed + round).sample(range(12), 12):
            made = opened.obtain(f"key {n}", lambda: tree(n), "zstd", lambda _: print("made", flush=True))
            blob = opened.open(f"key {n}", made, lambda: tree(n))
            assert sum(map(len, blob.read())) == made.descriptor.size
        opened.prune(1_000_000)
print("done")
"""


def test_programs_that_build_at_once_and_are_killed_leave_a_sound_store(tmp_path: Path) -> None:
    """Six build the same layers and prune them; three are killed in the midst of making one."""
    command = [sys.executable, "-c", BUILD, str(tmp_path)]
    with contextlib.ExitStack() as stack:
        programs = [
            stack.enter_context(subprocess.Popen([*command, str(seed)], stdout=subprocess.PIPE))
            for seed in range(6)
        ]
        for told, doomed in enumerate(programs[:3]):
            for _ in range(3 * told + 1):
                assert doomed.stdout
                doomed.stdout.readline()
            doomed.kill()
        said = [program.communicate()[0] for program in programs]
    assert [program.returncode for program in programs[3:]] == [0, 0, 0]
    assert all(text.endswith(b"done\n") for text in said[3:])
    _assert_sound(tmp_path)


def _assert_sound(folder: Path) -> None:
    with store.opened(folder) as opened:
        assert opened._database.rows("PRAGMA integrity_check") == [("ok",)]
        for blob in (folder / "blobs").glob("*/*"):
            assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
        assert all(opened.made(f"key {n}", "zstd") for n in range(12))
        with opened.scratch():
            assert len(list((folder / "scratch").iterdir())) == 2
