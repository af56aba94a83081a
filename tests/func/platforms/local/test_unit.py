"""The unit is one that systemd takes, and starts the same platform as here."""

from __future__ import annotations

import configparser
import json
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from mlfunc import cli
from mlfunc.platforms.local import unit

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("home", ["/plain", '/with blanks, 100 % and "quotes"'])
@pytest.mark.parametrize("name", ["plain", "with blanks, 100 %"])
def test_systemd_takes_it(tmp_path: Path, name: str, home: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    python = folder / "python"
    python.symlink_to(sys.executable)
    path = tmp_path / "mlfunc.service"
    path.write_text(unit.text(str(python), {"MLFUNC_HOME": home}))

    verified = subprocess.run(
        ["systemd-analyze", "verify", "--user", path],
        env={"XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )

    assert (verified.returncode, verified.stderr) == (0, "")


def test_it_names_the_interpreter_and_the_places_of_who_asks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFUNC_HOME", "here")
    monkeypatch.setenv("XDG_STATE_HOME", "")

    assert cli.main(["platform", "unit"]) == 0
    text = capsys.readouterr().out

    read = configparser.ConfigParser(interpolation=None)
    read.read_string(text)
    service = read["Service"]
    assert shlex.split(service["ExecStart"])[:4] == [sys.executable, "-P", "-m", "mlfunc"]
    assert service["Environment"] == f"MLFUNC_HOME={tmp_path}/here"
    assert cli.main(["platform", "unit", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"unit": text}
    assert not (tmp_path / "here").exists()
