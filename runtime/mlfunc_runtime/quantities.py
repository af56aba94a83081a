"""Durations and sizes, as people write them."""

from __future__ import annotations

import re

from mlfunc_runtime.errors import SettingsError

Duration = str | int | float
Size = str | int

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB|k|M|G|)")
_BYTES = {
    "B": 1,
    "": 1,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
}


def seconds(value: Duration, key: str) -> float:
    """`60s`, `2m`, `500ms` or a number, as seconds.

    Raises:
        SettingsError: it is none of these; `key` is what it was given for.

    """
    match = _DURATION.fullmatch(str(value).strip())
    if match is None:
        raise SettingsError(f"{key}: {value!r} is no duration", "write it like 60s, 2m or 500ms")
    return float(match[1]) * _SECONDS[match[2]]


def limit(value: Duration, key: str) -> float:
    """A duration in which something can be done.

    Raises:
        SettingsError: it is none, or 0.

    """
    found = seconds(value, key)
    if not found:
        raise SettingsError(f"{key}: {value!r} would let nothing be done", "give it more than 0")
    return found


def size(value: Size, key: str) -> int:
    """`64MiB`, `1GiB` or a number, as bytes.

    Raises:
        SettingsError: it is none of these.

    """
    match = _SIZE.fullmatch(str(value).strip())
    if match is None:
        raise SettingsError(f"{key}: {value!r} is no size", "write it like 64MiB or 1GiB")
    return int(match[1]) * _BYTES[match[2]]
