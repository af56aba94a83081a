"""A program of its own: becomes another one, whose parent is not whoever started this.

    python -I -S detached.py PROGRAM [ARGUMENT ...]

Whoever started it waits for this one alone, which ends at once, and has nothing to clear away when
the other ends. It imports nothing of ours: neither path nor site are there.
"""

from __future__ import annotations

import os
import sys


def main(*argv: str) -> None:
    """Leave the other program to the system's first process."""
    if os.fork():
        os._exit(0)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is wanted
    except OSError as error:
        sys.exit(f"{argv[0]}: {error.strerror}")


if __name__ == "__main__":
    main(*sys.argv[1:])
