"""What the acceptance tests of builds share: a registry with a base image, and the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.rig import base, registry
from tests.rig.containers import program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.rig.registry import Registry

ROOT = Path(__file__).parents[2]
PREDICTOR = '''
class Greeter:
    """Greets."""

    example = {"name": "Ada"}

    def predict(self, name: str) -> str:
        return f"Hello {name}"
'''


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Builder:
    """The command line, with a home of its own and a base image that it finds by itself."""

    env: Mapping[str, str]

    def start(self, folder: Path, *args: str, **env: str) -> subprocess.Popen[str]:
        """`mlfunc build` of a folder, as a process that runs."""
        command = [sys.executable, "-m", "mlfunc", "build", "--path", str(folder), *args]
        return subprocess.Popen(
            command,
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, folder: Path, *args: str, **env: str) -> Ended:
        """`mlfunc build` of a folder, to whatever end."""
        with self.start(folder, *args, **env) as process:
            out, err = process.communicate()
        return Ended(process.returncode, out, err)

    def build(self, folder: Path, *args: str, **env: str) -> dict[str, Any]:
        """`mlfunc build -o json` of a folder, which must end well; what it tells a program."""
        ended = self.run(folder, "-o", "json", *args, **env)
        assert ended.code == 0, ended.err
        told: dict[str, Any] = json.loads(ended.out)
        return told


@pytest.fixture(scope="session")
def base_layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This machine's Python, as an OCI layout."""
    return base.write(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory, base_layout: Path) -> Iterator[Registry]:
    """A registry that has the base image: base/python:3.11."""
    with registry.registry(tmp_path_factory.mktemp("registry")) as running:
        to = f"docker://{running.address}/base/python:3.11"
        copy = [program("skopeo", "skopeo"), "copy", "--quiet", "--dest-tls-verify=false"]
        subprocess.run([*copy, f"oci:{base_layout}:latest", to], check=True)
        yield running


@pytest.fixture(scope="session")
def environ(tmp_path_factory: pytest.TempPathFactory, shelf: Registry) -> dict[str, str]:
    """Of every build here. Downloads of packages are shared, as uv shares them between projects."""
    own = {
        "MLFUNC_BASE_IMAGE": f"{shelf.address}/base/python:3.11",
        "DOCKER_CONFIG": str(tmp_path_factory.mktemp("docker")),
        "NO_COLOR": "1",
    }
    return {**os.environ, **own}


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory, environ: dict[str, str]) -> Any:
    """Makes builders that have never built anything."""
    return lambda: Builder({**environ, "MLFUNC_HOME": str(tmp_path_factory.mktemp("home"))})


@pytest.fixture(scope="session")
def seasoned(fresh: Any) -> Any:
    """One builder for all tests that do not mind what it has built before."""
    return fresh()


@pytest.fixture(scope="session")
def write_project() -> Any:
    """Writes the smallest function there is: write_project(folder, **lines of mlfunc.yaml)."""

    def write(folder: Path, name: str = "greeter", *, more: str = "", needs: str = "") -> Path:
        folder.mkdir(parents=True)
        text = f"name: {name}\npredictor: predictor.py:Greeter\n{more}"
        (folder / "mlfunc.yaml").write_text(text, encoding="utf-8")
        (folder / "predictor.py").write_text(PREDICTOR, encoding="utf-8")
        (folder / "requirements.txt").write_text(needs, encoding="utf-8")
        return folder

    return write


@pytest.fixture
def project(tmp_path: Path, write_project: Any) -> Path:
    """The smallest function there is."""
    folder: Path = write_project(tmp_path / "greeter")
    return folder
