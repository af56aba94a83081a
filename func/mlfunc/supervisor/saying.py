"""What one that starts a supervisor is told by it: that it serves, or in words why it cannot.

A line of JSON. None at all, and the end: it ended before it could say anything.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from mlfunc.errors import MlfuncError
from mlfunc.supervisor.home import About

_KINDS = {each.__name__: each for each in MlfuncError.__subclasses__()}


def serves(about: About) -> bytes:
    """It does, or another one does."""
    return _line({"serves": asdict(about)})


def fails(error: MlfuncError) -> bytes:
    """It cannot."""
    said = {key: getattr(error, key) for key in ("message", "hint", "evidence")}
    return _line({"fails": {"kind": type(error).__name__, **said}})


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
