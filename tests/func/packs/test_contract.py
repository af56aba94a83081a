"""Buildpacks called as a lifecycle calls them: the real bin/detect and bin/build, as processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc import function, shipping

from tests.rig import checkout

if TYPE_CHECKING:
    from pathlib import Path

_BUILDPACKS = checkout.REPOSITORY / "buildpacks"
_NAMES = ("accelerator", "model", "python", "app")
_NOT_FOR_US = 100
_MODEL = "models: {default: ./weights}\n"


@dataclass(frozen=True)
class Lifecycle:
    """What a lifecycle has of one build: the app's folder and the files beside it."""

    app: Path
    folder: Path

    @property
    def plan(self) -> dict[str, Any]:
        return tomllib.loads((self.folder / "plan.toml").read_text())

    def layers(self, name: str) -> Path:
        return self.folder / "layers" / f"mlfunc_{name}"

    def toml(self, name: str, file: str) -> dict[str, Any]:
        return tomllib.loads((self.layers(name) / file).read_text())

    def call(self, name: str, command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """bin/detect or bin/build with the variables of Buildpack API 0.10 and no others."""
        (self.folder / "platform/env").mkdir(parents=True, exist_ok=True)
        self.layers(name).mkdir(parents=True, exist_ok=True)
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "MLFUNC_PYTHON": sys.executable,
            "CNB_BUILDPACK_DIR": str(_BUILDPACKS / name),
            "CNB_PLATFORM_DIR": str(self.folder / "platform"),
            "CNB_BUILD_PLAN_PATH": str(self.folder / "plan.toml"),
            "CNB_BP_PLAN_PATH": str(self.folder / "plan.toml"),
            "CNB_LAYERS_DIR": str(self.layers(name)),
            "CNB_TARGET_OS": "linux",
            "CNB_TARGET_ARCH": "amd64",
            **more,
        }
        argv = [str(_BUILDPACKS / name / "bin" / command)]
        return subprocess.run(
            argv, cwd=self.app, env=env, capture_output=True, text=True, check=False
        )

    def build(self, name: str) -> None:
        called = self.call(name, "build")
        assert called.returncode == 0, called.stderr


@pytest.fixture
def lifecycle(project: Path, tmp_path: Path) -> Lifecycle:
    """Of a function with a model."""
    (project / "weights").mkdir()
    (project / "weights" / "words.txt").write_text("zero one")
    with (project / "mlfunc.yaml").open("a") as described:
        described.write(_MODEL)
    return Lifecycle(project, tmp_path / "lifecycle")


@pytest.mark.parametrize("name", _NAMES)
def test_a_function_with_a_model_is_for_each_of_them(lifecycle: Lifecycle, name: str) -> None:
    called = lifecycle.call(name, "detect")

    assert called.returncode == 0, called.stderr
    assert set(lifecycle.plan) <= {"provides", "requires"}


def test_all_that_is_required_is_provided_by_it_or_by_one_before_it(lifecycle: Lifecycle) -> None:
    provided: set[str] = set()
    for name in _NAMES:
        lifecycle.call(name, "detect")
        provided |= {entry["name"] for entry in lifecycle.plan.get("provides", [])}
        assert {entry["name"] for entry in lifecycle.plan.get("requires", [])} <= provided


@pytest.mark.parametrize("name", _NAMES)
def test_a_folder_that_is_no_function_is_for_none_of_them(lifecycle: Lifecycle, name: str) -> None:
    (lifecycle.app / "mlfunc.yaml").unlink()

    assert lifecycle.call(name, "detect").returncode == _NOT_FOR_US


def test_a_function_without_models_is_not_for_the_model_buildpack(lifecycle: Lifecycle) -> None:
    described = lifecycle.app / "mlfunc.yaml"
    described.write_text(described.read_text().removesuffix(_MODEL))

    assert lifecycle.call("model", "detect").returncode == _NOT_FOR_US


def test_a_broken_description_is_told_and_is_not_taken_for_no_function(
    lifecycle: Lifecycle,
) -> None:
    (lifecycle.app / "mlfunc.yaml").write_text("name: [")

    called = lifecycle.call("app", "detect")

    assert called.returncode not in {0, _NOT_FOR_US}
    assert "mlfunc.yaml" in called.stderr
    assert "Traceback" not in called.stderr


def test_weights_move_from_the_app_into_a_layer_of_the_launch_image(lifecycle: Lifecycle) -> None:
    lifecycle.build("model")

    assert (lifecycle.layers("model") / "default/words.txt").read_text() == "zero one"
    assert lifecycle.toml("model", "default.toml")["types"] == {"launch": True}
    assert not (lifecycle.app / "weights").exists()


def test_a_layer_whose_key_is_restored_is_not_written(lifecycle: Lifecycle) -> None:
    lifecycle.build("model")
    (lifecycle.app / "weights").mkdir()
    (lifecycle.app / "weights" / "words.txt").write_text("zero one")
    described = lifecycle.toml("model", "default.toml")
    # What is restored of a layer that is for launch alone: its description, without its types.
    (lifecycle.layers("model") / "default/words.txt").unlink()
    (lifecycle.layers("model") / "default").rmdir()
    key = described["metadata"]["key"]
    restored = f'[metadata]\nkey = "{key}"\n'
    (lifecycle.layers("model") / "default.toml").write_text(restored)

    lifecycle.build("model")

    assert not (lifecycle.layers("model") / "default").exists()
    assert lifecycle.toml("model", "default.toml") == described


def test_a_layer_of_another_key_is_written_anew(lifecycle: Lifecycle) -> None:
    lifecycle.build("model")
    (lifecycle.app / "weights").mkdir()
    (lifecycle.app / "weights" / "other.txt").write_text("two")

    lifecycle.build("model")

    found = [path.name for path in (lifecycle.layers("model") / "default").iterdir()]
    assert found == ["other.txt"]


def test_the_app_is_started_by_the_runtime_with_a_home_that_can_be_written_to(
    lifecycle: Lifecycle,
) -> None:
    lifecycle.build("app")

    (web,) = lifecycle.toml("app", "launch.toml")["processes"]
    python = "/layers/mlfunc_python/deps/bin/python"
    assert web == {"type": "web", "command": [python, "-m", "mlfunc_runtime"], "default": True}
    env = lifecycle.layers("app") / "variables/env.launch"
    assert (env / "HOME.override").read_text() == "/tmp"
    assert (env / "MLFUNC_FUNCTION.default").read_text() == "/workspace/mlfunc.yaml"
    assert lifecycle.toml("app", "variables.toml")["types"] == {"launch": True}


def test_what_is_ignored_leaves_the_app_and_modules_are_compiled(lifecycle: Lifecycle) -> None:
    (lifecycle.app / ".mlfuncignore").write_text("notes.md\n")
    (lifecycle.app / "notes.md").write_text("mine")

    lifecycle.build("app")

    assert not (lifecycle.app / "notes.md").exists()
    assert (lifecycle.app / "predictor.py").is_file()
    assert list(lifecycle.app.glob("__pycache__/predictor.*.pyc"))


def test_mlfunc_yaml_becomes_that_of_the_image(lifecycle: Lifecycle) -> None:
    described = function.load(lifecycle.app)

    lifecycle.build("app")

    assert (lifecycle.app / "mlfunc.yaml").read_bytes() == shipping.settings(described)


@pytest.mark.parametrize("name", _NAMES)
def test_a_predictor_that_is_not_there_ends_the_build(lifecycle: Lifecycle, name: str) -> None:
    (lifecycle.app / "predictor.py").write_text("class Other:\n    def predict(self): ...\n")

    called = lifecycle.call(name, "build")

    assert called.returncode != 0
    assert "predictor.py has no class Greeter" in called.stderr


def test_variables_of_the_builds_user_are_heeded(lifecycle: Lifecycle) -> None:
    env = lifecycle.folder / "platform/env"
    env.mkdir(parents=True)
    home = lifecycle.folder / "elsewhere"
    (env / "MLFUNC_HOME").write_text(str(home))

    lifecycle.build("model")

    assert home.is_dir()


@pytest.mark.parametrize("arguments", [[], ["build"], ["detect"], ["make"]])
def test_called_by_a_person_it_says_who_it_is_for(project: Path, arguments: list[str]) -> None:
    argv = [sys.executable, "-m", "mlfunc.packs", *arguments]

    called = subprocess.run(argv, cwd=project, capture_output=True, text=True, check=False)

    assert called.returncode not in {0, _NOT_FOR_US}
    assert "is for lifecycles of buildpacks to call" in called.stderr


def test_the_wheel_brings_buildpacks_that_can_be_called(tmp_path: Path) -> None:
    wheel = checkout.mlfunc_wheel(tmp_path)

    with zipfile.ZipFile(wheel) as packed:
        modes = {entry.filename: entry.external_attr >> 16 for entry in packed.infolist()}
    for name in _NAMES:
        assert f"mlfunc/buildpacks/{name}/buildpack.toml" in modes
        for called in ("detect", "build"):
            assert modes[f"mlfunc/buildpacks/{name}/bin/{called}"] & 0o111 == 0o111
