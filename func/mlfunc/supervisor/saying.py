"""What one that starts a supervisor is told by it: that it serves, or in words why it cannot.

A line of JSON. None at all, and the end: it ended before it could say anything. systemd hears it in
its own words: sd_notify(3).
"""

from __future__ import annotations

import json
import logging
import socket
from dataclasses import asdict
from typing import TYPE_CHECKING

from mlfunc.errors import MlfuncError
from mlfunc.supervisor.home import About

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = logging.getLogger(__name__)
_KINDS = {each.__name__: each for each in MlfuncError.__subclasses__()}


def serves(about: About) -> bytes:
    """It does, or another one does."""
    return _line({"serves": asdict(about)})


def fails(error: MlfuncError) -> bytes:
    """It cannot."""
    said = {key: getattr(error, key) for key in ("message", "hint", "evidence")}
    return _line({"fails": {"kind": type(error).__name__, **said}})


def to_systemd(state: str, environ: Mapping[str, str]) -> None:
    """Where that has started it, and waits for it."""
    if not (address := environ.get("NOTIFY_SOCKET")):
        return
    if address.startswith("@"):  # a name that is in no folder
        address = f"\0{address[1:]}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        try:
            told.sendto(state.encode(), address)
        except OSError as error:
            _log.warning("systemd cannot be told %s: %s", state, error.strerror)


def heard(line: bytes) -> About:
    """Of which it is told that it serves.

    Raises:
        MlfuncError: that it cannot, of the class that it had there, where that is a common one.

    """
    said = json.loads(line)
    if "serves" in said:
        return About(**said["serves"])
    failure = said["fails"]
    kind = _KINDS.get(failure["kind"], MlfuncError)
    raise kind(failure["message"], failure["hint"], evidence=failure["evidence"])


def _line(said: object) -> bytes:
    return json.dumps(said).encode() + b"\n"
