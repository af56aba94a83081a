"""Brings the files of models here, once, for `mlfunc run` and `mlfunc build` alike.

    models/blobs/SHA256       a file, complete and verified, whatever models it belongs to
    models/blobs/ID.part      one that is on its way; it goes on where it was, after any end
    models/KEY/PATH           a model as its loader wants it: hard links to blobs

Two commands never fetch the same file at once, and what is fetched stays while its program runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import IO, TYPE_CHECKING

from mlfunc import paths
from mlfunc.cache import holding
from mlfunc.errors import MlfuncError
from mlfunc.layers.locks import locked
from mlfunc.lock import ModelFile
from mlfunc.models.places import cached
from mlfunc.models.schemes import FETCHED, scheme
from mlfunc.models.source import PIECE, Broken, Item, check
from mlfunc.proc import Cancellation, Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from mlfunc.lock import ModelPin
    from mlfunc.models.source import Source

_AT_ONCE = 8
# Each so many bytes the user is told.
_TOLD = 10**6
_READ_ONLY = 0o444


@dataclass
class Meter:
    """Tells how far a transfer is, and ends what is left of it."""

    name: str
    total: int
    report: Callable[[str], None] = lambda _: None
    cancellation: Cancellation = field(default_factory=Cancellation)
    over: Event = field(default_factory=Event)
    _done: int = 0
    _lock: Lock = field(default_factory=Lock)

    def add(self, count: int) -> None:
        """So many more bytes are here.

        Raises:
            Cancelled: no more are wanted.

        """
        self.cancellation.check()
        if self.over.is_set():
            raise Cancelled
        with self._lock:
            before, self._done = self._done, self._done + count
        if before // _TOLD != self._done // _TOLD or self._done == self.total:
            self.report(f"model {self.name}: {self._done / 1e6:.1f} of {self.total / 1e6:.1f} MB")


@dataclass(frozen=True)
class Transfer:
    """Files of one revision of a model, on their way here."""

    source: Source
    uri: str
    revision: str
    meter: Meter

    def all(self, items: Sequence[Item]) -> list[ModelFile]:
        """Fetch what is not here; says what each file is, in order.

        Raises:
            MlfuncError: the source refuses, breaks off for good, or gives something else.
            Cancelled: it was broken off.

        """
        # Until they are linked, no model says that they are needed.
        holding.hold(blobs())
        _check_room(sum(item.size for item in items if not _is_here(item)))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            pending = [pool.submit(self._one, item) for item in items]
            try:
                finished = wait(pending, return_when=FIRST_EXCEPTION).done
            finally:
                # One has failed, or we are interrupted: the others end at their next piece.
                self.meter.over.set()
            for each in finished:
                each.result()
            return [each.result() for each in pending]

    def _one(self, item: Item) -> ModelFile:
        if _is_here(item):
            self.meter.add(item.size)
            return ModelFile(item.path, item.size, item.sha256 or "")
        part = self._part(item)
        with locked(part.with_suffix(".lock"), cancellation=self.meter.cancellation):
            if _is_here(item):
                # Another command brought it while we waited.
                return ModelFile(item.path, item.size, item.sha256 or "")
            with part.open("a+b") as file:
                file.seek(0)
                sha256 = self._fill(file, item)
            part.chmod(_READ_ONLY)
            part.replace(blob(sha256))
        return ModelFile(item.path, item.size, sha256)

    def _part(self, item: Item) -> Path:
        said = f"{self.uri}\0{self.revision}\0{item.path}"
        return blobs() / f"{item.sha256 or hashlib.sha256(said.encode()).hexdigest()}.part"

    def _fill(self, file: IO[bytes], item: Item) -> str:
        """Get what is missing of a file; its hash."""
        digest = hashlib.sha256()
        while piece := file.read(PIECE):
            digest.update(piece)
            self.meter.add(len(piece))
        while file.tell() < item.size:
            self._continue(file, item, digest)
        found = digest.hexdigest()
        if file.tell() != item.size or found != (item.sha256 or found):
            file.truncate(0)
            message = f"{self.uri}: {item.path} is not what was pinned: its sha256 is {found}"
            raise MlfuncError(message, "mlfunc build --upgrade pins what is there now")
        return found

    def _continue(self, file: IO[bytes], item: Item, digest: hashlib._Hash) -> None:
        """Get more, to the end if the connection holds; to get nothing at all is a failure."""
        start, cause = file.tell(), None
        try:
            for piece in self.source.read(self.revision, item.path, start):
                file.write(piece)
                digest.update(piece)
                self.meter.add(len(piece))
        except Broken as error:
            cause = error
        if file.tell() == start:
            why = str(cause or "the connection ends before it begins")
            message = f"{self.uri}: {item.path} cannot be fetched: {why}"
            hint = "run it again when the network is back: it goes on where it was"
            raise MlfuncError(message, hint) from cause


def blob(sha256: str) -> Path:
    """Where a file is kept."""
    return blobs() / sha256


def fetch(
    name: str,
    pin: ModelPin,
    *,
    only: Collection[str] | None = None,
    report: Callable[[str], None] = lambda _: None,
    cancellation: Cancellation | None = None,
) -> Path:
    """The folder of a pinned model, or of some files of it: what is not here is fetched.

    Raises:
        MlfuncError: the source refuses, breaks off for good, or has something else by now.
        Cancelled: it was broken off.

    """
    folder = cached(pin)
    holding.hold(folder, pin.uri)
    files = [file for file in pin.files if only is None or file.path in only]
    missing = [file for file in files if not (folder / file.path).is_file()]
    if missing:
        check([file.path for file in missing])
        meter = Meter(name, sum(f.size for f in missing), report, cancellation or Cancellation())
        source = FETCHED[scheme(pin.uri)](pin.uri)
        transfer = Transfer(source, pin.uri, pin.revision or "", meter)
        transfer.all([Item(file.path, file.size, file.sha256) for file in missing])
        _link(missing, folder)
    return folder


def _link(files: Sequence[ModelFile], folder: Path) -> None:
    for file in files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.link(blob(file.sha256), path)


def blobs() -> Path:
    """Where all files of models are, each named by its hash."""
    return paths.cache() / "models" / "blobs"


def _is_here(item: Item) -> bool:
    # Only what is complete and verified has the name of its hash.
    return item.sha256 is not None and blob(item.sha256).is_file()


def _check_room(size: int) -> None:
    """Whether it fits here.

    Raises:
        MlfuncError: it does not.

    """
    blobs().mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(blobs()).free
    if size > free:
        message = f"a model needs {size / 1e9:.1f} GB at {blobs()}, where {free / 1e9:.1f} are free"
        raise MlfuncError(message, "mlfunc cache prune; or set MLFUNC_HOME to another disk")
