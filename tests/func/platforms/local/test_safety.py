"""What may go wrong around a supervisor is told in words, and nothing is lost by it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from mlfunc.errors import MlfuncError
from mlfunc.platforms.local import starting, stopping
from mlfunc.supervisor import home as homes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlfunc.supervisor.home import Home

SOMEBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts, and is another user")
# Another user, who may read where our Python is, and write nothing of ours.
AS_SOMEBODY = (
    *("setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", sys.executable, "-c"),
)
START = "from mlfunc.platforms.local import starting; print(starting.ensure_running().port)"
STOP = "from mlfunc.platforms.local import stopping; stopping.stop()"


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@needs_root
def test_on_a_full_disk_it_says_so_and_serves_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    monkeypatch.setenv("MLFUNC_HOME", str(disk))
    with small_disk(disk, "1m"):
        homes.home().prepare()
        fill(disk / "large")
        with pytest.raises(MlfuncError, match="no space left") as full:
            starting.ensure_running()
        assert full.value.hint == "make room there"
        (disk / "large").unlink()
        try:
            assert starting.ensure_running().port
        finally:
            stopping.stop()


@needs_root
def test_two_users_have_a_supervisor_each(own: Home, tmp_path: Path) -> None:
    ours = starting.ensure_running(own)
    theirs = homes.Home(tmp_path / "platform")
    theirs.folder.mkdir()
    os.chown(theirs.folder, SOMEBODY, SOMEBODY)
    env = {**os.environ, "MLFUNC_HOME": str(tmp_path)}
    try:
        port = subprocess.run([*AS_SOMEBODY, START], env=env, stdout=-1, check=True).stdout

        about = homes.found(theirs)
        assert about is not None
        assert about.port == int(port)
        assert about.port != ours.port
        assert theirs.socket.stat().st_uid == SOMEBODY
    finally:
        subprocess.run([*AS_SOMEBODY, STOP], env=env, check=True)
    assert homes.found(theirs) is None
    assert homes.found(own) == ours


def test_nobody_else_may_read_anything_of_it(own: Home) -> None:
    old = os.umask(0)
    try:
        starting.ensure_running(own)
    finally:
        os.umask(old)
    for each in (own.folder, *own.folder.rglob("*")):
        mode = stat.S_IMODE(each.stat().st_mode)
        assert mode == (0o700 if each.is_dir() else 0o600), each


def test_a_home_with_a_very_long_path_serves_like_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFUNC_HOME", str(tmp_path / ("very-long-name-" * 10)))
    home = homes.home()
    try:
        about = starting.ensure_running()
        assert home.socket.is_socket()
        assert starting.ensure_running() == about
    finally:
        stopping.stop()
        home.socket.parent.rmdir()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_ends_cleanly_by_every_signal_that_asks_for_it(own: Home, signum: int) -> None:
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "mlfunc.supervisor", "--port=0", f"--tell={writing}"]
    with subprocess.Popen(command, pass_fds=[writing]) as it:
        os.close(writing)
        with os.fdopen(reading, "rb") as telling:
            assert telling.readline()
        it.send_signal(signum)
    assert it.returncode == 0
    assert not own.about.exists()
    assert "has ended" in own.log.read_text()


def test_an_idle_one_ends_by_itself(own: Home) -> None:
    pid = starting.start(own, idle=0.01).pid
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        select.select([descriptor], [], [])
        os.close(descriptor)
    assert "nothing has been deployed" in own.log.read_text()
    assert not homes.is_held(own.lock)


def fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
