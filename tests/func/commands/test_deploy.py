from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from mlfunc import cli

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_a_failure_is_an_object_for_programs_and_a_sentence_for_people(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    import yaml

    (tmp_path / "mlfunc.yaml").write_text("name: hello\nregistry: 5\n", encoding="utf-8")

    code = cli.main(["deploy", "--platform", "local", "--path", str(tmp_path), "-o", form])

    out, err = capsys.readouterr()
    told = json.loads(out) if form == "json" else yaml.safe_load(out)
    assert (code, told["ready"], told["error"]["exit_code"]) == (2, False, 2)
    assert "registry: 5 is no text here" in told["error"]["message"]
    assert f"error: {told['error']['message']}" in err


def test_people_are_not_told_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mlfunc.yaml").write_text("name: hello\nregistry: 5\n", encoding="utf-8")

    assert cli.main(["deploy", "--platform", "local", "--path", str(tmp_path)]) == 2
    assert capsys.readouterr().out == ""
