"""What can go wrong, and how it is told: to a caller as a problem (RFC 9457), to an operator as a
startup error.

Exception
├── Problem            a request is refused or failed; becomes application/problem+json
└── StartupError       the function cannot start; becomes a log line and exit code 1
    └── SettingsError  mlfunc.yaml or an environment variable is wrong; exit code 2
"""

from __future__ import annotations

import itertools
import os
import threading
import traceback
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_IMPORT = "<frozen importlib"
_ERRORS = (400, 599)
_TITLES = {status.value: status.phrase for status in HTTPStatus}
_LEADING = (os.path.dirname(__file__), _IMPORT)  # noqa: PTH120 - pathlib is not needed for it


class Problem(Exception):
    """A request that ends with an error reply. Predictors raise it to choose the status themselves.

    `field` names the field or header to blame; `headers` are added to the reply. `logged`: the log
    has it already.

    Raises:
        ValueError: `status` is none of an error, 400 to 599.

    """

    logged = False

    def __init__(
        self,
        status: Any,
        detail: object,
        *,
        field: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        if not isinstance(status, int) or not _ERRORS[0] <= status <= _ERRORS[1]:
            message = f"a problem's status is between {_ERRORS[0]} and {_ERRORS[1]}, not {status!r}"
            raise ValueError(message)
        super().__init__(detail)
        self.status: int = status
        self.detail = str(detail)
        self.field = field
        self.headers = headers or {}

    def as_dict(self, request_id: str) -> dict[str, object]:
        """The members of RFC 9457, with the request's id for the log."""
        members: dict[str, object] = {
            "type": "about:blank",
            "title": _TITLES.get(self.status, "Error"),
            "status": self.status,
            "detail": _encodable(self.detail),
            "request_id": request_id,
        }
        if self.field is not None:
            members["field"] = _encodable(self.field)
        return members


class StartupError(Exception):
    """The function cannot start.

    `hint` says what to do; the cause, if any, is the user's own exception.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class SettingsError(StartupError):
    """mlfunc.yaml or an environment variable does not say what it must."""

    exit_code = 2


def _encodable(text: str) -> str:
    """Lone surrogates, as in the names of odd files, have no UTF-8."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def text_of(error: BaseException) -> str:
    """`str(error)`, which runs code of whoever wrote its class."""
    try:
        return str(error)
    except Exception as failed:
        return f"(its text cannot be made: {type(failed).__name__})"


def user_traceback(error: BaseException) -> str:
    """The traceback of `error` from the user's first frame on, as Python prints it; empty where it
    would say no more than the error itself.

    An exception of another process brings its own: isolation/crossing.py.
    """
    if told := getattr(error, "told_traceback", ""):
        return str(told)
    report = _without_our_frames(traceback.TracebackException.from_exception(error))
    lines = list(report.format())
    bare = len(lines) == 1 and lines == list(report.format_exception_only())
    return "" if bare else "".join(lines)


def user_stack(frame: FrameType | None) -> str:
    """Where a thread of ours stands, from the user's first frame on, as Python prints it."""
    if frame is None:
        return ""
    ours = (*_LEADING, threading.__file__)
    stack = traceback.extract_stack(frame)
    theirs = [*itertools.dropwhile(lambda each: each.filename.startswith(ours), stack)]
    lines = traceback.format_list(theirs or stack)
    return "".join(["Stack (most recent call last):\n", *lines])


def _without_our_frames(report: traceback.TracebackException) -> traceback.TracebackException:
    for link in _chain(report):
        theirs = itertools.dropwhile(lambda frame: frame.filename.startswith(_LEADING), link.stack)
        frames = [frame for frame in theirs if not frame.filename.startswith(_IMPORT)]
        link.stack = traceback.StackSummary.from_list(frames)
    return report


def _chain(report: traceback.TracebackException | None) -> Iterator[traceback.TracebackException]:
    while report is not None:
        yield report
        report = report.__cause__ or report.__context__
