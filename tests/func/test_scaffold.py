"""From a template to a project."""

from __future__ import annotations

from pathlib import Path, PurePath

import pytest
from mlfunc import cli, function, scaffold
from mlfunc.errors import MlfuncError, NotFound

NO_MODEL = {"plain", "events"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "templates" / "demo"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "tests").mkdir()
    (folder / "mlfunc.yaml").write_text("# Shows how.\nname: my-function\n")
    (folder / "README.md").write_text("# my-function\n\nRun my-function.\n")
    (folder / "predictor.py").write_text("NAME = 'my-function'\n")
    (folder / "weights.bin").write_bytes(b"\xff\x00my-function")
    (folder / "tests" / "test_predictor.py").write_text("")
    (folder / "__pycache__" / "predictor.pyc").write_bytes(b"")
    return folder.parent


def test_a_template_has_the_comment_that_opens_its_mlfunc_yaml_as_summary(root: Path) -> None:
    assert [(t.name, t.summary) for t in scaffold.templates(root)] == [("demo", "Shows how.")]


def test_without_a_comment_the_readme_s_first_paragraph_is_the_summary(root: Path) -> None:
    (root / "demo" / "mlfunc.yaml").write_text("name: my-function\n")

    assert scaffold.find("demo", root).summary == "Run my-function."


def test_the_name_goes_into_yaml_and_markdown_and_nowhere_else(root: Path) -> None:
    files = scaffold.render(scaffold.find("demo", root), "ocr")

    assert files[PurePath("mlfunc.yaml")] == b"# Shows how.\nname: ocr\n"
    assert files[PurePath("README.md")] == b"# ocr\n\nRun ocr.\n"
    assert files[PurePath("predictor.py")] == b"NAME = 'my-function'\n"
    assert files[PurePath("weights.bin")] == b"\xff\x00my-function"


def test_caches_of_the_template_are_left_behind(root: Path) -> None:
    files = scaffold.render(scaffold.find("demo", root), "ocr")

    assert PurePath("tests/test_predictor.py") in files
    assert not [path for path in files if "__pycache__" in path.parts]


def test_a_folder_that_is_not_empty_is_refused_and_untouched(root: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "thesis.txt").write_text("ten years")

    with pytest.raises(MlfuncError, match="is not empty"):
        scaffold.write({PurePath("mlfunc.yaml"): b""}, tmp_path / "there")
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["thesis.txt"]


def test_an_empty_folder_and_a_new_one_are_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "new" / "deep"):
        scaffold.write({PurePath("a/b.txt"): b"x"}, folder)

        assert (folder / "a" / "b.txt").read_bytes() == b"x"


def test_a_wrong_template_lists_the_right_ones(root: Path) -> None:
    with pytest.raises(NotFound) as raised:
        scaffold.find("dmo", root)

    assert raised.value.message == "there is no template dmo; did you mean demo?"
    assert raised.value.hint.startswith("one of demo;")


@pytest.mark.parametrize("template", scaffold.templates(), ids=lambda template: template.name)
def test_a_shipped_template_makes_a_valid_project(
    template: scaffold.Template, tmp_path: Path
) -> None:
    folder = tmp_path / "made"

    assert cli.main(["create", "made", "-t", template.name, "--path", str(folder)]) == 0
    loaded = function.load(folder)
    assert loaded.name == "made"
    assert (folder / loaded.predictor.partition(":")[0]).is_file()
    assert template.summary


def test_create_says_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert cli.main(["create", "ocr"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "Created ocr in ocr from the template plain.\n"
    assert "  cd ocr\n  mlfunc run\n" in shown.err
    assert "in another terminal" in shown.err


def test_create_names_first_what_a_template_cannot_run_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert cli.main(["create", "e", "-t", "embedding"]) == 0
    assert "  cd e\n  (get a model into ./weights: README.md says how)\n  mlfunc run\n" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("template", scaffold.templates(), ids=lambda template: template.name)
def test_every_template_keeps_caches_out_of_a_repository(template: scaffold.Template) -> None:
    ignored = scaffold.render(template, "x")[PurePath(".gitignore")].decode().splitlines()

    assert {"__pycache__/", ".pytest_cache/"} <= set(ignored)
    # What comes with the template is the project's own.
    brings_weights = (template.folder / "weights").exists()
    assert ("weights/" in ignored) is (not brings_weights and template.name not in NO_MODEL)


def test_create_refuses_a_name_that_cannot_be_a_host_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    assert cli.main(["create", "My_OCR"]) == 2
    assert "  try: mlfunc create my-ocr\n" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_templates_can_be_read_by_programs(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    assert cli.main(["templates", "-o", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {"plain"} <= {template["name"] for template in listed}
