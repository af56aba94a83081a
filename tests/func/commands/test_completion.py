"""A shell that has the script completes what may follow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlfunc import cli

MLFUNC = Path(sys.executable).with_name("mlfunc")
ASK = """
eval "$({mlfunc} completion bash)"
COMP_WORDS=({mlfunc} {words}) COMP_CWORD={last}
_mlfunc_completion {mlfunc}
echo "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("des", "describe"),
        ("deploy --pl", "--platform"),
        ("deploy --platform kn", "knative"),
        ("platform st", "start status stop"),
        ("completion f", "fish"),
        ("nothing x", ""),
    ],
)
def test_bash_completes_commands_options_and_values(words: str, completed: str) -> None:
    script = ASK.format(mlfunc=MLFUNC, words=words, last=len(words.split()))
    shown = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)

    assert shown.stdout.split() == completed.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_own_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0

    assert f"_MLFUNC_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_no_command_is_imported_to_complete_its_name() -> None:
    """Somebody waits at a key."""
    asked = {"_MLFUNC_COMPLETE": "bash_complete", "COMP_WORDS": "mlfunc d", "COMP_CWORD": "1"}
    argv = [sys.executable, "-X", "importtime", "-m", "mlfunc"]
    told = subprocess.run(
        argv, env={**os.environ, **asked}, capture_output=True, text=True, check=True
    )

    assert "plain,deploy" in told.stdout
    assert "mlfunc.commands" not in told.stderr
