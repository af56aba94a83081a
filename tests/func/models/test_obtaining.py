"""Remote models of a function that starts on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mlfunc import function, lock
from mlfunc.models.obtaining import is_here, obtain
from mlfunc.proc import Cancellation

from tests.rig.hub import hub

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[function.Function]:
    (tmp_path / "mlfunc.yaml").write_text(
        "name: x\nmodels: {default: hf://org/tiny, big-one: pvc://claim, near: ./weights}\n"
    )
    with hub() as there:
        there.add("org/tiny", {"config.json": b"{}", "model.bin": bytes(5000)})
        monkeypatch.setenv("HF_ENDPOINT", there.endpoint)
        yield function.load(tmp_path)


def test_a_model_is_fetched_and_pinned_and_said_where_it_is(
    far: function.Function, tmp_path: Path
) -> None:
    said: list[str] = []

    variables = obtain(tmp_path, far, (), said.append, Cancellation())

    pin = lock.load(tmp_path).models["default"]
    assert list(variables) == ["MLFUNC_MODEL_DEFAULT"]
    assert (Path(variables["MLFUNC_MODEL_DEFAULT"]) / "model.bin").read_bytes() == bytes(5000)
    assert is_here(pin, far.all_models["default"])
    assert said == ["model default: 0.0 of 0.0 MB"] * len(said)


def test_the_next_start_asks_nobody(
    far: function.Function, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = obtain(tmp_path, far, (), print, Cancellation())
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")

    assert obtain(tmp_path, far, (), print, Cancellation()) == first


def test_a_dry_run_says_where_a_model_would_be_and_fetches_nothing(
    far: function.Function, tmp_path: Path
) -> None:
    would = obtain(tmp_path, far, (), print, Cancellation(), dry_run=True)

    assert not Path(would["MLFUNC_MODEL_DEFAULT"]).exists()
    assert obtain(tmp_path, far, (), print, Cancellation()) == would


def test_a_model_whose_path_the_user_gives_is_not_fetched(
    far: function.Function, tmp_path: Path
) -> None:
    assert obtain(tmp_path, far, {"MLFUNC_MODEL_DEFAULT"}, print, Cancellation()) == {}
    assert not (tmp_path / lock.FILE).exists()
