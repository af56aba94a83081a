"""A supervisor's files are its user's alone, wherever they are."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from mlfunc.errors import MlfuncError
from mlfunc.supervisor import home as homes
from mlfunc.supervisor.home import About, Home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOMEBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files another's")


def test_its_folder_is_closed_to_others_even_where_it_was_open(tmp_path: Path) -> None:
    home = Home(tmp_path / "deep" / "platform")
    home.prepare()
    assert _mode(home.folder) == 0o700

    home.folder.chmod(0o755)
    home.prepare()
    assert _mode(home.folder) == 0o700


def test_a_home_may_be_a_link_to_a_larger_disk(tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    (tmp_path / "platform").symlink_to(tmp_path / "large")

    Home(tmp_path / "platform").prepare()

    assert _mode(tmp_path / "large") == 0o700


@needs_root
def test_a_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    home = Home(tmp_path / "platform")
    home.folder.mkdir()
    os.chown(home.folder, SOMEBODY, SOMEBODY)

    with pytest.raises(MlfuncError, match=r"belongs to \w+, not to root") as refused:
        home.prepare()
    assert "MLFUNC_HOME" in refused.value.hint


def test_a_folder_that_cannot_be_made_is_told_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(MlfuncError, match=r"cannot keep its files in .*file") as refused:
        Home(tmp_path / "file" / "platform").prepare()
    assert "MLFUNC_HOME" in refused.value.hint


@needs_root
def test_a_home_that_may_not_be_read_is_told_with_the_reason(tmp_path: Path) -> None:
    """As another user, for root may read all; that one's Python is loaded before it is one."""
    tmp_path.chmod(0o711)
    closed = tmp_path / "closed"
    closed.mkdir(0o700)

    ended = subprocess.run(
        [sys.executable, "-c", LOOK, str(closed / "platform")],
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout.count("cannot keep its files") == 2
    assert ended.stdout.count("permission denied") == 2


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Home]:
    """A home whose path is too long for a socket."""
    home = Home(tmp_path / ("very-long-name-" * 6) / "platform")
    yield home
    if home.socket.parent.is_symlink():
        home.socket.parent.unlink()
    elif home.socket.parent.exists():
        home.socket.parent.rmdir()


def test_the_socket_of_a_home_with_a_long_path_is_in_a_closed_folder(
    deep: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = deep.socket
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    assert deep.socket == before
    assert len(os.fsencode(before)) < 108

    deep.prepare()

    assert _mode(before.parent) == 0o700


def test_a_link_in_place_of_that_folder_is_not_followed(deep: Home, tmp_path: Path) -> None:
    (tmp_path / "trap").mkdir()
    deep.socket.parent.symlink_to(tmp_path / "trap")

    with pytest.raises(MlfuncError, match="is a link that somebody has put there"):
        deep.prepare()


@needs_root
def test_a_folder_of_that_name_that_another_user_has_made_is_not_used(deep: Home) -> None:
    deep.socket.parent.mkdir(mode=0o777)
    os.chown(deep.socket.parent, SOMEBODY, SOMEBODY)

    with pytest.raises(MlfuncError, match="belongs to"):
        deep.prepare()


def test_what_is_written_is_whole_and_private(tmp_path: Path) -> None:
    homes.write_whole(tmp_path / "port", "1\n")
    homes.write_whole(tmp_path / "port", "2\n")

    assert (tmp_path / "port").read_text() == "2\n"
    assert _mode(tmp_path / "port") == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["port"]


@pytest.mark.parametrize(
    ("host", "url", "warns"),
    [
        ("127.0.0.1", "http://127.0.0.1:8088", False),
        ("localhost", "http://localhost:8088", False),
        ("::1", "http://[::1]:8088", False),
        ("0.0.0.0", "http://127.0.0.1:8088", True),
        ("::", "http://127.0.0.1:8088", True),
        ("192.0.2.7", "http://192.0.2.7:8088", True),
        ("box.example", "http://box.example:8088", True),
    ],
)
def test_who_lets_others_in_is_told(host: str, url: str, warns: bool) -> None:
    about = About(1, host, 8088, "0", 0.0)

    assert about.url == url
    assert ("there is no password" in about.warning) == warns


LOOK = """
import os, sys
from pathlib import Path
from mlfunc.errors import MlfuncError
from mlfunc.supervisor import home as homes
os.setgid(65534)
os.setuid(65534)
home = homes.Home(Path(sys.argv[1]))
for each in (home.prepare, lambda: homes.found(home)):
    try:
        each()
    except MlfuncError as error:
        print(error)
"""


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777
