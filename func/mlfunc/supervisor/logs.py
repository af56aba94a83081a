"""What a supervisor says itself: lines in a file, which begins anew when it gets long."""

from __future__ import annotations

import logging
import os
import sys
import time
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING

from mlfunc.supervisor import home as homes

if TYPE_CHECKING:
    from io import TextIOWrapper
    from typing import TextIO

    from mlfunc.supervisor.home import Home

_BYTES = 2 << 20
_LEVELS = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}  # of syslog
_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"


def begin(home: Home, *, alone: bool) -> None:
    """All loggers write there from now on; `alone`: and what else it writes ends there, too."""
    layout = logging.Formatter(_FORMAT, "%Y-%m-%dT%H:%M:%S")
    layout.converter = time.gmtime
    handlers: list[logging.Handler] = [_File(home, takes_all=alone)]
    handlers[0].setFormatter(layout)
    if not alone:
        handlers.append(logging.StreamHandler())
        handlers[1].setFormatter(_ForJournal() if _is_journal(sys.stderr) else layout)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    # What a command shows of them itself would come twice.
    logging.getLogger("mlfunc").handlers = []


def _is_journal(stream: TextIO) -> bool:
    """Whether systemd reads it, which says so by the stream's device and inode."""
    found = os.fstat(stream.fileno())
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class _ForJournal(logging.Formatter):
    """It has the time of each line already, and takes its level as sd-daemon(3) says."""

    def __init__(self) -> None:
        super().__init__("%(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        mark = f"<{_LEVELS.get(record.levelname, 6)}>"
        return mark + super().format(record).replace("\n", f"\n{mark}")


class _File(RotatingFileHandler):
    def __init__(self, home: Home, *, takes_all: bool) -> None:
        self._takes_all = takes_all
        super().__init__(home.log, maxBytes=_BYTES, backupCount=1, encoding="utf-8")

    def _open(self) -> TextIOWrapper:
        stream = open(self.baseFilename, "a", encoding="utf-8", opener=homes.private)  # noqa: SIM115
        if self._takes_all:
            for own in (sys.stdout, sys.stderr):
                os.dup2(stream.fileno(), own.fileno())
        return stream
