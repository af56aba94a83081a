"""JSON lines on standard error, one object a line, each with its request's id."""

from __future__ import annotations

import datetime
import json
import logging
import sys
from contextvars import ContextVar
from typing import Any

import orjson

from mlfunc_runtime.errors import StartupError, user_traceback

# Of one text: where it holds a request's data, as exceptions do, the hub would wait for whoever
# reads the log.
_HEAD, _TAIL = 12 * 2**10, 4 * 2**10
_phases = logging.getLogger("mlfunc.phases")
request_id: ContextVar[str] = ContextVar("request_id", default="")


class JSONFormatter(logging.Formatter):
    """A record as one JSON object; `extra={"fields": {...}}` adds members."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, logger, message, request id, the record's own fields, traceback."""
        line: dict[str, Any] = {
            "time": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if current := request_id.get():
            line["request_id"] = current
        if record.exc_info and record.exc_info[1] is not None:
            line["traceback"] = user_traceback(record.exc_info[1])
        line |= getattr(record, "fields", {})
        return _dump({name: _shortened(value) for name, value in line.items()})


def _shortened(value: Any) -> Any:
    """A long text without its middle: a traceback begins with where, and ends with what."""
    if not isinstance(value, str) or len(value) <= _HEAD + _TAIL:
        return value
    return f"{value[:_HEAD]} ... {len(value) - _HEAD - _TAIL} characters ... {value[-_TAIL:]}"


def _dump(line: dict[str, Any]) -> str:
    """orjson refuses lone surrogates and huge integers; a log line is written whatever is in it."""
    try:
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        return json.dumps(line, default=str, separators=(",", ":"))


def setup() -> None:
    """Send every logger of the process, the predictor's too, to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    _phases.setLevel(logging.INFO)


def set_level(level: str) -> None:
    """Log nothing below `level`, but for the phases."""
    logging.getLogger().setLevel(level.upper())


def event(message: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """One line of the runtime itself, with members that tools read.

    Phases are told whatever the level is: `mlfunc run` waits for them.
    """
    logger = _phases if "phase" in fields else logging.getLogger("mlfunc")
    logger.log(level, message, extra={"fields": fields})


def failed(error: BaseException) -> int:
    """Say that the function cannot start, and why; return the exit code."""
    known = error if isinstance(error, StartupError) else None
    cause = error.__cause__ if known else error
    told = str(error) if known else f"{type(error).__name__}: {error}"
    event(
        told,
        level=logging.ERROR,
        phase="failed",
        error=told,
        hint=known.hint if known else "",
        traceback=user_traceback(cause) if cause else "",
    )
    return known.exit_code if known else StartupError.exit_code
