"""Models that are files here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from mlfunc.errors import NotFound, UsageError
from mlfunc.models import local
from mlfunc.models.places import is_single, root, within

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlfunc.lock import ModelPin

    Pinned = Callable[..., ModelPin]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    (folder / "sub").mkdir(parents=True)
    (folder / "b.bin").write_bytes(b"b")
    (folder / "sub/a.bin").write_bytes(b"a")
    return folder


def paths(pin: ModelPin) -> list[str]:
    return [file.path for file in pin.files]


def test_a_folder_is_all_files_in_it_in_order(weights: Path, pinned: Pinned) -> None:
    pin = pinned("./weights")

    assert paths(pin) == ["b.bin", "sub/a.bin"]
    assert pin.revision is None
    assert root(pin, weights.parent) == weights
    assert within("/at", pin) == "/at"


def test_one_file_is_found_by_its_own_path(weights: Path, pinned: Pinned) -> None:
    pin = pinned("./weights/b.bin")

    assert is_single(pin)
    assert root(pin, weights.parent) / "b.bin" == weights / "b.bin"
    assert within("/at", pin) == "/at/b.bin"


def test_hidden_files_are_left_out_unless_a_pattern_names_them(
    weights: Path, pinned: Pinned
) -> None:
    (weights / ".cache").mkdir()
    (weights / ".cache/junk").write_bytes(b"")
    (weights / ".vocab").write_bytes(b"")

    assert paths(pinned("./weights")) == ["b.bin", "sub/a.bin"]
    assert paths(pinned("./weights", files=[".vocab", "*.bin"])) == [".vocab", "b.bin", "sub/a.bin"]


def test_files_that_change_are_pinned_anew(weights: Path, pinned: Pinned) -> None:
    first = pinned("./weights")
    (weights / "b.bin").write_bytes(b"c")

    assert pinned("./weights", first) != first


def test_links_are_followed_and_not_in_circles(weights: Path, pinned: Pinned) -> None:
    (weights / "linked.bin").symlink_to(weights / "b.bin")
    (weights / "sub/up").symlink_to(weights)

    assert paths(pinned("./weights")) == ["b.bin", "linked.bin", "sub/a.bin"]


def test_a_link_that_leads_nowhere_is_named(weights: Path, pinned: Pinned) -> None:
    (weights / "lost.bin").symlink_to("gone")

    with pytest.raises(UsageError, match=r"lost\.bin leads nowhere"):
        pinned("./weights")


def test_what_is_no_file_is_named(weights: Path, pinned: Pinned) -> None:
    os.mkfifo(weights / "pipe")

    with pytest.raises(UsageError, match="pipe is no file"):
        pinned("./weights")


def test_a_path_with_nothing_at_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"model default: .*none is not there"):
        local.items("default", tmp_path / "none")


def test_an_empty_folder_is_no_model(tmp_path: Path, pinned: Pinned) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(NotFound, match="model default has no files"):
        pinned("./empty")
