"""What a build refuses: with one message that says what to do, and nothing left behind."""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rig.registry import Registry

_KEY = "AKIA" + "Q3EGRIZ2NTXU7BLM"


def refused(builder: Any, folder: Path, *args: str, **env: str) -> tuple[int, str]:
    ended = builder.run(folder, *args, **env)
    assert "Traceback" not in ended.err
    assert ended.out == ""
    assert ended.code != 0
    return ended.code, ended.err


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """As a CI's checkout may be."""
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("--push",), 2, "--registry"),
        (("--image", "Registry.example.com/Team/x"), 2, "Team"),
        (("--image", "host:5000/x:a b"), 2, "tag"),
        (("--platform", "windows/amd64"), 2, "linux/arm64"),
        (("--image", "127.0.0.1:9/x"), 6, "127.0.0.1:9"),
        (("--compression", "brotli"), 2, "zstd"),
    ],
    ids=["no registry", "capitals", "bad tag", "platform", "nobody there", "compression"],
)
def test_wrong_options(
    seasoned: Any, project: Path, args: tuple[str, ...], code: int, said: str
) -> None:
    ended = refused(seasoned, project, *args, MLFUNC_REGISTRY="")

    assert ended[0] == code, ended[1]
    assert said in ended[1]


def test_a_base_image_that_is_not_there(shelf: Registry, seasoned: Any, project: Path) -> None:
    missing = f"{shelf.address}/no/such:1"
    code, said = refused(seasoned, project, "--no-push", MLFUNC_BASE_IMAGE=missing)

    assert code in {5, 6}, said
    assert "no/such" in said


def test_a_base_layout_that_is_not_there(seasoned: Any, project: Path) -> None:
    code, said = refused(seasoned, project, "--no-push", MLFUNC_BASE_IMAGE="oci:/nowhere")

    assert code != 1, said
    assert "/nowhere" in said


def test_a_base_for_another_platform(seasoned: Any, project: Path, base_layout: Path) -> None:
    args = ("--no-push", "--platform", "linux/arm64")
    code, said = refused(seasoned, project, *args, MLFUNC_BASE_IMAGE=f"oci:{base_layout}")

    assert code in {2, 5}, said
    assert "arm64" in said


def test_a_predictor_that_is_not_there(seasoned: Any, project: Path) -> None:
    (project / "predictor.py").unlink()
    code, said = refused(seasoned, project, "--no-push")

    assert code == 2, said
    assert "predictor.py" in said


def test_a_broken_lock(seasoned: Any, project: Path) -> None:
    (project / "mlfunc.lock").write_text("{")
    code, said = refused(seasoned, project, "--no-push")

    assert code == 2, said
    assert "mlfunc.lock" in said


def test_a_package_that_does_not_exist(seasoned: Any, project: Path) -> None:
    (project / "requirements.txt").write_text("numpy==0.0.99\n")
    code, said = refused(seasoned, project, "--no-push")

    assert code in {2, 4}, said
    assert "numpy" in said
    assert not (project / "mlfunc.lock").exists()


def test_a_package_without_a_wheel_is_refused_with_the_fix(seasoned: Any, project: Path) -> None:
    (project / "requirements.txt").write_text("docopt==0.6.2\n")
    code, said = refused(seasoned, project, "--no-push")

    assert code == 2, said
    assert "docopt" in said
    assert "pip wheel" in said


def test_a_secret_never_gets_into_a_layer(seasoned: Any, project: Path) -> None:
    (project / "settings.py").write_text(f'AWS_ACCESS_KEY_ID = "{_KEY}"\n')
    code, said = refused(seasoned, project, "--no-push")

    assert code == 2, said
    assert "settings.py" in said
    assert _KEY not in said


def test_a_model_that_cannot_be_delivered_so_before_anybody_is_asked_for_it(
    seasoned: Any, write_project: Any, tmp_path: Path
) -> None:
    model = "models: {default: {uri: 'hf://org/name', delivery: pvc}}\n"
    folder = write_project(tmp_path / "heavy", "heavy", more=model)
    code, said = refused(seasoned, folder, "--no-push", HF_ENDPOINT="http://127.0.0.1:9")

    assert code == 2
    assert "cannot be delivered as `pvc`" in said


def test_a_model_that_is_not_there(seasoned: Any, write_project: Any, tmp_path: Path) -> None:
    folder = write_project(tmp_path / "heavy", "heavy", more="models: {default: ./weights}\n")
    code, said = refused(seasoned, folder, "--no-push")

    assert code in {2, 5}, said
    assert "weights" in said


def test_a_full_disk(fresh: Any, project: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=True)
    try:
        code, said = refused(fresh(), project, "--no-push", MLFUNC_HOME=str(small))
    finally:
        subprocess.run(["umount", str(small)], check=True)

    assert code in {1, 4}, said
    # What is full first is told by the system, or by SQLite.
    assert "No space left" in said or "disk is full" in said, said


def test_a_folder_that_cannot_be_written_to_needs_its_lock_first(
    seasoned: Any, project: Path
) -> None:
    with read_only(project):
        code, said = refused(seasoned, project, "--no-push")
    assert code == 1, said
    assert "mlfunc.lock cannot be written" in said
    assert "Read-only file system" in said

    seasoned.build(project, "--no-push")
    with read_only(project):
        seasoned.build(project, "--no-push", "--locked")


def test_a_folder_for_the_image_that_holds_something_else(
    seasoned: Any, project: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    code, said = refused(seasoned, project, "--output", str(tmp_path / "mine"))

    assert code in {1, 2}, said
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"
