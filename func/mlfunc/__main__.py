"""`mlfunc`, and `python -m mlfunc`."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and end with its exit code."""
    from mlfunc import cli

    sys.exit(cli.main())


if __name__ == "__main__":
    main()
