"""A program of its own: becomes another one, which the kernel ends when whoever started it is gone.

    python -I -S tethered.py PARENT PROGRAM [ARGUMENT ...]

Only a process itself can ask for this. To ask between fork and exec would run Python there, which
may hang in a program with threads. It imports nothing of ours: neither path nor site are there.
"""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
_SIGTERM = 15


def main(parent: str, *argv: str) -> None:
    """Ask the kernel, see that it was not too late, and become the other program."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGTERM)
    if os.getppid() != int(parent):
        sys.exit("whoever started this is gone")
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is wanted
    except OSError as error:
        sys.exit(f"{argv[0]}: {error.strerror}")


if __name__ == "__main__":
    main(*sys.argv[1:])
