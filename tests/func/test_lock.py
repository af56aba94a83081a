"""mlfunc.lock: written whole or not at all, and read again as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mlfunc import lock
from mlfunc.errors import MlfuncError, UsageError
from mlfunc.lock import BasePin, Lock, ModelFile, ModelPin, Resolution, Wheel

if TYPE_CHECKING:
    from pathlib import Path

FULL = Lock(
    bases={"linux/amd64": BasePin("python:3.11-slim", "sha256:aa", "/usr/local/bin/python3.11")},
    python={
        "linux/amd64 python3.11 cpu": Resolution(
            "sha256:bb", [Wheel("x", "1", "x-1-py3-none-any.whl", "cc", 7, "https://x.example/x")]
        )
    },
    models={"default": ModelPin("./weights", "", [ModelFile("model.bin", 1, "dd")])},
)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    lock.save(tmp_path, FULL)

    assert lock.load(tmp_path) == FULL
    assert [path.name for path in tmp_path.iterdir()] == [lock.FILE]


def test_a_file_that_says_the_same_is_left_alone(tmp_path: Path) -> None:
    lock.save(tmp_path, FULL)
    before = (tmp_path / lock.FILE).stat()

    lock.save(tmp_path, FULL)

    after = (tmp_path / lock.FILE).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_folder_that_cannot_be_written_to_is_named_with_what_to_do(tmp_path: Path) -> None:
    # Root may write anywhere, but into no folder that is not there.
    with pytest.raises(MlfuncError, match=r"gone/mlfunc\.lock cannot be written") as failed:
        lock.save(tmp_path / "gone", FULL)

    assert "commit mlfunc.lock" in failed.value.hint


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / lock.FILE).mkdir()

    with pytest.raises(MlfuncError, match="cannot be written"):
        lock.save(tmp_path, FULL)

    assert [path.name for path in tmp_path.iterdir()] == [lock.FILE]


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "is broken"), ('{"bases": 1}', "is broken"), ('{"version": 9}', "has version 9")],
)
def test_what_is_no_lock_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / lock.FILE).write_text(text)

    with pytest.raises(UsageError, match=said):
        lock.load(tmp_path)
