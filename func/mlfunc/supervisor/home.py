"""Where a supervisor keeps its things, and how its own user, and nobody else, reaches it."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlfunc import paths

# Of the path of a Unix socket, the kernel's bound is 108 bytes.
_LONGEST = 100


@dataclass(frozen=True)
class Home:
    """A folder of one supervisor; another MLFUNC_HOME is another one."""

    folder: Path

    @property
    def state(self) -> Path:
        """The SQLite file."""
        return self.folder / "state.db"

    @property
    def lock(self) -> Path:
        """Held while it runs."""
        return self.folder / "lock"

    @property
    def about(self) -> Path:
        """JSON of a supervisor that runs: pid, gateway port and address, version."""
        return self.folder / "supervisor.json"

    @property
    def log(self) -> Path:
        """What it says itself."""
        return self.folder / "supervisor.log"

    @property
    def releases(self) -> Path:
        """A folder by digest for each release: its files, and how it is started."""
        return self.folder / "releases"

    @property
    def logs(self) -> Path:
        """What instances say: a folder for each revision."""
        return self.folder / "logs"

    @property
    def socket(self) -> Path:
        """Where its API listens."""
        near = self.folder / "api.sock"
        if len(os.fsencode(near)) <= _LONGEST:
            return near
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"mlfunc-{os.getuid()}-{digest}" / "api.sock"


def home() -> Home:
    """Of this user, or of `$MLFUNC_HOME`."""
    return Home(paths.state() / "platform")
