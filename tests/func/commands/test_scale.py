"""`mlfunc scale`, as far as no cluster is needed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from mlfunc import cli

_YAML = "name: echo\nserve: {slots: 4, concurrency: 8}\nscale: {max: 3}\n"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlfunc.yaml").write_text(_YAML)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))


def said(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> tuple[str, str]:
    assert cli.main(["scale", *args]) == code
    shown = capsys.readouterr()
    return shown.out, shown.err


def data(capsys: pytest.CaptureFixture[str], *args: str) -> Any:
    return json.loads(said(capsys, "--explain", *args, "-o", "json")[0])


def test_a_project_is_explained_in_a_folder_and_without_a_cluster(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, _ = said(capsys, "--explain", "--requests", "40", "--prediction", "1s")

    assert out.startswith("echo, as mlfunc.yaml has it\n")
    assert "40 requests at once; a prediction takes 1 s, a cold start 5 s:\n" in out
    assert "SECONDS  WANTED  READY  WAITING" in out
    assert "40 replies: p50" in out


def test_what_is_explained_is_data_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    found = data(capsys, "--requests", "3", "--cold-start", "10s")

    assert found["demand"] == {"requests": 3, "rate": None}
    assert (found["answered"], found["serving"]["slots"]) == (3, 4)
    assert found["latency"]["p50"] == pytest.approx(10.2)
    assert found["timeline"][0]["wanted"] == 1


def test_a_function_that_answers_nothing_has_no_latency(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert data(capsys, "--requests", "1", "--cold-start", "5m")["latency"]["p50"] is None


def test_a_wish_is_explained_before_it_is_fulfilled(capsys: pytest.CaptureFixture[str]) -> None:
    found = data(capsys, "--min", "2", "--max", "0", "--target", "8", "--rate", "2")

    policy = found["policy"]
    assert (policy["min"], policy["max"], policy["total"]) == (2, 0, 8)
    assert found["demand"] == {"requests": None, "rate": 2.0}
    assert found["answered"] == 240


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--min", "4", "--explain"), "scale: min is 4, more than max, which is 3"),
        (("--min", "-1"), "-1 is not 0 or more"),
        (("--max", "some"), "some is no number"),
        (("--target", "0"), "0 is not 0.01 or more"),
        (("--requests", "3"), "--requests goes with --explain"),
        (("--cold-start", "3s"), "--cold-start goes with --explain"),
        (("--explain", "--prediction", "soon"), "soon is no duration: 200ms, 5s"),
        (("--explain", "--rate", "0"), "0 is not from 0.01 to 1000"),
    ],
)
def test_what_cannot_be_meant_is_told(
    capsys: pytest.CaptureFixture[str], args: tuple[str, ...], message: str
) -> None:
    assert message in said(capsys, *args, code=2)[1]


def test_the_documentation_shows_what_is_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "scaling.md").read_text()
    shown = "\n".join(line[4:] for line in page.splitlines() if line.startswith("    ") or not line)
    _, written, rest = re.split(r"\$ cat mlfunc.yaml\n|\$ mlfunc scale ", shown, maxsplit=2)
    command, _, printed = rest.partition("\n")
    (tmp_path / "mlfunc.yaml").write_text(written)

    out, _ = said(capsys, *command.split())

    assert printed.startswith(out)
