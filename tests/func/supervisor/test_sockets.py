"""A supervisor listens where it did before, or says who is there now."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import closing
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
    entrance = sockets.gateway(home, sockets.LOOPBACK, port)
    with closing(entrance.socket):
        return entrance.port


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
    first = sockets.gateway(own, sockets.LOOPBACK, None)
    with closing(first.socket):
        assert opened(other) > first.port >= sockets.FIRST_PORT


def test_one_whose_port_is_somebody_elses_now_moves_once_and_says_so(own: Home) -> None:
    """Functions are known by it, so it is kept from then on, whatever becomes of the other."""
    with socket.create_server((sockets.LOOPBACK, 0)) as taken:
        before = taken.getsockname()[1]
        own.port.write_text(f"{before}\n")
        entrance = sockets.gateway(own, sockets.LOOPBACK, None)
        entrance.socket.close()

    assert entrance.moved.startswith(f"port {before} is taken by ")
    assert f"at port {entrance.port} from now on" in entrance.moved
    assert f"mlfunc platform start --port {before}" in entrance.moved
    again = sockets.gateway(own, sockets.LOOPBACK, None)
    again.socket.close()
    assert (again.port, again.moved) == (entrance.port, "")


def test_a_port_that_was_asked_for_and_is_taken_is_refused(own: Home) -> None:
    with (
        socket.create_server((sockets.LOOPBACK, 0)) as taken,
        pytest.raises(MlfuncError, match="is taken by") as refused,
    ):
        opened(own, taken.getsockname()[1])
    assert "mlfunc platform start --port 0" in refused.value.hint


def test_when_a_whole_range_is_taken_any_other_port_does() -> None:
    assert sockets.wanted(None, 9000)[0] == 9000
    assert sockets.wanted(None, None)[0] == sockets.FIRST_PORT
    assert sockets.wanted(None, None)[-1] == 0
    assert sockets.wanted(7, 9000) == (7,)


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
