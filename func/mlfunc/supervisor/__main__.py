"""`python -m mlfunc.supervisor`: one supervisor, until it is told to end.

Exit codes are those of `mlfunc.errors`. 0: it was told to end, or another one serves.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import faulthandler
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mlfunc.errors import MlfuncError
from mlfunc.supervisor import home as homes
from mlfunc.supervisor import logs, saying, sockets, supervisor
from mlfunc.supervisor.home import Home
from mlfunc.supervisor.supervisor import Wish
from mlfunc.supervisor.tenure import Serves, Tenure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlfunc.supervisor.home import About

_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve, and tell who has started it, by a descriptor, how that went."""
    options = _options(argv)
    wish = Wish(options.host, options.port, options.idle)
    tell = _Telling(options.tell)
    home = Home(options.home) if options.home else homes.home()
    try:
        run(home, wish, lambda about: tell(saying.serves(about)), in_log_alone=True)
    except Serves as found:
        tell(saying.serves(found.about))
    except MlfuncError as error:
        _log.error("cannot serve: %s; %s", error.message, error.hint)
        tell(saying.fails(error), at_the_end=True)
        return error.exit_code
    return 0


def run(
    home: Home, wish: Wish, told: Callable[[About], None], *, in_log_alone: bool = False
) -> None:
    """Be the supervisor of a home, in this process, until a signal comes.

    Raises:
        Serves: there is one.
        MlfuncError: it cannot serve.

    """
    os.umask(0o077)
    home.prepare()
    with home.usable():
        logs.begin(home, alone=in_log_alone)
    with contextlib.closing(Tenure(home)) as tenure:
        asyncio.run(supervisor.serve(home, wish, tenure, told))
    _log.info("has ended")


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mlfunc.supervisor", description=__doc__)
    parser.add_argument("--home", type=Path, metavar="FOLDER")
    parser.add_argument("--host", default=sockets.LOOPBACK)
    parser.add_argument("--port", type=int)
    parser.add_argument("--idle", type=float, default=0.0)
    parser.add_argument("--tell", type=int, metavar="DESCRIPTOR")
    return parser.parse_args(argv)


class _Telling:
    """Once, to the end of a pipe, which instances do not get."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_inheritable(descriptor, False)

    def __call__(self, line: bytes, *, at_the_end: bool = False) -> None:
        """`at_the_end`: who hears it hears the end of this program, too."""
        if self._descriptor is None:
            return
        # Who has started it may have left: it serves all the same.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._descriptor, line)
        if not at_the_end:
            os.close(self._descriptor)


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(main())
