"""What the tests of templates and samples share: the command line, and what it serves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import pytest
from mlfunc import environment, function

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

MLFUNC = (sys.executable, "-m", "mlfunc")
MODEL_START_SECONDS = 120.0


@dataclass(frozen=True)
class Reply:
    """What a function answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Served:
    """A function that `mlfunc run` serves."""

    url: str

    def post(self, body: object, **headers: str) -> Reply:
        """Send bytes as they are, anything else as JSON; `ce_id` is the header ce-id."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=MODEL_START_SECONDS)
        try:
            connection.request("POST", "/", data, {"content-type": kind, **named})
            reply = connection.getresponse()
            kept = {name.lower(): value for name, value in reply.getheaders()}
            return Reply(reply.status, kept, reply.read())
        finally:
            connection.close()

    def invoke(self, *arguments: str) -> Any:
        """What `mlfunc invoke` tells a program about the reply."""
        return json.loads(mlfunc("invoke", self.url, *arguments, "--output", "json"))


class Serve(Protocol):
    """`serving`, as tests get it."""

    def __call__(self, folder: Path, **env: str) -> AbstractContextManager[Served]: ...


def mlfunc(*arguments: str) -> str:
    """Run the command line to its end, which must be a good one, and return what it printed."""
    finished = subprocess.run([*MLFUNC, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


@contextmanager
def serving(folder: Path, **env: str) -> Iterator[Served]:
    """Serve a function until the block ends; it has to drain well."""
    variables = [word for name, value in env.items() for word in ("--env", f"{name}={value}")]
    command = [*MLFUNC, "run", "--no-reload", "--port", "0", "--path", str(folder), *variables]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        try:
            assert run.stdout is not None
            found = re.search(r"http://\S+", run.stdout.readline())
            assert found is not None, f"{folder.name} did not start"
            yield Served(found[0])
        finally:
            run.send_signal(signal.SIGTERM)
            run.communicate()
    assert run.returncode == 0


@pytest.fixture(scope="session", autouse=True)
def _runs_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What these tests serve is nothing that a user's `mlfunc invoke` should find, or they its."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
        yield


@pytest.fixture(scope="session")
def cli() -> Any:
    """The command line: arguments -> what it printed."""
    return mlfunc


@pytest.fixture(scope="session")
def serve() -> Serve:
    """Serves a function in a `with` block."""
    return serving


@pytest.fixture(scope="session")
def python_of() -> Any:
    """The interpreter of a function's environment, which is made if it is not there."""

    def python(folder: Path) -> Path:
        spec = environment.describe(folder, function.load(folder))
        return environment.ensure(spec, print).python

    return python


@pytest.fixture
def passes(python_of: Any, tmp_path: Path) -> Any:
    """Runs a file of checks that need a function's environment in it."""

    def passes(folder: Path, checks: Path) -> None:
        options = ["-q", "--noconftest", "-p", "no:cacheprovider", "-c", "/dev/null"]
        command = [python_of(folder), "-m", "pytest", *options, str(checks)]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout

    return passes


@pytest.fixture(scope="session")
def imported(python_of: Any) -> Any:
    """What a function's start imports until it is ready, as the interpreter itself tells it."""

    def imported(folder: Path, **env: str) -> list[str]:
        quiet = {"PORT": "0", "MLFUNC_METRICS_PORT": "0", "PYTHONPROFILEIMPORTTIME": "1"}
        command = [python_of(folder), "-m", "mlfunc_runtime"]
        with subprocess.Popen(
            command, cwd=folder, env=os.environ | quiet | env, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stderr is not None
                return _imports_until_ready(process.stderr)
            finally:
                process.kill()

    return imported


def _imports_until_ready(log: Iterable[str]) -> list[str]:
    names = []
    for line in log:
        if line.startswith("import time:"):
            names.append(line.rpartition("|")[2].strip())
        if '"phase":"ready"' in line.replace(" ", ""):
            return names
    raise AssertionError(f"it did not get ready: {names[-5:]}")


@pytest.fixture(scope="session")
def uv_run() -> Any:
    """Runs a script with the dependencies in its head, as `uv run SCRIPT` does."""

    def run(script: Path) -> None:
        uv = environment.find_uv()
        assert uv is not None, "uv is in requirements-dev.txt"
        command = [uv, "run", "--no-project", "--python", sys.executable, str(script)]
        subprocess.run(command, env=environment.uv_variables(os.environ), check=True)

    return run
