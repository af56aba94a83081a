"""A supervisor is started when it is needed, once, and is found while it serves."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mlfunc.errors import MlfuncError
from mlfunc.platforms.local import starting, stopping
from mlfunc.supervisor import home as homes
from mlfunc.supervisor import inheriting

if TYPE_CHECKING:
    from mlfunc.supervisor.home import Home

# Prints the process id of the supervisor that it ends up with.
STARTER = """
import sys
from mlfunc.platforms.local import starting
sys.stdin.readline()
print(starting.ensure_running().pid)
"""
# Fails in what is detached.
BROKEN = """#!/bin/sh
case "$*" in *detached.py*) exec {python} "$@" ;; esac
echo "no module of that name" >&2
exit 1
"""
HOLDER = """
import fcntl, sys
with open(sys.argv[1], "ab") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print(flush=True)
    sys.stdin.read()
"""


def test_one_that_is_needed_is_started_and_found_again(own: Home) -> None:
    about = starting.ensure_running(own)

    assert starting.ensure_running(own) == about
    assert homes.found(own) == about


def test_it_stays_when_who_started_it_is_gone(own: Home) -> None:
    ended = subprocess.run([sys.executable, "-c", STARTER], input=b"\n", stdout=-1, check=True)

    about = homes.found(own)
    assert about is not None
    assert about.pid == int(ended.stdout)


def test_it_has_left_the_terminal_the_folder_and_the_parent_of_who_started_it(own: Home) -> None:
    pid = starting.ensure_running(own).pid

    assert os.getsid(pid) != os.getsid(0)
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    assert Path(f"/proc/{pid}/fd/0").readlink() == Path(os.devnull)
    assert f"PPid:\t{os.getpid()}\n" not in _status(pid)


@pytest.mark.parametrize("starters", [2, 5])
def test_of_several_that_start_at_once_all_get_the_same_one(own: Home, starters: int) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", STARTER], stdin=-1, stdout=-1, text=True)
        for _ in range(starters)
    ]
    for each in running:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    pids = {each.communicate()[0] for each in running}

    about = homes.found(own)
    assert about is not None
    assert pids == {f"{about.pid}\n"}


def test_it_ends_when_it_is_told_to_and_leaves_nothing_that_could_be_taken_for_it(
    own: Home,
) -> None:
    about = starting.ensure_running(own)

    assert stopping.stop(own) == about
    assert homes.found(own) is None
    assert not own.about.exists()
    assert not own.socket.exists()
    assert stopping.stop(own) is None


def test_after_a_kill_the_next_one_takes_over_and_keeps_the_port(own: Home) -> None:
    """What was left: supervisor.json, the socket, both lock files."""
    before = starting.ensure_running(own)
    _kill(before.pid, own)
    assert own.about.exists()
    assert own.socket.exists()
    assert homes.found(own) is None

    after = starting.ensure_running(own)

    assert after.pid != before.pid
    assert after.port == before.port
    assert _answers(own)


def test_a_process_id_that_is_another_programs_now_is_not_believed(own: Home) -> None:
    """As after a reboot: the files are there, and their process id is somebody's."""
    _kill(starting.ensure_running(own).pid, own)
    about = homes.About(os.getpid(), "127.0.0.1", 1, "0", 0.0)
    about.write(own.about)

    assert homes.found(own) is None
    assert starting.ensure_running(own).pid != os.getpid()


def test_one_that_ends_is_waited_for(own: Home) -> None:
    """Here it ends for as long as a lock is held that it would have."""
    own.prepare()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(own.lock)], stdin=-1, stdout=-1
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        holder.stdout.readline()
        starter = subprocess.Popen([sys.executable, "-c", STARTER], stdin=-1, stdout=-1)
        with starter:
            assert starter.stdin is not None
            starter.stdin.write(b"\n")
            starter.stdin.flush()
            while not homes.is_held(own.starting):
                pass
            assert homes.found(own) is None
            holder.stdin.close()
            holder.wait()
            pid = int(starter.communicate()[0])

    about = homes.found(own)
    assert about is not None
    assert about.pid == pid


def test_a_port_that_is_taken_is_told_with_its_holder_and_a_way_out(own: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MlfuncError) as failed:
            starting.start(own, port=port)

    assert f"port {port} is taken by" in failed.value.message
    assert f"(process {os.getpid()})" in failed.value.message
    assert "mlfunc platform start --port" in failed.value.hint
    assert homes.found(own) is None


def test_one_of_another_version_is_not_worked_with(
    own: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting.ensure_running(own)
    monkeypatch.setattr("mlfunc.__version__", "9.9.9")

    with pytest.raises(MlfuncError, match=r"is of mlfunc 0\..*, this is 9\.9\.9") as refused:
        starting.ensure_running(own)
    assert "mlfunc platform stop && mlfunc platform start" in refused.value.hint


def test_one_of_a_later_version_that_says_more_is_found_all_the_same(own: Home) -> None:
    about = starting.ensure_running(own)
    said = {**json.loads(own.about.read_text()), "version": "9.9.9", "more": [1]}
    own.about.write_text(json.dumps(said))

    assert homes.found(own) == replace(about, version="9.9.9")
    with pytest.raises(MlfuncError, match=r"is of mlfunc 9\.9\.9"):
        starting.ensure_running(own)


def test_one_that_dies_before_it_serves_is_told_with_the_end_of_its_log(
    own: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "python"
    broken.write_text(BROKEN.format(python=sys.executable))
    broken.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(broken))

    with pytest.raises(MlfuncError, match="ended before it served") as failed:
        starting.start(own)
    assert "no module of that name" in failed.value.evidence
    assert str(own.log) in failed.value.hint


def test_what_is_in_the_terminal_of_who_came_first_is_not_for_functions_of_later() -> None:
    kept = {"PATH": "/bin", "HOME": "/h", "LC_ALL": "C", "https_proxy": "p", "CUDA_HOME": "/c"}
    secret = {"AWS_SECRET_ACCESS_KEY": "k", "PYTHONPATH": "/p", "HF_TOKEN": "t", "PORT": "1"}

    assert inheriting.inherited({**kept, **secret, "MLFUNC_SERVE_SLOTS": "9"}) == kept


def _kill(pid: int, home: Home) -> None:
    descriptor = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        select.select([descriptor], [], [])
    finally:
        os.close(descriptor)
    assert not homes.is_held(home.lock)


def _answers(home: Home) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(os.fspath(home.socket)) == 0


def _status(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text(encoding="ascii")
