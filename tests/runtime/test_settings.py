"""mlfunc.yaml and the environment, as one checked object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mlfunc_runtime import settings
from mlfunc_runtime.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    path = tmp_path / "mlfunc.yaml"
    path.write_text(
        "name: a\nserve: {timeout: 2m, batch: {max_size: 8}}\nmodels: {default: ./w, big: 'hf://o/n'}\n"
    )
    return path


def read(path: Path, **environ: str) -> settings.Settings:
    return settings.read({"MLFUNC_FUNCTION": str(path), **environ})


def test_the_file_is_read(project: Path) -> None:
    told = read(project)
    assert (told.name, told.timeout, told.batch, told.port) == ("a", 120.0, 8, 8080)
    assert told.models["default"].path == project.parent / "w"
    assert told.reply_type == "dev.mlfunc.a.result"


def test_the_environment_wins(project: Path) -> None:
    told = read(
        project,
        PORT="9",
        K_SERVICE="b",
        MLFUNC_SERVE_BATCH_MAX_SIZE="2",
        MLFUNC_SERVE_MAX_BODY="1KiB",
        MLFUNC_SERVE_HOOKS_TIMEOUT="500ms",
        MLFUNC_MODEL_BIG="/models/big",
    )
    assert (told.port, told.name, told.batch, told.max_body, told.hook_timeout) == (
        9,
        "b",
        2,
        1024,
        0.5,
    )
    assert str(told.models["big"].path) == "/models/big"


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("PORT", "http", "PORT: Expected `int`, got `str`"),
        ("PORT", "70000", "PORT: Expected `int` <= 65535"),
        ("MLFUNC_SERVE_SLOTS", "0", "MLFUNC_SERVE_SLOTS: Expected `int` >= 1"),
        ("MLFUNC_SERVE_TIMEOUT", "soon", "serve.timeout: 'soon' is no duration"),
        ("MLFUNC_SERVE_MAX_BODY", "big", "serve.max_body: 'big' is no size"),
        ("MLFUNC_SERVE_SLOT", "1", "MLFUNC_SERVE_SLOT sets nothing"),
        ("MLFUNC_LOG_LEVEL", "loud", "MLFUNC_LOG_LEVEL: Invalid enum value 'loud'"),
        ("MLFUNC_CPUS", "0", "MLFUNC_CPUS: Expected `float` > 0.0"),
    ],
)
def test_a_variable_that_does_not_fit_is_named(
    project: Path, variable: str, value: str, told: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        read(project, **{variable: value})
    assert told in str(raised.value)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("variable", "value", "hint"),
    [
        ("MLFUNC_SERVE_ISOLATON", "process", "did you mean MLFUNC_SERVE_ISOLATION?"),
        ("MLFUNC_SERVE_THREADS", "2", "there are MLFUNC_SERVE_SLOTS, "),
        ("MLFUNC_SERVE_COMPILE", "trase", "there are none, trace, inductor"),
        ("MLFUNC_LOG_LEVEL", "loud", "there are debug, info, warning, error"),
        ("MLFUNC_SERVE_TIMEOUT", "0s", "give it more than 0"),
        ("MLFUNC_SERVE_CHUNK_TIMEOUT", "0", "give it more than 0"),
        ("MLFUNC_SERVE_HOOKS_TIMEOUT", "0ms", "give it more than 0"),
        ("MLFUNC_SERVE_PROCESS_TIMEOUT", "0.0", "give it more than 0"),
    ],
)
def test_a_wrong_variable_is_answered_with_what_fits(
    project: Path, variable: str, value: str, hint: str
) -> None:
    with pytest.raises(SettingsError) as raised:
        read(project, **{variable: value})
    assert raised.value.hint.startswith(hint)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no mapping"),
        ("- a", "holds no mapping"),
        ("name: [", "cannot be read: while parsing"),
        ("predictor: a.py:B", "missing required field `name`"),
        ("name: a\nserve: 3", "Expected `object`, got `int` - at `$.serve`"),
        ("name: a\nserve: {slots: two}", "Expected `int`, got `str` - at `$.serve.slots`"),
        ("name: a\nserve: {isolation: fork}", "Invalid enum value 'fork'"),
    ],
)
def test_a_file_that_is_wrong_is_told_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "mlfunc.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as raised:
        read(path)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="does not exist"):
        read(tmp_path / "mlfunc.yaml")


def test_variables_of_a_kubernetes_service_are_not_settings(project: Path) -> None:
    links = {"MLFUNC_SERVE_PORT": "tcp://10.0.0.1:80", "MLFUNC_SERVE_SERVICE_HOST": "10.0.0.1"}
    assert read(project, **links).slots == 1


def test_one_port_cannot_be_both(project: Path) -> None:
    with pytest.raises(SettingsError, match="PORT and MLFUNC_METRICS_PORT are both 9000"):
        read(project, PORT="9000", MLFUNC_METRICS_PORT="9000")


@pytest.mark.parametrize("url", ["http://sink", "https://sink.ns.svc:8443/a/b?c=d"])
def test_the_sink_of_dead_letters_is_a_url(project: Path, url: str) -> None:
    assert read(project).dead_letter is None
    assert read(project, MLFUNC_DEAD_LETTER=url).dead_letter == url
    project.write_text(f"name: a\nevents: {{dead_letter: '{url}'}}\n")
    assert read(project).dead_letter == url


@pytest.mark.parametrize(
    "url", ["sink", "ftp://sink", "http://", "http://a:b", "http://[a", "http://a/\n"]
)
def test_a_sink_that_is_no_url_is_told_at_the_start(project: Path, url: str) -> None:
    with pytest.raises(SettingsError, match=r"MLFUNC_DEAD_LETTER: .* is no URL"):
        read(project, MLFUNC_DEAD_LETTER=url)
    project.write_text("name: a\nevents: {dead_letter: broker}\n")
    with pytest.raises(SettingsError, match=r"events\.dead_letter: 'broker' is no URL"):
        read(project)
