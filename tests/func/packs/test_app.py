"""The app buildpack: keys that change with the files, and with nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from mlfunc import function
from mlfunc.errors import UsageError
from mlfunc.lock import Lock
from mlfunc.packs import app
from mlfunc.packs.layer import Making
from mlfunc.project import Project, Target

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.packs.layer import Layer

TARGET = Target("linux/amd64", "3.11", "cpu")


@pytest.fixture
def ours(tmp_path: Path) -> Project:
    folder = tmp_path / "words"
    folder.mkdir()
    (folder / "mlfunc.yaml").write_text("name: words\nmodels: {default: ./weights}\n")
    (folder / "predictor.py").write_text("class Predictor: ...\n")
    (folder / "weights").mkdir()
    (folder / "weights" / "model.bin").write_bytes(b"w")
    return Project(folder, function.load(folder), Lock(), TARGET, "/usr/local/bin/python3.11")


def layer(project: Project, name: str = "app") -> Layer:
    return next(each for each in app.layers(project) if each.name == name)


def test_the_layer_has_the_code_compiled_and_no_weights(ours: Project) -> None:
    paths = [entry.path for entry in layer(ours).make(Making()).entries]

    assert paths == [
        "workspace/__pycache__/predictor.cpython-311.pyc",
        "workspace/mlfunc.yaml",
        "workspace/predictor.py",
    ]


def test_the_key_is_the_same_wherever_the_project_lies(ours: Project, tmp_path: Path) -> None:
    before = layer(ours).key

    moved = ours.folder.rename(tmp_path / "elsewhere")

    assert layer(replace(ours, folder=moved)).key == before


@pytest.mark.parametrize("path", ["predictor.py", "data/new.txt"])
def test_the_key_changes_with_a_file_and_says_with_which(ours: Project, path: str) -> None:
    before = layer(ours)
    (ours.folder / path).parent.mkdir(exist_ok=True)
    with (ours.folder / path).open("a") as file:
        file.write("# more\n")

    after = layer(ours)

    assert after.key != before.key
    assert set(after.inputs.items()) - set(before.inputs.items()) == {(path, after.inputs[path])}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("scale: {max: 3}", set()),
        ("# more", set()),
        ("serve: {slots: 1}", set()),
        ("serve: {slots: 2}", {"mlfunc.yaml"}),
    ],
)
def test_the_key_changes_with_what_the_runtime_reads_of_mlfunc_yaml_alone(
    ours: Project, line: str, said: set[str]
) -> None:
    before = layer(ours)
    with (ours.folder / "mlfunc.yaml").open("a") as file:
        file.write(f"{line}\n")

    after = layer(replace(ours, function=function.load(ours.folder)))

    assert (after.key == before.key) == (not said)
    assert {path for path, _ in after.inputs.items() - before.inputs.items()} == said


@pytest.mark.parametrize("path", ["README.md", "tests/test_x.py", "weights/model.bin", ".env"])
def test_the_key_stays_when_what_is_not_packed_changes(ours: Project, path: str) -> None:
    before = layer(ours).key
    (ours.folder / path).parent.mkdir(exist_ok=True)
    (ours.folder / path).write_text("other")

    assert layer(ours).key == before


def test_an_executable_file_is_another_file(ours: Project) -> None:
    before = layer(ours).key
    (ours.folder / "predictor.py").chmod(0o755)

    assert layer(ours).key != before


def test_a_secret_ends_the_making(ours: Project) -> None:
    (ours.folder / "settings.py").write_text("KEY = 'AKIA" + "ABCDEFGH234567AB'\n")

    with pytest.raises(UsageError, match="secrets"):
        layer(ours).make(Making())


def test_a_large_file_is_told_of(ours: Project) -> None:
    with (ours.folder / "table.bin").open("wb") as file:
        file.truncate(60 * 10**6)

    (note,) = app.notes(ours)

    assert note.startswith("table.bin has 60 MB")
    assert "models:" in note


@pytest.mark.parametrize(
    ("target", "is_told"),
    [
        ("../outside", True),
        ("/etc/passwd", True),
        ("lib/../../outside", True),
        ("predictor.py", False),
        ("lib/../predictor.py", False),
        ("/workspace/predictor.py", False),
    ],
)
def test_a_link_that_leads_out_of_the_project_is_told_of(
    ours: Project, target: str, is_told: bool
) -> None:
    (ours.folder / "link").symlink_to(target)

    told = [note for note in app.notes(ours) if f"link links to {target}" in note]

    assert bool(told) is is_told


def test_a_secret_is_named_as_mlfuncignore_names_it(ours: Project) -> None:
    (ours.folder / ".netrc").write_text("machine x login y password z\n")
    with pytest.raises(UsageError) as refused:
        layer(ours).make(Making())
    assert refused.value.evidence.startswith(".netrc: ")

    (ours.folder / ".mlfuncignore").write_text(".netrc\n")
    layer(ours).make(Making())
