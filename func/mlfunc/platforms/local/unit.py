"""The local platform as a user unit of systemd, which starts it with the machine: its text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Where its files are; without them it would be another platform.
_PLACES = ("MLFUNC_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")
_TEXT = """\
[Unit]
Description=mlfunc, functions on this machine

[Service]
Type=notify
ExecStart={command}
{environment}Restart=on-failure
RestartSec=5
# 2: another one runs already.
RestartPreventExitStatus=2
# It ends its instances itself, when they have done what they have.
KillMode=mixed
TimeoutStopSec=120

[Install]
WantedBy=default.target
"""


def text(python: str, environ: Mapping[str, str]) -> str:
    """A unit for `python`, an interpreter that has mlfunc, and the places that variables name."""
    command = (python, "-P", "-m", "mlfunc", "platform", "start", "--foreground")
    places = {name: Path(environ[name]).absolute() for name in _PLACES if environ.get(name)}
    return _TEXT.format(
        command=" ".join(map(_quoted, command)),
        environment="".join(f"Environment={_quoted(f'{k}={v}')}\n" for k, v in places.items()),
    )


def _quoted(word: str) -> str:
    """As systemd reads it (systemd.syntax(7), systemd.unit(5)): % stands for itself doubled."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if escaped != word or " " in word else word
