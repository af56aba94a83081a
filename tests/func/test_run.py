"""`mlfunc run`, `invoke`, `test` end to end: a real environment, the real runtime, no model."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from mlfunc import cli, environment, function, lock
from mlfunc.client import Connection, Request
from mlfunc.commands.run import Screen
from mlfunc.errors import MlfuncError
from mlfunc.ui import Ui

from tests.rig.hub import hub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PREDICTOR = '''
import os

class Greeter:
    """Greets."""

    example = {"name": "Ada"}

    def predict(self, name: str) -> str:
        return os.environ.get("GREETING", "Hello") + " " + name
'''
OF_A_MODEL = '''
class Greeter:
    """Greets."""

    example = {"name": "Ada"}

    def load(self, context) -> None:
        self.greeting = (context.model("default") / "greeting.txt").read_text()

    def predict(self, name: str) -> str:
        return f"{self.greeting} {name}"
'''
BROKEN = """
def deep():
    return undefined_name

deep()
"""
TESTS = """
from predictor import Greeter

def test_greets():
    assert Greeter().predict("Ada") == "Hello Ada"
"""


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One environment for all tests here: making it is the slow part."""
    return tmp_path_factory.mktemp("shared-home")


@pytest.fixture(autouse=True)
def home(shared_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of a home for each test."""
    monkeypatch.setenv("MLFUNC_HOME", str(shared_home))
    monkeypatch.setenv("NO_COLOR", "1")
    return shared_home


@pytest.fixture
def greeter(project: Path) -> Path:
    """A project that works."""
    (project / "predictor.py").write_text(PREDICTOR)
    return project


class Served:
    """A `mlfunc run` as its user sees it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlfunc", "run", "--port", "0", *options],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.shown = ""

    def until(self, pattern: str) -> re.Match[str]:
        """Read on until this is shown; what was shown before it is let go."""
        assert self.process.stdout is not None
        while not (match := re.search(pattern, self.shown)):
            line = self.process.stdout.readline()
            assert line, f"it ended without showing {pattern}"
            self.shown += line
        self.shown = self.shown[match.end() :]
        return match

    def url(self) -> str:
        """Where it serves, when it does."""
        return self.until(r"serves at (http://\S+)")[1]

    def end(self, signum: int = signal.SIGINT) -> tuple[int, str]:
        """Signal it, and give its exit code with all that it still had to show."""
        self.process.send_signal(signum)
        rest, _ = self.process.communicate(timeout=30)
        return self.process.returncode, self.shown + rest


@contextlib.contextmanager
def served(folder: Path, *options: str) -> Iterator[Served]:
    it = Served(folder, *options)
    with it.process:
        try:
            yield it
        finally:
            it.process.kill()


def ask(url: str, body: bytes = b'{"name": "Bo"}') -> str:
    with Connection(url, 10) as connection:
        reply = connection.send(Request(headers={"content-type": "application/json"}, body=body))
    return reply.body.decode()


def test_a_function_is_served_found_by_invoke_and_drained(
    greeter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(greeter) as running:
        running.until(r"started in \d+\.\d\d s")
        url = running.url()

        assert ask(url) == '"Hello Bo"'
        assert cli.main(["invoke", "--path", str(greeter)]) == 0
        assert capsys.readouterr().out == '"Hello Ada"\n'
        assert cli.main(["invoke", "greeter", "-n", "20", "-c", "2"]) == 0
        code, shown = running.end()

    assert code == 0
    assert "draining ..." in shown
    assert "Traceback" not in shown
    assert cli.main(["invoke", "--path", str(greeter)]) == 5


def test_a_second_run_installs_nothing(greeter: Path) -> None:
    environment.ensure(environment.describe(greeter, function.load(greeter)), lambda _: None)

    with served(greeter) as running:
        shown = running.until(r"(?s).*serves at")[0]

    assert "installing" not in shown
    assert "importing ...\nloading ...\nwarming up ...\n" in shown


def test_a_model_of_a_hub_is_fetched_pinned_and_found(
    greeter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (greeter / "mlfunc.yaml").write_text(
        "name: greeter\npredictor: predictor.py:Greeter\nmodels: {default: hf://org/tiny}\n"
    )
    (greeter / "predictor.py").write_text(OF_A_MODEL)
    with hub() as there:
        commit = there.add("org/tiny", {"greeting.txt": b"Moin"})
        monkeypatch.setenv("HF_ENDPOINT", there.endpoint)
        with served(greeter, "--no-reload") as running:
            answer = ask(running.url())
            code, _ = running.end()

    assert (answer, code) == ('"Moin Bo"', 0)
    assert lock.load(greeter).models["default"].revision == commit


def test_changed_code_is_served_at_the_same_url(greeter: Path) -> None:
    with served(greeter) as running:
        url = running.url()
        (greeter / "predictor.py").write_text(PREDICTOR.replace("Hello", "Salve"))
        running.until("predictor.py changed: starting again")

        assert running.url() == url
        assert ask(url) == '"Salve Bo"'


def test_broken_code_shows_the_user_s_own_frames_and_waits_for_better(greeter: Path) -> None:
    with served(greeter) as running:
        running.url()
        (greeter / "predictor.py").write_text(BROKEN)
        shown = running.until(r"(?s)Traceback.*waiting for a change")[0]
        (greeter / "predictor.py").write_text(PREDICTOR)
        running.url()
        code, _ = running.end()

    assert "in deep\n" in shown
    assert "mlfunc_runtime" not in shown
    assert "NameError: name 'undefined_name' is not defined" in shown
    assert code == 0


def test_without_reload_a_failed_start_ends_with_3(greeter: Path) -> None:
    (greeter / "predictor.py").write_text(BROKEN)

    with served(greeter, "--no-reload") as running:
        shown, _ = running.process.communicate(timeout=60)

    assert running.process.returncode == 3
    assert "in deep\n" in shown
    assert "error: the function did not start" in shown


def test_a_taken_port_is_one_clear_line(greeter: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with served(greeter, "--port", port) as running:
            shown, _ = running.process.communicate(timeout=60)

    assert running.process.returncode == 1
    assert f"error: port {port} is taken\n  try: choose another: --port 0" in shown
    assert "Traceback" not in shown


def test_a_broken_mlfunc_yaml_is_one_clear_line(greeter: Path) -> None:
    (greeter / "mlfunc.yaml").write_text("name: greeter\nserve: {slot: 1}\n")

    with served(greeter) as running:
        shown, _ = running.process.communicate(timeout=60)

    assert running.process.returncode == 2
    assert shown == "error: mlfunc.yaml:2: serve.slot: unknown key; did you mean slots?\n"


def test_variables_of_the_command_reach_the_function(greeter: Path) -> None:
    with served(greeter, "--env", "GREETING=Ciao") as running:
        assert ask(running.url()) == '"Ciao Bo"'


def test_it_serves_where_others_cannot_be_told_of_it(
    greeter: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFUNC_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(home.parent))
    (home.parent / "mlfunc").symlink_to(home)
    # A file where a folder is needed: the tests may run as root, who can write anywhere.
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(greeter / "mlfunc.yaml"))

    with served(greeter) as running:
        running.until("`mlfunc invoke` finds it by its URL only: .*not a directory")
        assert ask(running.url()) == '"Hello Bo"'


def test_while_a_broken_reload_is_waited_over_invoke_names_the_terminal(
    greeter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(greeter) as running:
        running.url()
        (greeter / "predictor.py").write_text(BROKEN)
        running.until("waiting for a change")

        assert cli.main(["invoke", "greeter"]) == 5

    assert "error: greeter does not serve now\n" in capsys.readouterr().err


@pytest.mark.parametrize("port_option", ["--port", "--metrics-port"])
def test_a_taken_port_is_noticed_before_anything_is_installed(
    greeter: Path, port_option: str
) -> None:
    (greeter / "requirements.txt").write_text("thing @ file:///no/such/thing.whl\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with served(greeter, port_option, port) as running:
            shown, _ = running.process.communicate(timeout=60)

    assert running.process.returncode == 1
    assert shown.startswith(f"error: port {port} is taken\n")


def test_an_address_of_another_machine_ends_it(greeter: Path) -> None:
    with served(greeter, "--host", "192.0.2.1") as running:
        shown, _ = running.process.communicate(timeout=60)

    assert running.process.returncode == 1
    assert "cannot listen on 192.0.2.1" in shown
    assert "waiting" not in shown


def test_verbose_shows_each_request(greeter: Path) -> None:
    with served(greeter, "-v") as running:
        ask(running.url())
        running.until(r"\d\d:\d\d:\d\d  POST / 200 \d+\.\d ms  request_id=")


def test_an_error_while_it_unloads_is_shown(greeter: Path) -> None:
    failing = "\n    def unload(self):\n        raise KeyError('gone')\n"
    (greeter / "predictor.py").write_text(PREDICTOR + failing)

    with served(greeter) as running:
        running.url()
        _, shown = running.end()

    assert "unload raised KeyError: 'gone'" in shown


def test_sigterm_drains_as_well(greeter: Path) -> None:
    with served(greeter) as running:
        running.url()
        code, shown = running.end(signal.SIGTERM)

    assert code == 0
    assert "draining ..." in shown


def test_a_reader_that_leaves_early_ends_the_function_too(greeter: Path) -> None:
    with served(greeter) as running:
        url = running.url()
        assert running.process.stdout is not None
        running.process.stdout.close()
        with contextlib.suppress(MlfuncError):
            ask(url, b"no json")
        (greeter / "predictor.py").touch()
        code = running.process.wait(60)

    assert code == 1
    with pytest.raises(MlfuncError):
        ask(url)


@pytest.mark.skipif(sys.platform != "linux", reason="only its kernel ends orphans")
def test_a_function_does_not_outlive_a_run_that_is_killed(greeter: Path) -> None:
    with served(greeter) as running:
        url = running.url()
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as open_one:
            code, _ = running.end(signal.SIGKILL)
            ended, _, _ = select.select([open_one], [], [], 30)

    assert code == -signal.SIGKILL
    assert ended


def test_on_a_terminal_phases_are_shown_with_their_times(greeter: Path) -> None:
    leader, follower = os.openpty()
    command = [sys.executable, "-m", "mlfunc", "run", "--port", "0"]
    with subprocess.Popen(
        command, cwd=greeter, stdin=follower, stdout=follower, stderr=follower
    ) as process:
        os.close(follower)
        shown = b""
        while b"serves at" not in shown:
            shown += os.read(leader, 4096)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # the terminal is gone with the last who holds it
            while chunk := os.read(leader, 4096):
                shown += chunk
    os.close(leader)

    assert process.returncode == 0
    assert re.search(r"✓ imported  \d+\.\d s", shown.decode())
    assert re.search(r"✓ drained  \d+\.\d s", shown.decode())


def test_a_function_s_tests_run_in_its_environment(
    greeter: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (greeter / "test_predictor.py").write_text(TESTS)
    assert cli.main(["test", "--path", str(greeter), "-q"]) == 0

    (greeter / "test_predictor.py").write_text(TESTS.replace("Hello Ada", "Goodbye"))
    assert cli.main(["test", "--path", str(greeter), "-q", "-k", "greets"]) == 3

    assert cli.main(["test", "--path", str(greeter), "-q", "-k", "nothing"]) == 5
    assert "no test was selected by -q -k nothing" in capfd.readouterr().err
    assert cli.main(["test", "--path", str(greeter), "nofile.py"]) == 2
    assert cli.main(["test", "--path", str(greeter), "--no-such-option"]) == 2

    (greeter / "test_predictor.py").unlink()
    assert cli.main(["test", "--path", str(greeter)]) == 5


def test_requirements_that_cannot_be_installed_end_with_4(
    greeter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (greeter / "requirements.txt").write_text(
        "thing @ file:///no/such/wheel-1.0-py3-none-any.whl\n"
    )

    assert cli.main(["test", "--path", str(greeter)]) == 4
    shown = capsys.readouterr().err
    assert "/no/such/wheel" in shown
    assert "could not make the function's environment" in shown


def test_what_the_predictor_leaves_in_mid_line_is_followed_by_lines_of_ours(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Screen(Ui(), project, "127.0.0.1") as screen:
        screen.output(b"50%")
        screen.phase("loading")
        screen.output(b"50%")
        screen.record({"message": "m"})
        screen.output(b"50%")
        screen.changed([f"{i}.py" for i in range(9)])
        screen.output(b"50%")
        screen.failed(MlfuncError("e"))
        screen.output(b"50%")
        screen.ready(1, {})

    shown = capsys.readouterr().err.splitlines()
    assert [shown[i + 1] for i, line in enumerate(shown) if line == "50%"] == [
        "loading ...",
        "info     m",
        "",
        "error: e",
        "started in 0.00 s; Ctrl-C ends it",
    ]
