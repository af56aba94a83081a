"""A function's own environment: what it is keyed by, and that it is made once and whole."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mlfunc import environment, function
from mlfunc.environment import Environment, Spec
from mlfunc.errors import EnvironmentFailed
from mlfunc.proc import Cancellation, Cancelled

if TYPE_CHECKING:
    from mlfunc.function import AcceleratorType

# Stands for uv: `uv venv ... FOLDER` makes a Python, `uv pip install ...` notes that it was called.
INSTALLER = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
case "$1" in
  venv) for last in "$@"; do :; done
        mkdir -p "$last/bin" && ln -s /bin/true "$last/bin/python" ;;
  pip)  echo "Resolved 3 packages"
        case "$*" in *--dry-run) cat "$(dirname "$0")/would" 2>/dev/null; exit 0 ;; esac
        if [ -e "$(dirname "$0")/fail" ]; then echo "No solution found: no-such-package"; exit 1; fi
        if [ -e "$(dirname "$0")/slow" ]; then sleep 0.3; fi ;;
esac
"""


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "uv").write_text(INSTALLER)
    (folder / "uv").chmod(0o755)
    return folder


@pytest.fixture
def spec(project: Path, tools: Path) -> Spec:
    described = environment.describe(project, function.load(project))
    return replace(described, tool="uv", installer=str(tools / "uv"))


def calls(tools: Path) -> list[str]:
    lines = (tools / "calls").read_text().splitlines()
    return [line.split()[0] for line in lines if "--dry-run" not in line]


def key(project: Path) -> str:
    return environment.describe(project, function.load(project)).key


def test_an_environment_is_made_once_and_then_reused(spec: Spec, tools: Path) -> None:
    said: list[str] = []
    first = environment.ensure(spec, said.append)
    second = environment.ensure(spec, said.append)

    assert first == second
    assert calls(tools) == ["venv", "pip"]
    assert said == ["Resolved 3 packages"]


def test_a_failed_install_says_what_the_installer_said_and_leaves_nothing_complete(
    spec: Spec, tools: Path
) -> None:
    (tools / "fail").touch()
    with pytest.raises(EnvironmentFailed) as raised:
        environment.ensure(spec, lambda _: None)

    assert "No solution found: no-such-package" in raised.value.evidence
    assert not environment.place(spec).complete


def test_an_interrupted_install_is_made_anew(spec: Spec, tools: Path) -> None:
    leftover = environment.place(spec).folder / "half"
    leftover.mkdir(parents=True)

    made = environment.ensure(spec, lambda _: None)

    assert made.complete
    assert not leftover.exists()
    assert calls(tools) == ["venv", "pip"]


def test_an_environment_whose_python_is_gone_is_made_anew(spec: Spec, tools: Path) -> None:
    made = environment.ensure(spec, lambda _: None)
    made.python.unlink()
    made.python.symlink_to("/removed/python")

    assert environment.ensure(spec, lambda _: None).complete
    assert calls(tools) == ["venv", "pip"] * 2


def test_two_at_once_make_it_once(spec: Spec, tools: Path) -> None:
    (tools / "slow").touch()
    heard: list[str] = []
    threads = [
        threading.Thread(target=environment.ensure, args=(spec, heard.append)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert calls(tools) == ["venv", "pip"]
    assert "another mlfunc is making this environment" in heard


def test_the_key_follows_the_requirements_and_what_they_include(project: Path) -> None:
    keys = [key(project)]
    (project / "requirements.txt").write_text("-r more.txt\n")
    keys.append(key(project))
    (project / "more.txt").write_text("numpy\n")
    keys.append(key(project))

    assert len(set(keys)) == 3
    assert key(project) == keys[-1]


@pytest.mark.parametrize(
    "line", ["-r more.txt", "-rmore.txt", "--requirement=more.txt", "-c more.txt  # pins"]
)
def test_an_included_file_counts_however_it_is_written(line: str, project: Path) -> None:
    (project / "requirements.txt").write_text(f"numpy\n{line}\n")
    (project / "more.txt").write_text("numpy<2\n")
    before = key(project)
    (project / "more.txt").write_text("numpy<3\n")

    assert key(project) != before


def test_requirements_that_include_themselves_or_are_no_text_are_the_installer_s_to_judge(
    project: Path,
) -> None:
    (project / "requirements.txt").write_bytes(b"-r requirements.txt\n# caf\xe9\n")

    assert key(project)


def test_comments_and_blank_lines_make_no_other_environment(project: Path) -> None:
    (project / "requirements.txt").write_text("numpy\nmine @ https://x.example/m.zip#egg=mine\n")
    before = key(project)
    (project / "requirements.txt").write_text(
        "# what it needs\n\nnumpy   # arrays\n  mine @ https://x.example/m.zip#egg=mine\n"
    )
    assert key(project) == before

    (project / "requirements.txt").write_text("numpy\nmine @ https://x.example/m.zip#egg=yours\n")
    assert key(project) != before


def test_projects_with_the_same_requirements_share_an_environment(
    project: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "mlfunc.yaml").write_text("name: other\n")

    assert key(other) == key(project)


@pytest.mark.parametrize(
    ("requirement", "bound"),
    [
        ("./library", True),
        ("libraries/mine", True),
        ("mine-1.0-py3-none-any.whl", True),
        ("--find-links=wheels", True),
        ("mine @ file:mine.whl", True),
        ("numpy  # as in docs/numpy.md", False),
        ("# see ./notes", False),
        ("mine @ https://x.example/mine.tar.gz", False),
    ],
)
def test_only_requirements_with_a_relative_path_are_bound_to_their_folder(
    requirement: str, bound: bool, project: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "mlfunc.yaml").write_text("name: other\n")
    for folder in (project, other):
        (folder / "requirements.txt").write_text(f"{requirement}\n")

    assert (key(other) != key(project)) is bound


def test_the_runtime_and_pytest_are_always_wanted(project: Path) -> None:
    (project / "requirements.txt").write_text("numpy\n")
    spec = environment.describe(project, function.load(project))

    assert spec.wanted[:2] == ("-r", str(project / "requirements.txt"))
    assert spec.wanted[-1] == "pytest"
    assert spec.wanted[2:-1] == environment.runtime_requirement()


def test_without_a_checkout_the_runtime_of_our_own_version_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "_CHECKOUT", tmp_path)

    assert environment.runtime_requirement() == ("mlfunc-runtime==0.1.0",)


@pytest.mark.parametrize(
    "said",
    [
        "Because mlfunc-runtime was not found in the\n  package registry and you require",
        "ERROR: No matching distribution found for mlfunc-runtime==0.1.0",
    ],
)
def test_a_runtime_that_no_index_has_is_not_blamed_on_the_requirements(
    said: str, spec: Spec, tools: Path
) -> None:
    (tools / "uv").write_text(INSTALLER.replace("No solution found: no-such-package", said))
    (tools / "fail").touch()
    with pytest.raises(EnvironmentFailed) as raised:
        environment.ensure(spec, lambda _: None)

    assert raised.value.message.startswith("no package index that uv asks has ")
    assert "MLFUNC_RUNTIME=" in raised.value.hint


def test_the_runtime_that_is_named_is_wanted(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "mlfunc_runtime-9-py3-none-any.whl"
    keys = {key(project)}
    wheel.write_bytes(b"")
    for given, wanted in (
        ("mlfunc-runtime>=9", ("mlfunc-runtime>=9",)),
        (str(tmp_path), ("-e", str(tmp_path))),
        (str(wheel), (str(wheel),)),
    ):
        monkeypatch.setenv("MLFUNC_RUNTIME", given)
        assert environment.runtime_requirement() == wanted
        keys.add(key(project))
    assert len(keys) == 4

    os.utime(wheel, (1, 1))
    assert key(project) not in keys


def test_an_installation_can_be_broken_off(spec: Spec, tools: Path) -> None:
    (tools / "uv").write_text(INSTALLER.replace("sleep 0.3", "echo Downloading; sleep 30"))
    (tools / "slow").touch()
    cancellation = Cancellation()
    began = time.monotonic()

    with pytest.raises(Cancelled):
        environment.ensure(
            spec,
            lambda said: cancellation.cancel() if said == "Downloading" else None,
            cancellation,
        )

    assert time.monotonic() - began < 25
    assert not environment.place(spec).complete


def test_to_wait_for_another_installation_can_be_broken_off(spec: Spec) -> None:
    cancellation = Cancellation()
    folder = environment.place(spec).folder
    folder.parent.mkdir(parents=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Cancelled):
            environment.ensure(spec, lambda _: cancellation.cancel(), cancellation)


def test_what_an_installer_says_is_told_without_its_own_noise(spec: Spec, tools: Path) -> None:
    said = "Using Python 3.11 environment at: /x; echo error: no such thing".replace("; ", '"; ')
    said = said.replace("echo error", 'echo "error')
    (tools / "uv").write_text(INSTALLER.replace("No solution found: no-such-package", said))
    (tools / "fail").touch()
    with pytest.raises(EnvironmentFailed) as raised:
        environment.ensure(spec, lambda _: None)

    assert raised.value.evidence == "Resolved 3 packages\nno such thing"


def test_without_uv_pip_does_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "find_uv", lambda: None)
    spec = environment.describe(project, function.load(project))
    make, install = environment.commands(spec, Environment(Path("/env")), {})

    assert make[1:] == ["-m", "venv", "/env"]
    assert install[:4] == ["/env/bin/python", "-m", "pip", "install"]


def test_where_python_may_not_cache_bytecode_uv_compiles_it_once() -> None:
    spec = Spec("uv", "uv", "python3", Path(), ("pytest",), "key")

    for environ, compiled in (({}, False), ({"PYTHONDONTWRITEBYTECODE": "1"}, True)):
        _, install = environment.commands(spec, Environment(Path("/env")), environ)
        assert ("--compile-bytecode" in install) is compiled


def test_another_python_is_asked_of_uv_and_missed_without_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "mlfunc.yaml").write_text('name: x\npython: "3.99"\n')
    monkeypatch.setattr(environment, "find_uv", lambda: "/bin/uv")
    assert environment.describe(project, function.load(project)).python == "3.99"

    monkeypatch.setattr(environment, "find_uv", lambda: None)
    with pytest.raises(EnvironmentFailed, match=r"asks for Python 3\.99"):
        environment.describe(project, function.load(project))


def test_a_python_that_nobody_has_is_refused_before_anything_is_installed(project: Path) -> None:
    (project / "mlfunc.yaml").write_text('name: x\npython: "3.99"\n')
    with pytest.raises(EnvironmentFailed, match=r"asks for Python 3\.99, which is not here"):
        environment.check(environment.describe(project, function.load(project)))


def test_settings_of_pip_reach_uv_under_its_names_unless_it_has_its_own() -> None:
    variables = environment.uv_variables(
        {
            "PIP_FIND_LINKS": "/wheels https://example.com/wheels",
            "PIP_INDEX_URL": "https://example.com/pip",
            "UV_DEFAULT_INDEX": "https://example.com/uv",
            "PIP_EXTRA_INDEX_URL": "https://example.com/extra",
        }
    )

    assert variables["UV_FIND_LINKS"] == "/wheels,https://example.com/wheels"
    assert variables["UV_DEFAULT_INDEX"] == "https://example.com/uv"
    assert variables["UV_INDEX"] == "https://example.com/extra"


@pytest.mark.parametrize(
    ("accelerator", "would", "routed"),
    [
        ("cpu", " + torch==2.13.0\n + nvidia-cublas==13.0\n", True),
        ("cpu", " + torch==2.13.0+cpu\n + numpy==2.4.0\n", False),
        ("nvidia", " + torch==2.13.0\n + nvidia-cublas==13.0\n", False),
    ],
    ids=["CUDA for a CPU", "no CUDA", "CUDA for a GPU"],
)
def test_a_cpu_function_is_not_given_cuda(
    spec: Spec, tools: Path, accelerator: AcceleratorType, would: str, routed: bool
) -> None:
    (tools / "would").write_text(would)

    environment.ensure(replace(spec, accelerator=accelerator), lambda _: None)

    assert ("--torch-backend cpu" in (tools / "calls").read_text()) is routed
