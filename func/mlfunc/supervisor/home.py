"""Where a supervisor keeps its things, and how its own user, and nobody else, reaches it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import ipaddress
import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlfunc import paths
from mlfunc.errors import MlfuncError

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        """Held while it runs, by itself: no process id is believed."""
        return self.folder / "lock"

    @property
    def starting(self) -> Path:
        """Held by one that starts, until it serves or has failed: another waits for that."""
        return self.folder / "lock.starting"

    @property
    def about(self) -> Path:
        """JSON of a supervisor that runs: pid, gateway port and address, version."""
        return self.folder / "supervisor.json"

    @property
    def port(self) -> Path:
        """The gateway's port, which stays what it was: functions are known by it."""
        return self.folder / "port"

    @property
    def log(self) -> Path:
        """What it says itself."""
        return self.folder / "supervisor.log"

    @property
    def releases(self) -> Path:
        """A folder by digest for each release: its files, and how it is started."""
        return self.folder / "releases"

    @property
    def models(self) -> Path:
        """Files of releases' models, by what is in them."""
        return self.folder / "models"

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
        # Not below $TMPDIR: who asks may have another one than who answers.
        return Path("/tmp") / f"mlfunc-{os.getuid()}-{digest}" / "api.sock"  # noqa: S108 - checked

    def prepare(self) -> None:
        """Have the folders, for this user alone.

        Raises:
            MlfuncError: they cannot be had, or are somebody else's.

        """
        with self.usable():
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            _own(self.folder, follow=True)
            # It may be in a folder where all may write: a link there is not followed.
            _own(self.socket.parent, follow=self.socket.parent == self.folder)

    @contextlib.contextmanager
    def usable(self) -> Iterator[None]:
        """What the system refuses in this block, of these files, is told in words.

        Raises:
            MlfuncError: it has refused something.

        """
        try:
            yield
        except OSError as error:
            raise _unusable(self.folder, error) from error


@dataclass(frozen=True)
class About:
    """A supervisor that runs, as it says of itself once it serves."""

    pid: int
    host: str
    port: int
    version: str
    began: float  # seconds since 1970
    moved: str = ""  # why its port is not the one of before

    @property
    def url(self) -> str:
        """Where its gateway is reached from this machine."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::", ""} else self.host  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def warning(self) -> str:
        """What whoever starts it so should know; empty: nothing."""
        if self.host == "localhost" or _is_loopback(self.host):
            return ""
        return (
            f"the gateway listens on {self.host}: whoever reaches this machine can call its "
            "functions and send them events, for there is no password"
        )

    def write(self, path: Path) -> None:
        """Whole, or not at all: it may be read at any moment."""
        write_whole(path, json.dumps(asdict(self)))


def found(home: Home) -> About | None:
    """The supervisor that serves this home now.

    What a killed one has left says nothing: the kernel has dropped its lock.
    """
    with home.usable():
        if not is_held(home.lock):
            return None
        try:
            return _about(json.loads(home.about.read_text(encoding="utf-8")))
        except FileNotFoundError:  # it starts, or ends
            return None


def _about(said: dict[str, Any]) -> About:
    """Of a later version it may say more than is known here; `version` tells that it is one."""
    known = {each.name for each in fields(About)}
    return About(**{name: value for name, value in said.items() if name in known})


def is_held(path: Path) -> bool:
    """Whether somebody has the lock alone; no such file: nobody."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def write_whole(path: Path, text: str) -> None:
    """For this user alone, in place of what was there, which stays if there is no room."""
    fresh = path.with_name(f"{path.name}.new")
    try:
        with open(fresh, "w", encoding="utf-8", opener=private) as file:
            file.write(text)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def private(path: str, flags: int) -> int:
    """An opener of files that only their user may read."""
    return os.open(path, flags, 0o600)


def home() -> Home:
    """Of this user, or of `$MLFUNC_HOME`."""
    return Home(paths.state().absolute() / "platform")


def _own(folder: Path, *, follow: bool) -> None:
    """Make it, or see that it is this user's, and that nobody else gets in."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.stat(follow_symlinks=follow)
    if folder.is_symlink() and not follow:
        raise MlfuncError(
            f"{folder} is a link that somebody has put there",
            "remove it, or set MLFUNC_HOME to a folder with a shorter path",
        )
    if found.st_uid != os.geteuid():
        raise MlfuncError(
            f"{folder} belongs to {user(found.st_uid)}, not to {user(os.geteuid())}",
            "run mlfunc as its owner, or set MLFUNC_HOME to a folder of your own",
        )
    if found.st_mode & 0o077:
        folder.chmod(0o700)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def user(uid: int) -> str:
    """As people call them."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _unusable(folder: Path, error: OSError) -> MlfuncError:
    reason = (error.strerror or str(error)).lower()
    at = error.filename or folder
    ways = {
        errno.ENOSPC: "make room there",
        errno.EDQUOT: "make room there: this user's share of the disk is used up",
        errno.EROFS: "set MLFUNC_HOME to a folder that can be written to",
    }
    return MlfuncError(
        f"the local platform cannot keep its files in {folder}: {at}: {reason}",
        ways.get(error.errno or 0, "make that folder yours, or set MLFUNC_HOME to one that is"),
    )
