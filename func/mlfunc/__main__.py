"""`mlfunc`, and `python -m mlfunc`."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn, TextIO

_INTERRUPTED = 130


def main() -> NoReturn:
    """Run the command line and end with its exit code."""
    # Python has None for a stream that was closed before it started (`mlfunc ... >&-`).
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    try:
        from mlfunc import cli
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    code = cli.main()
    if code == _INTERRUPTED:
        _leave(code)
    sys.exit(code)


def _leave(code: int) -> NoReturn:
    """End now. Python would wait for threads of pools, and for all that these still have to do;
    nobody wants it any more, and the kernel ends the programs that they have started.
    """
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - until we end


if __name__ == "__main__":
    main()
