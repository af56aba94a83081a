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

    from mlfunc.supervisor.home import Home

_BYTES = 2 << 20
_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"


def begin(home: Home, *, alone: bool) -> None:
    """All loggers write there from now on; `alone`: and what else it writes ends there, too."""
    handlers: list[logging.Handler] = [_File(home, takes_all=alone)]
    if not alone:
        handlers.append(logging.StreamHandler())
    layout = logging.Formatter(_FORMAT, "%Y-%m-%dT%H:%M:%S")
    layout.converter = time.gmtime
    for handler in handlers:
        handler.setFormatter(layout)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)


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
