"""What is deployed outlives the supervisor, however that ends, and its end loses no request."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc.cluster import kinds
from mlfunc.errors import MlfuncError
from mlfunc.platforms.local import connecting, starting, stopping
from mlfunc.supervisor import home as homes
from mlfunc.supervisor.home import Home

from tests.rig.places import OnThisMachine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlfunc.supervisor.home import About

SLOW = '''
import time

class Slow:
    """Takes its time."""

    def predict(self, seconds: float) -> str:
        print(f"begun {seconds}", flush=True)
        time.sleep(seconds)
        return "done"
'''


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnThisMachine]:
    """With one function, of which there is always an instance."""
    home = tmp_path_factory.mktemp("machine")
    place = OnThisMachine("default", home)
    place.mlfunc("deploy", "--path", place.project(home / "slow", SLOW, scale={"min": 1}))
    yield place
    stopping.stop(Home(home / "platform"))


@pytest.fixture
def running(machine: OnThisMachine, monkeypatch: pytest.MonkeyPatch) -> About:
    monkeypatch.setenv("MLFUNC_HOME", str(machine.home))
    return starting.ensure_running()


def asked(about: About, seconds: float = 0) -> str:
    connection = HTTPConnection("127.0.0.1", about.port, timeout=60)
    with contextlib.closing(connection):
        head = {"content-type": "application/json"}
        connection.request("POST", "/slow", f'{{"seconds": {seconds}}}', head)
        return connection.getresponse().read().decode()


def children(pid: int) -> list[int]:
    said = subprocess.run(["pgrep", "-P", str(pid)], stdout=-1, text=True, check=False).stdout
    return [int(each) for each in said.split()]


def wait_for_end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        select.select([descriptor], [], [])
        os.close(descriptor)


def test_after_a_kill_nothing_is_left_behind_and_all_comes_back(running: About) -> None:
    assert asked(running) == '"done"'
    instances = children(running.pid)
    assert instances

    os.kill(running.pid, signal.SIGKILL)
    for pid in (running.pid, *instances):
        wait_for_end(pid)
    again = starting.ensure_running()

    assert again.port == running.port
    assert asked(again) == '"done"'
    assert children(again.pid)


def test_what_was_answered_outlives_a_kill_and_what_follows_from_it_is_worked_out_again(
    running: About,
) -> None:
    """The Revision need not be on the disk yet: it is the same again, of the same number."""
    for number in range(3):
        cluster = connecting.connect(homes.home())
        label = {"metadata": {"labels": {"try": str(number)}}}
        answered = cluster.patch(kinds.SERVICE, "slow", {"spec": {"template": label}})
        os.kill(running.pid, signal.SIGKILL)
        wait_for_end(running.pid)

        running = starting.ensure_running()
        cluster = connecting.connect(homes.home())
        service = cluster.get(kinds.SERVICE, "slow")
        assert service is not None
        assert service["spec"] == answered["spec"]
        for key in ("uid", "generation", "creationTimestamp"):
            assert service["metadata"][key] == answered["metadata"][key]
        latest = service["status"]["latestCreatedRevisionName"]
        revision = cluster.get(kinds.REVISION, latest)
        assert revision is not None
        assert revision["metadata"]["labels"]["try"] == str(number)
        assert latest == f"slow-{service['metadata']['generation']:05}"


def test_what_shall_always_have_an_instance_has_one_again_before_anybody_asks(
    machine: OnThisMachine, running: About
) -> None:
    stopping.stop()
    again = starting.ensure_running()
    while not children(again.pid):
        time.sleep(0.05)

    assert machine.mlfunc("list", "-o", "json").data[0]["name"] == "slow"


def test_a_request_that_is_under_way_is_answered_when_it_is_told_to_end(
    machine: OnThisMachine, running: About
) -> None:
    said: list[str] = []
    request = threading.Thread(target=lambda: said.append(asked(running, seconds=1.5)))
    with follow(machine) as lines:
        request.start()
        assert next(line for line in lines if "begun 1.5" in line)
        stopping.stop()
    request.join()

    assert said == ['"done"']


def test_who_stops_it_need_not_wait_for_what_takes_too_long(
    machine: OnThisMachine, running: About
) -> None:
    lost: list[Exception] = []

    def ask() -> None:
        try:
            asked(running, seconds=3600.5)
        except OSError as error:
            lost.append(error)

    request = threading.Thread(target=ask)
    with follow(machine) as lines:
        request.start()
        assert next(line for line in lines if "begun 3600.5" in line)
        instances = children(running.pid)
        assert stopping.stop(timeout=0.1) == running
    request.join()

    assert lost
    for pid in instances:
        os.kill(pid, signal.SIGKILL)  # it would do what it has begun


@contextlib.contextmanager
def follow(machine: OnThisMachine) -> Iterator[Any]:
    """What the function says."""
    command = [sys.executable, "-m", "mlfunc", "logs", "slow", "--follow"]
    environ = {**os.environ, **machine.environ}
    with subprocess.Popen(command, stdout=-1, text=True, env=environ) as logs:
        assert logs.stdout is not None
        yield logs.stdout
        logs.terminate()


def test_in_the_foreground_functions_get_no_variable_of_its_terminal(
    machine: OnThisMachine, running: About
) -> None:
    stopping.stop()
    told = {**os.environ, **machine.environ, "HF_TOKEN": "of somebody"}
    argv = [sys.executable, "-m", "mlfunc", "platform", "start", "--foreground"]
    with subprocess.Popen(argv, env=told, stderr=subprocess.PIPE, text=True) as foreground:
        assert foreground.stderr is not None
        assert any("the local platform serves at" in line for line in foreground.stderr)
        assert asked(running) == '"done"'  # it keeps the port
        instances = children(foreground.pid)
        given = [Path(f"/proc/{pid}/environ").read_bytes() for pid in instances]
        foreground.terminate()
        foreground.stderr.read()

    assert given
    assert all(b"HF_TOKEN" not in each for each in given)


def test_an_open_dashboard_does_not_keep_it(running: About) -> None:
    connection = HTTPConnection("127.0.0.1", running.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", "/-/dashboard/feed")
        assert connection.getresponse().readline()
        assert stopping.stop(timeout=600) == running


def test_a_broken_state_is_told_left_as_it_is_and_put_aside_as_the_error_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "platform")
    home.prepare()
    home.state.write_bytes(b"not a database, but somebody's" * 100)
    monkeypatch.setenv("MLFUNC_HOME", str(tmp_path))

    with pytest.raises(MlfuncError, match="state of the local platform is broken") as broken:
        starting.ensure_running()
    assert home.state.read_bytes().startswith(b"not a database")

    command = broken.value.hint.partition(": ")[2]
    subprocess.run(command, shell=True, check=True)
    try:
        assert starting.ensure_running().port
    finally:
        stopping.stop()
