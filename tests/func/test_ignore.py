"""Which files of a project go into its image."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc import ignore
from mlfunc.layers.tree import scan


def write(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("x")


def packed(folder: Path, *models: str) -> list[str]:
    return [entry.path for entry in scan(folder, skip=ignore.rules(folder, models)).entries]


def test_what_serves_goes_in_and_what_does_not_stays(tmp_path: Path) -> None:
    write(tmp_path, "predictor.py", "mlfunc.yaml", "lib/words.txt", "lib/README.md")
    write(tmp_path, "README.md", "requirements.txt", "test_predictor.py", "tests/test_x.py")
    write(tmp_path, ".git/config", ".venv/bin/python", "__pycache__/predictor.pyc", ".env")
    write(tmp_path, "mlfunc.lock", ".mypy_cache/x", "wheels/x-1-py3-none-any.whl", "image.tar")

    assert packed(tmp_path) == ["lib/README.md", "lib/words.txt", "mlfunc.yaml", "predictor.py"]


def test_mlfuncignore_leaves_out_more_and_brings_back(tmp_path: Path) -> None:
    write(tmp_path, "predictor.py", "notebook.ipynb", "data/big.csv", "tests/golden.json")
    (tmp_path / ignore.FILE).write_text("*.ipynb\n/data/\n!/tests/\n")

    assert packed(tmp_path) == ["predictor.py", "tests/golden.json"]


def test_models_stay_out_whatever_mlfuncignore_says(tmp_path: Path) -> None:
    write(tmp_path, "predictor.py", "weights [v1]/model.bin", "one.onnx")
    (tmp_path / ignore.FILE).write_text("!weights*\n!*.onnx\n")

    assert packed(tmp_path, "./weights [v1]", "one.onnx", "../elsewhere") == ["predictor.py"]


def test_an_image_that_a_build_wrote_is_not_packed_into_the_next(tmp_path: Path) -> None:
    write(tmp_path, "predictor.py", "out/oci-layout", "out/blobs/sha256/aa")

    assert packed(tmp_path) == ["predictor.py"]


@pytest.mark.parametrize("name", ["lib", "data.tar.d"])
def test_what_is_left_out_is_told_as_whole_folders(tmp_path: Path, name: str) -> None:
    write(tmp_path, "predictor.py", f"{name}/x.py", f"{name}/__pycache__/x.pyc", "tests/a/b.py")

    left = {path.relative_to(tmp_path).as_posix() for path in ignore.left_out(tmp_path)}

    assert left == {f"{name}/__pycache__", "tests"}


@given(
    names=st.sets(st.text(alphabet="ab[]*?!# .é", min_size=1, max_size=4), min_size=1, max_size=6),
    data=st.data(),
)
def test_a_model_never_reaches_the_image_whatever_it_is_called(
    names: set[str], data: st.DataObject
) -> None:
    names -= {".", ".."}
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), *names)
        present = packed(Path(folder))
        models = data.draw(st.sets(st.sampled_from(sorted(names)))) if names else set()

        assert packed(Path(folder), *models) == [name for name in present if name not in models]
