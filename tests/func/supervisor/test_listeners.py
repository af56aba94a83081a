"""Who listens on a port is said as well as this user may know it."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from mlfunc.supervisor import listeners

if TYPE_CHECKING:
    from pathlib import Path

LISTEN = "import socket, sys; s = socket.create_server(('{}', 0)); print(s.getsockname()[1], flush=True); sys.stdin.read()"


def test_a_program_of_this_user_is_named_with_its_process() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        whose = listeners.whose(server.getsockname()[1])
    assert f"(process {os.getpid()})" in whose
    assert "pytest" in whose or "python" in whose


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_long_command_is_cut(host: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LISTEN.format(host), "x" * 100], stdin=-1, stdout=-1
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        whose = listeners.whose(int(other.stdout.readline()))
        other.stdin.close()
    assert whose.endswith(f"... (process {other.pid})")
    assert len(whose) < 100


def test_another_local_platform_is_told_by_whose_it_is(tmp_path: Path) -> None:
    """Who reads `end process 7` ends a colleague's."""
    argv = [sys.executable, "-c", LISTEN.format("127.0.0.1"), "mlfunc.supervisor"]
    with subprocess.Popen([*argv, f"--home={tmp_path}"], stdin=-1, stdout=-1) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        whose = listeners.whose(int(other.stdout.readline()))
        other.stdin.close()
    user = pwd.getpwuid(os.getuid()).pw_name
    assert whose == f"the local platform of {user} in {tmp_path} (process {other.pid})"


def test_of_a_port_where_nobody_listens_nothing_is_said() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert listeners.whose(bound.getsockname()[1]) == ""
