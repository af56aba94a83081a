"""A supervisor listens where it did before, or says who is there now."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest
from mlfunc.errors import MlfuncError, UsageError
from mlfunc.supervisor import sockets
from mlfunc.supervisor.home import Home

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def own(tmp_path: Path) -> Home:
    home = Home(tmp_path / "platform")
    home.prepare()
    return home


def opened(home: Home, port: int | None = None) -> int:
    with closing(sockets.gateway(home, sockets.LOOPBACK, port)) as bound:
        return int(bound.getsockname()[1])


def test_the_port_stays_what_it_was(own: Home) -> None:
    port = opened(own, 0)

    assert opened(own) == port
    assert own.port.read_text() == f"{port}\n"


def test_a_home_that_has_no_port_yet_takes_the_first_that_is_free(
    own: Home, tmp_path: Path
) -> None:
    """So two users' supervisors do not collide, whoever comes first."""
    other = Home(tmp_path / "other")
    other.prepare()
    with closing(sockets.gateway(own, sockets.LOOPBACK, None)) as first:
        assert opened(other) > first.getsockname()[1] >= sockets.FIRST_PORT


def test_a_port_that_was_had_before_and_is_taken_is_not_changed_silently(own: Home) -> None:
    """Functions are known by it."""
    with socket.create_server((sockets.LOOPBACK, 0)) as taken:
        own.port.write_text(f"{taken.getsockname()[1]}\n")
        with pytest.raises(MlfuncError, match="is taken by") as refused:
            opened(own)
    assert "mlfunc platform start --port 0" in refused.value.hint


def test_when_all_are_taken_that_is_said(own: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as held:
        taken = held.enter_context(socket.create_server((sockets.LOOPBACK, 0)))
        other = held.enter_context(socket.create_server((sockets.LOOPBACK, 0)))
        ports = (taken.getsockname()[1], other.getsockname()[1])
        with pytest.raises(MlfuncError, match="are all taken") as refused:
            sockets.first_free(sockets.LOOPBACK, ports)
    assert "--port 0" in refused.value.hint


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_this_machines_is_refused(own: Home, host: str) -> None:
    with pytest.raises(MlfuncError) as refused:
        sockets.gateway(own, host, 0)
    assert host in refused.value.message
    assert "--host" in refused.value.hint
    assert isinstance(refused.value, UsageError) == host.endswith(".invalid")


def test_only_its_user_reaches_the_api_and_what_a_killed_one_left_is_replaced(own: Home) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(os.fspath(own.socket))
    assert own.socket.exists()

    with sockets.api(own):
        assert stat.S_IMODE(own.socket.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(os.fspath(own.socket))
    assert not own.socket.exists()
