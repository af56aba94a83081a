"""The runtime's JSON log lines, as a person reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# `output`, the last words of a predictor's own process, went through already.
_SHOWN_APART = {"time", "level", "logger", "message", "traceback", "phase", "pid", "output"}
_OF_REQUEST = {"method", "path", "status", "seconds"}
_COLOURS = {"warning": "yellow", "error": "red", "critical": "red", "debug": "dim"}


def line(fields: Mapping[str, Any]) -> str:
    """Time, level, message, and what else the line says; a traceback below it."""
    clock = _clock(str(fields.get("time", "")))
    if fields.get("message") == "request" and fields.keys() >= _OF_REQUEST:
        return f"{clock}  {_request(fields)}"
    level = str(fields.get("level", "info")).lower()
    told = {k: v for k, v in fields.items() if k not in _SHOWN_APART and v not in (None, "", [])}
    extra = " ".join(f"{k}={_short(v)}" for k, v in told.items())
    text = "  ".join(part for part in (clock, f"{level:<7}", str(fields["message"]), extra) if part)
    trace = str(fields.get("traceback") or "").rstrip()
    return f"{text}\n{trace}" if trace else text


def _request(fields: Mapping[str, Any]) -> str:
    """`POST / 200 3.1 ms`, as a server's log has it."""
    took = f"{float(fields['seconds']) * 1000:.1f} ms"
    named = (str(fields[name]) for name in ("method", "path", "status"))
    return f"{' '.join(named)} {took}  request_id={fields.get('request_id', '')}"


def colour(fields: Mapping[str, Any]) -> str | None:
    """The colour of a line that should stand out, or stand back."""
    return _COLOURS.get(str(fields.get("level", "")).lower())


def startup(seconds: Mapping[str, float]) -> str:
    """`2.6 s (import 1.9, load 0.4)`: the total, and the phases that took a tenth of it or more."""
    total = float(seconds.get("total", 0.0))
    phases = ((name, float(value)) for name, value in seconds.items() if name != "total")
    long = [f"{name} {value:.2f}" for name, value in phases if value >= total / 10]
    return f"{total:.2f} s" + (f" ({', '.join(long)})" if long else "")


def _clock(time: str) -> str:
    """The time of day of an RFC 3339 time, as it is written there."""
    return time.partition("T")[2][:8]


def _short(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_short, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
