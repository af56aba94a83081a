"""`mlfunc platform`, with a real supervisor in a home of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc import __version__, cli
from mlfunc.platforms.local import starting, stopping
from mlfunc.supervisor import home as homes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def stopped() -> Iterator[None]:
    """None is left behind."""
    yield
    stopping.stop(timeout=10)


def told(capsys: pytest.CaptureFixture[str], *args: str) -> Any:
    assert cli.main(["platform", *args, "-o", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_it_starts_says_where_it_is_and_stops(capsys: pytest.CaptureFixture[str]) -> None:
    began = told(capsys, "start", "--port", "0")

    assert began == told(capsys, "status")
    assert began["gateway"] == f"http://127.0.0.1:{homes.found(homes.home()).port}"  # type: ignore[union-attr]
    assert began["dashboard"] == f"{began['gateway']}/"
    assert (began["version"], began["functions"], began["instances"]) == (__version__, 0, 0)
    os.kill(began["pid"], 0)
    assert told(capsys, "stop") == {"stopped": True}
    assert told(capsys, "stop") == {"stopped": False}


def test_what_does_not_run_is_not_started_by_a_look(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["platform", "status"]) == 5
    assert "mlfunc platform start" in capsys.readouterr().err
    assert cli.main(["doctor", "-o", "json"]) in (0, 1)
    rows = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert rows["local platform"]["verdict"] == "ok"
    assert rows["local platform"]["detail"].startswith("does not run")
    assert homes.found(homes.home()) is None


def test_one_that_runs_is_not_moved(capsys: pytest.CaptureFixture[str]) -> None:
    about = starting.start(homes.home(), port=0)

    assert told(capsys, "start")["pid"] == about.pid
    assert told(capsys, "start", "--port", str(about.port))["pid"] == about.pid
    for moved in (["--port", "1"], ["--host", "0.0.0.0"], ["--foreground"]):
        assert cli.main(["platform", "start", *moved]) == 2
        assert f"runs already, at {about.url}" in capsys.readouterr().err


def test_doctor_tells_that_it_runs_or_whose_port_it_has(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def row() -> dict[str, str]:
        cli.main(["doctor", "-o", "json"])
        rows = json.loads(capsys.readouterr().out)
        found: dict[str, str] = next(each for each in rows if each["name"] == "local platform")
        return found

    about = starting.start(homes.home(), port=0)
    assert row()["detail"] == f"runs at {about.url}, process {about.pid}"
    stopping.stop()
    with socket.create_server(("127.0.0.1", about.port)):
        assert row()["verdict"] == "warn"
        assert f"port {about.port} is taken" in row()["detail"]
    assert row()["verdict"] == "ok"


def test_doctor_fails_on_what_no_command_could_read(capsys: pytest.CaptureFixture[str]) -> None:
    homes.home().prepare()
    homes.home().state.write_bytes(b"no database" * 100)

    assert cli.main(["doctor", "-o", "json"]) == 1
    rows = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert rows["local platform"]["verdict"] == "fail"
    assert str(homes.home().state) in rows["local platform"]["detail"]


def test_a_command_that_starts_it_says_where_and_why_no_longer_where_it_was(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["deploy", "--path", str(project), "--no-wait"]) == 0
    port = homes.found(homes.home()).port  # type: ignore[union-attr]
    stopping.stop()
    with socket.create_server(("127.0.0.1", port)):
        capsys.readouterr()
        assert cli.main(["list"]) == 0
        said = capsys.readouterr()

    about = homes.found(homes.home())
    assert about is not None
    assert f"note: port {port} is taken by" in said.err
    assert f"the local platform has started: {about.url}\n" in said.err
    assert f"{about.url}/greeter" in said.out


def test_in_the_foreground_it_is_the_command_itself_until_it_is_told_to_end() -> None:
    argv = [sys.executable, "-m", "mlfunc", "platform", "start", "--foreground", "--port", "0"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as served:
        assert served.stderr is not None
        assert any("the local platform serves at" in line for line in served.stderr)
        about = homes.found(homes.home())
        assert about is not None
        assert about.pid == served.pid
        served.terminate()
        served.stderr.read()
    assert served.returncode == 0


def test_systemd_is_told_that_it_serves_and_that_it_ends(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "mlfunc", "platform", "start", "--foreground", "--port", "0"]
    address = str(tmp_path / "notify")
    environ = {**os.environ, "NOTIFY_SOCKET": address}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        with subprocess.Popen(argv, stderr=subprocess.DEVNULL, env=environ) as served:
            assert systemd.recv(100) == b"READY=1"
            assert homes.found(homes.home()) is not None
            served.terminate()
            assert systemd.recv(100) == b"STOPPING=1"
    assert served.returncode == 0


def test_of_one_in_the_foreground_and_others_that_start_at_once_one_serves() -> None:
    argv = [sys.executable, "-m", "mlfunc", "platform", "start"]
    with (
        subprocess.Popen([*argv, "--foreground"], stderr=subprocess.DEVNULL) as foreground,
        subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other,
    ):
        assert other.wait() == 0
        about = homes.found(homes.home())
        assert about is not None
        if about.pid == foreground.pid:
            foreground.terminate()
        assert foreground.wait() == (0 if about.pid == foreground.pid else 2)


def test_the_list_of_a_platform_with_nothing_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert cli.main(["list"]) == 0
    said = capsys.readouterr().err
    assert "no function in namespace default (the local platform)" in said
    assert "mlfunc deploy" in said
    assert cli.main(["list", "-A"]) == 0
    everywhere = capsys.readouterr().err
    assert "no function on the local platform\n" in everywhere
    assert "mlfunc list -A" not in everywhere


def test_a_host_that_is_not_here_is_refused_with_what_would_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["platform", "start", "--host", "192.0.2.1", "--port", "0"]) == 1

    assert "give it an address of this machine" in capsys.readouterr().err


def test_who_lets_others_in_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["platform", "start", "--host", "0.0.0.0", "--port", "0"]) == 0

    assert "there is no password" in capsys.readouterr().err
