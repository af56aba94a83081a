"""Locked wheels become trees: exact, the same everywhere, and only of the right machine."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlfunc import environment
from mlfunc.errors import EnvironmentFailed, NotFound, UsageError
from mlfunc.layers import reading
from mlfunc.layers.tree import File, Tree, write
from mlfunc.lock import Wheel
from mlfunc.wheels import elf, install
from mlfunc.wheels.install import Place

from tests.rig.index import index, wheel

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
PLACE = Place("layers/p/deps", "/layers/p/deps/bin/python", PYTHON, "amd64")
ARM_ELF = (
    b"\x7fELF\x02\x01\x01" + bytes(9) + (3).to_bytes(2, "little") + (183).to_bytes(2, "little")
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFUNC_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(environment, "runtime_requirement", lambda: ("nothing",))


def locked(file: Path, url: str | None = None) -> Wheel:
    name, version = file.name.split("-")[:2]
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Wheel(name, version, file.name, digest, file.stat().st_size, url)


def made(wheels: list[Wheel], project: Path, scratch: Path, **environ: str) -> Tree:
    scratch.mkdir(parents=True)
    return install.tree(wheels, PLACE, project, scratch, {**os.environ, **environ})


def content(tree: Tree) -> dict[str, tuple[bool, bytes]]:
    files = (entry for entry in tree.entries if isinstance(entry, File))
    return {f.path: (f.executable, b"".join(reading.read(f.pieces))) for f in files}


def test_two_installs_in_two_folders_are_the_same_to_the_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = b"NAMES = {'a', 'b', 'c'}\ndef f(x):\n    return x in {'one', 'two'}, 1e9, (1, 2)\n"
    file = wheel(
        tmp_path / "p" / "wheels", "tool", "1", files={"tool.py": source}, scripts="tool = tool:f"
    )
    first = content(made([locked(file)], tmp_path / "p", tmp_path / "a"))
    monkeypatch.setenv("MLFUNC_HOME", str(tmp_path / "another" / "home"))
    second = content(made([locked(file)], tmp_path / "p", tmp_path / "else" / "where"))

    assert first == second
    site = PLACE.site
    assert f"{site}/__pycache__/tool.cpython-{PYTHON.replace('.', '')}.pyc" in first
    executable, script = first["layers/p/deps/bin/tool"]
    assert executable
    assert script.startswith(b"#!/layers/p/deps/bin/python\n")
    names = {Path(path).name for path in first}
    assert not names & {"INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"}


def test_record_names_what_is_there_with_its_digest(tmp_path: Path) -> None:
    file = wheel(tmp_path / "p" / "wheels", "tool", "1", scripts="tool = tool:f")
    tree = made([locked(file)], tmp_path / "p", tmp_path / "scratch")
    write(tree, tmp_path / "root")
    from importlib.metadata import PathDistribution

    (info,) = (tmp_path / "root" / PLACE.site).glob("*.dist-info")
    files = PathDistribution(info).files or []
    assert {path.name for path in files} >= {"tool.py", "tool", "METADATA", "RECORD"}
    for path in files:
        data = Path(str(path.locate())).read_bytes()
        if path.hash:
            from base64 import urlsafe_b64encode

            digest = urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            assert path.hash.value == digest


def test_python_imports_what_is_compiled_and_checks_no_time(tmp_path: Path) -> None:
    file = wheel(tmp_path / "p" / "wheels", "tool", "1")
    write(made([locked(file)], tmp_path / "p", tmp_path / "scratch"), tmp_path / "root")
    site = tmp_path / "root" / PLACE.site
    os.utime(site / "tool.py", (0, 0))
    # Were it read, it would be seen.
    (site / "tool.py").write_text("VALUE = 'source'\n")

    code = "import tool; print(tool.VALUE, tool.__spec__.loader.get_code('tool').co_filename)"
    argv = [sys.executable, "-S", "-c", code]
    told = subprocess.run(
        argv, env={"PYTHONPATH": str(site)}, capture_output=True, text=True, check=True
    )
    assert told.stdout.split()[0] == "1"


def test_a_wheel_with_other_bytes_than_locked_is_refused(tmp_path: Path) -> None:
    file = wheel(tmp_path / "p" / "wheels", "tool", "1")
    before = locked(file)
    wheel(tmp_path / "p" / "wheels", "tool", "1", files={"tool.py": b"EVIL = 1\n"})
    with pytest.raises(EnvironmentFailed, match="cannot be installed") as raised:
        made([before], tmp_path / "p", tmp_path / "scratch")
    assert "ash mismatch" in raised.value.evidence


def test_a_wheel_that_is_gone_is_named_with_where_to_put_it(tmp_path: Path) -> None:
    file = wheel(tmp_path / "p" / "wheels", "tool", "1")
    before = locked(file)
    file.unlink()
    with pytest.raises(NotFound, match=r"tool-1-py3-none-any\.whl") as raised:
        made([before], tmp_path / "p", tmp_path / "scratch")
    assert "wheels/" in raised.value.hint


@pytest.mark.parametrize("variable", ["PIP_INDEX_URL", "UV_INDEX_URL", "requirements.txt"])
def test_wheels_behind_a_password_are_fetched(tmp_path: Path, variable: str) -> None:
    file = wheel(tmp_path / "i" / "tool", "tool", "1")
    project = tmp_path / "p"
    project.mkdir()
    with index(tmp_path / "i", user="me:secret") as address:
        (project / "requirements.txt").write_text(f"--index-url http://${{ME}}@{address}/\ntool\n")
        environ = {"ME": "me:secret"}
        if variable != "requirements.txt":
            (project / "requirements.txt").write_text("tool\n")
            environ = {variable: f"http://me:secret@{address}/"}
        cache = {"UV_CACHE_DIR": str(tmp_path / "uv")}
        wheels = [locked(file, f"http://{address}/tool/{file.name}")]
        tree = made(wheels, project, tmp_path / "scratch", **environ, **cache)
    assert f"{PLACE.site}/tool.py" in content(tree)


def test_an_object_for_another_machine_is_refused_by_name(tmp_path: Path) -> None:
    file = wheel(tmp_path / "p" / "wheels", "tool", "1", files={"tool/x.so.1": ARM_ELF})
    with pytest.raises(UsageError, match=r"tool has .*tool/x\.so\.1 for arm64"):
        made([locked(file)], tmp_path / "p", tmp_path / "scratch")


@pytest.mark.parametrize(
    ("head", "machine"),
    [
        (ARM_ELF, "arm64"),
        (b"\x7fELF\x02\x02" + bytes(12) + b"\x00\x16", "s390x"),
        (ARM_ELF[:18] + b"\xff\xff", "machine 65535"),
        (ARM_ELF[:19], None),
        (b"", None),
        (b"#!/bin/sh\n and more than twenty bytes", None),
    ],
)
def test_the_machine_is_read_from_the_head(head: bytes, machine: str | None) -> None:
    assert elf.machine(head) == machine


def test_this_pythons_own_program_is_of_this_machine() -> None:
    with Path(sys.executable).open("rb") as file:
        assert elf.machine(file.read(20)) in {"amd64", "arm64"}


def test_a_wheel_whose_own_address_has_a_password_is_fetched(tmp_path: Path) -> None:
    file = wheel(tmp_path / "i" / "tool", "tool", "1")
    project = tmp_path / "p"
    project.mkdir()
    with index(tmp_path / "i", user="me:secret") as address:
        own = f"{address}/tool/{file.name}"
        (project / "requirements.txt").write_text(f"tool @ http://${{ME}}@{own}\n")
        environ = {"ME": "me:secret", "UV_CACHE_DIR": str(tmp_path / "uv")}
        tree = made([locked(file, f"http://{own}")], project, tmp_path / "scratch", **environ)

    assert f"{PLACE.site}/tool.py" in content(tree)
    assert all(b"secret" not in data for _, data in content(tree).values())


def test_what_was_fetched_once_is_not_fetched_again(tmp_path: Path) -> None:
    """Not from a server, either, that does not say how long its files stay the same."""
    file = wheel(tmp_path / "i" / "tool", "tool", "1")
    project = tmp_path / "p"
    project.mkdir()
    cache = {"UV_CACHE_DIR": str(tmp_path / "uv")}
    with index(tmp_path / "i") as address:
        wheels = [locked(file, f"http://{address}/tool/{file.name}")]
        made(wheels, project, tmp_path / "first", **cache)
    made(wheels, project, tmp_path / "second", **cache)

    assert len(list((tmp_path / "uv/archive-v0").iterdir())) == 1
