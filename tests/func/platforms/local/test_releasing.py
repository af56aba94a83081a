"""A project as a release: the same again is the same, and whatever an instance sees changes it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mlfunc import environment, function
from mlfunc.errors import EnvironmentFailed, NotFound, UsageError
from mlfunc.knative.release import Model
from mlfunc.layers import store
from mlfunc.platforms.local import releasing
from mlfunc.platforms.local.releasing import Source
from mlfunc.supervisor import releases
from mlfunc.supervisor.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlfunc.environment import Environment, Spec


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> list[Spec]:
    """The environments that were asked for: none is installed."""
    specs: list[Spec] = []

    def ensure(spec: Spec, *_: object) -> Environment:
        specs.append(spec)
        return environment.place(spec)

    monkeypatch.setattr(environment, "ensure", ensure)
    return specs


@pytest.fixture
def source(project: Path, tmp_path: Path) -> Iterator[Source]:
    with store.opened(tmp_path / "store") as opened:
        home = Home(tmp_path / "platform")
        yield Source(project, function.load(project), "default", home, opened.hashes)


def reloaded(source: Source) -> Source:
    return replace(source, function=function.load(source.folder))


def digest(source: Source) -> str:
    return releases.digest_of(releasing.release(reloaded(source)).image) or ""


def test_a_release_is_written_and_named_by_its_digest(source: Source, made: list[Spec]) -> None:
    release = releasing.release(source)
    found = releases.load(source.home, digest(source))

    assert release.image == f"local/greeter@sha256:{found.digest}"
    assert (release.name, release.namespace, release.size) == ("greeter", "default", found.size)
    assert found.python == str(environment.place(made[0]).python)


def test_a_dry_run_refuses_a_python_that_cannot_be_had(source: Source) -> None:
    (source.folder / "mlfunc.yaml").write_text('name: greeter\npython: "3.99"\n')
    with pytest.raises(EnvironmentFailed, match=r"3\.99"):
        releasing.release(reloaded(source), dry_run=True)


def test_what_an_image_would_not_have_it_has_not(source: Source) -> None:
    (source.folder / "tests").mkdir()
    (source.folder / "tests" / "test_it.py").touch()
    (source.folder / "__pycache__").mkdir()
    (source.folder / "__pycache__" / "x.pyc").touch()
    found = releases.load(source.home, digest(source))

    names = {path.name for path in (source.home.releases / found.digest / "app").iterdir()}
    assert names == {"mlfunc.yaml", "predictor.py"}


def test_the_same_again_is_the_same_and_nothing_is_written(source: Source) -> None:
    folder = source.home.releases / digest(source)
    before = {path: path.stat().st_ino for path in folder.rglob("*")}
    (source.folder / "README.md").write_text("changed")

    assert digest(source) == folder.name
    assert {path: path.stat().st_ino for path in folder.rglob("*")} == before


CHANGES: dict[str, Callable[[Path], object]] = {
    "code": lambda folder: (folder / "predictor.py").write_text("# other\n"),
    "a new file": lambda folder: (folder / "more.py").touch(),
    "a mode": lambda folder: (folder / "predictor.py").chmod(0o755),
    "requirements": lambda folder: (folder / "requirements.txt").write_text("numpy\n"),
    "settings": lambda folder: (folder / "mlfunc.yaml").write_text(
        "name: greeter\npredictor: predictor.py:Greeter\nserve: {slots: 2}\n"
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_what_an_instance_sees_is_another_release(source: Source, name: str) -> None:
    before = digest(source)
    CHANGES[name](source.folder)

    assert digest(source) != before


def test_what_only_the_platform_reads_is_the_same_release(source: Source) -> None:
    before = digest(source)
    with (source.folder / "mlfunc.yaml").open("a") as file:
        file.write("scale: {max: 3}\nresources: {memory: 1Gi}\nenv: {LEVEL: debug}\n")

    assert digest(source) == before


def test_another_value_of_a_secret_is_another_release_and_is_not_in_it(source: Source) -> None:
    first = digest(replace(source, values={"TOKEN": "one"}))

    assert digest(replace(source, values={"TOKEN": "one"})) == first
    assert digest(replace(source, values={"TOKEN": "two"})) != first
    assert "TOKEN" not in releases.load(source.home, first, {}).env


def with_model(source: Source) -> Source:
    (source.folder / "weights").mkdir()
    (source.folder / "weights" / "w.bin").write_bytes(b"12345")
    text = (source.folder / "mlfunc.yaml").read_text()
    (source.folder / "mlfunc.yaml").write_text(f"{text}models: {{default: ./weights}}\n")
    return reloaded(source)


def model_of(source: Source, digest: str) -> Path:
    return Path(releases.load(source.home, digest).env["MLFUNC_MODEL_DEFAULT"])


def test_a_release_keeps_its_model_whatever_becomes_of_the_files_here(source: Source) -> None:
    source = with_model(source)
    weights = source.folder / "weights" / "w.bin"
    release, first = releasing.release(source), digest(source)
    weights.write_bytes(b"54321")  # in place, of the same size
    second = digest(source)
    shutil.rmtree(weights.parent)

    assert release.models == (Model("default", "./weights", "baked", 5),)
    assert (model_of(source, first) / "w.bin").read_bytes() == b"12345"
    assert (model_of(source, second) / "w.bin").read_bytes() == b"54321"
    assert not (source.home.releases / first / "app" / "weights").exists()


def test_the_same_model_is_the_same_release_and_kept_once(source: Source) -> None:
    source = with_model(source)
    first = digest(source)
    (source.folder / "weights" / "w.bin").touch()
    assert digest(source) == first
    (source.folder / "predictor.py").write_text("# other\n")

    files = [model_of(source, each) / "w.bin" for each in (first, digest(source))]
    assert files[0] != files[1]
    assert files[0].samefile(files[1])


def test_a_model_that_is_one_file_is_told_by_its_path(source: Source) -> None:
    (source.folder / "m.onnx").write_bytes(b"12345")
    with (source.folder / "mlfunc.yaml").open("a") as file:
        file.write("models: {default: ./m.onnx}\n")

    found = model_of(source, digest(source))
    assert (found.name, found.read_bytes()) == ("m.onnx", b"12345")


def test_a_dry_run_keeps_no_model_and_knows_the_release(source: Source) -> None:
    source = with_model(source)
    would = releasing.release(source, dry_run=True)

    assert not source.home.models.exists()
    assert would == releasing.release(source)


def test_a_model_here_that_is_not_there_is_told(source: Source) -> None:
    source = with_model(source)
    (source.folder / "weights" / "w.bin").unlink()
    (source.folder / "weights").rmdir()

    with pytest.raises(NotFound, match="model default: "):
        releasing.release(source)


def test_a_path_in_env_wins_over_that_of_a_model(source: Source) -> None:
    text = (source.folder / "mlfunc.yaml").read_text()
    given = "models: {default: hf://a/b}\nenv: {MLFUNC_MODEL_DEFAULT: /models/b}\n"
    (source.folder / "mlfunc.yaml").write_text(text + given)

    assert "MLFUNC_MODEL_DEFAULT" not in releases.load(source.home, digest(source), {}).env


def test_what_looks_like_a_secret_is_not_released(source: Source) -> None:
    (source.folder / "settings.py").write_text("KEY = 'hf_" + "a" * 34 + "'\n")

    with pytest.raises(UsageError, match="the release would hold secrets") as caught:
        releasing.release(source)
    assert caught.value.evidence == "settings.py, line 1: a token of Hugging Face"
    assert not source.home.releases.exists()


def test_a_dry_run_makes_nothing_and_names_what_would_be(source: Source, made: list[Spec]) -> None:
    would = releasing.release(source, dry_run=True)

    assert made == []
    assert not source.home.releases.exists()
    assert would == releasing.release(source)


def test_links_that_lead_out_of_the_project_are_noted(source: Source) -> None:
    (source.folder / "inside").symlink_to("predictor.py")
    (source.folder / "outside").symlink_to("../other.py")
    (source.folder / "far").symlink_to("/etc/hosts")

    found = releasing.notes(source.folder, source.function)
    assert [note.split(",")[0] for note in found] == [
        "far links to /etc/hosts",
        "outside links to ../other.py",
    ]
