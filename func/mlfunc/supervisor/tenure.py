"""Being the only supervisor of a home, from before it serves until after it has ended.

Two locks, which the kernel drops with their holder. `starting` is held until it serves, so of two
that start at once, one waits and then finds the other. `lock` is held for life: while it is, and
supervisor.json is there, somebody serves; while it is and the file is not, somebody ends.
"""

from __future__ import annotations

import fcntl
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO

from mlfunc.errors import MlfuncError
from mlfunc.supervisor import home as homes

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.supervisor.home import About, Home


class Serves(MlfuncError):
    """There is one already, which serves."""

    def __init__(self, about: About) -> None:
        super().__init__(
            f"the local platform runs already, at {about.url}",
            "mlfunc platform stop, to start it anew",
        )
        self.about = about


class Tenure:
    """Held by the only one; another one's end is waited for."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._starting = ExitStack()
        self._held = ExitStack()
        home.prepare()
        with home.usable(), ExitStack() as unless_taken:
            unless_taken.callback(self.close)
            self._starting.enter_context(_locked(home.starting))
            if (about := homes.found(home)) is not None:
                raise Serves(about)
            self._take()
            unless_taken.pop_all()

    def serve(self, about: About) -> None:
        """From now on others find this one."""
        with self._home.usable():
            about.write(self._home.about)
        self._held.callback(self.leave)
        self._starting.close()

    def leave(self) -> None:
        """It ends: nobody shall find it any more, and who starts another one waits."""
        self._home.about.unlink(missing_ok=True)

    def close(self) -> None:
        """It has ended."""
        self._held.close()
        self._starting.close()

    def _take(self) -> None:
        # One that was killed has left its file, and it must be gone before the lock says that it
        # means something. One that ends has none any more: then this waits for that end. Who only
        # looks has the lock for a moment, too.
        if not homes.is_held(self._home.lock):
            self._home.about.unlink(missing_ok=True)
        self._held.enter_context(_locked(self._home.lock))


def _locked(path: Path) -> BinaryIO:
    file = open(path, "ab", opener=homes.private)  # noqa: SIM115 - an opener; it is closed
    fcntl.flock(file, fcntl.LOCK_EX)
    return file
