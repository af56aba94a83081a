"""Where models are, and what is told of one that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlfunc_runtime import models
from mlfunc_runtime.errors import SettingsError
from mlfunc_runtime.models import Model

FOLDER = Path("/workspace")


def test_a_local_model_is_in_the_functions_folder() -> None:
    for written in ("./weights", Model("./weights")):
        assert models.places({"a": written}, FOLDER, {})["a"].path == FOLDER / "weights"


def test_a_variable_says_where_a_model_is() -> None:
    told = models.places({"my-own": "hf://org/name"}, FOLDER, {"MLFUNC_MODEL_MY_OWN": "/x"})
    assert told["my-own"].path == Path("/x")


def test_a_streamed_model_is_put_where_the_variable_says_or_into_tmp() -> None:
    listed = {"MLFUNC_STREAM_A": "/layers/a.json"}
    assert models.places({"a": "hf://o/n"}, FOLDER, listed)["a"].path == Path("/tmp/models/a")
    both = models.places({"a": "hf://o/n"}, FOLDER, {**listed, "MLFUNC_MODEL_A": "/big"})["a"]
    assert (both.path, both.stream) == (Path("/big"), Path("/layers/a.json"))


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("MLFUNC_MODEL_DEFALT", "did you mean MLFUNC_MODEL_DEFAULT?"),
        ("MLFUNC_STREAM_DEFAULTS", "did you mean MLFUNC_STREAM_DEFAULT?"),
        ("MLFUNC_MODEL_QQ", "`models:` in mlfunc.yaml has default"),
    ],
)
def test_a_variable_of_no_model_is_refused(variable: str, hint: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable} is of no model") as raised:
        models.places({"default": "./w"}, FOLDER, {variable: "x"})
    assert raised.value.hint == hint


def test_what_kubernetes_says_of_a_service_is_no_model() -> None:
    links = {"MLFUNC_MODEL_STORE_SERVICE_HOST": "10.0.0.1", "MLFUNC_MODEL_STORE_PORT_80_TCP": "x"}
    assert models.places({}, FOLDER, links) == {}


def found(uri: str, environ: dict[str, str], name: str = "default") -> SettingsError:
    with pytest.raises(SettingsError) as raised:
        models.find(models.places({"default": uri}, FOLDER, environ), name)
    return raised.value


def test_a_misspelt_model_is_told_the_likely_name() -> None:
    error = found("./w", {}, "defualt")
    assert (str(error), error.hint) == ("there is no model 'defualt'", "did you mean default?")


def test_a_remote_model_without_a_path_names_its_variable() -> None:
    error = found("s3://bucket/w", {})
    assert str(error) == "model 'default' (s3://bucket/w) has no path here"
    assert error.hint == "set MLFUNC_MODEL_DEFAULT to where its files are"


def test_a_model_whose_volume_is_not_mounted_names_the_volume() -> None:
    error = found("pvc://claim/w", {"MLFUNC_MODEL_DEFAULT": "/volumes/default/w"})
    assert str(error) == "model 'default' is not at /volumes/default/w"
    assert error.hint == (
        "no volume is mounted at /volumes/default: the function's Service has to have one"
    )


def test_a_model_that_its_volume_does_not_hold_names_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_VOLUMES", tmp_path)
    (tmp_path / "default").mkdir()
    error = found("pvc://claim/w", {"MLFUNC_MODEL_DEFAULT": f"{tmp_path}/default/w"})
    assert error.hint == (
        f"the volume at {tmp_path}/default is there and has no such path: pvc://claim/w is expected"
    )
