"""`mlfunc`, and `python -m mlfunc`."""

from __future__ import annotations

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
    sys.exit(cli.main())


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - until we end


if __name__ == "__main__":
    main()
