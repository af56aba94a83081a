"""Fetch every streamed model at once: ranges of all files, on many connections.

One connection brings what one stream of a store's brings; a dozen bring what the network does.
"""

from __future__ import annotations

import http.client
import shutil
import threading
import time
from collections import Counter
from http import HTTPStatus
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from mlfunc_runtime import logs
from mlfunc_runtime.errors import StartupError
from mlfunc_runtime.weights import listing as listings
from mlfunc_runtime.weights.http import Broken, Connections, Refused
from mlfunc_runtime.weights.sources import Addresses
from mlfunc_runtime.weights.writing import Arriving, told_as_unwritable, unfinished

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from http.client import HTTPResponse
    from pathlib import Path

    from mlfunc_runtime.models import Place
    from mlfunc_runtime.weights.listing import File, Part

_STREAMS = 12
_PIECE = 2**20
_TRIES = 7  # without a byte in between, which takes 13 s
_PAUSE = 0.2


class Wanted(NamedTuple):
    """A file that is not there yet."""

    file: File
    path: Path
    addresses: Addresses


class Job(NamedTuple):
    """One part of a file."""

    wanted: Wanted
    arriving: Arriving
    number: int
    part: Part


def fetch(places: Iterable[Place], environ: Mapping[str, str]) -> None:
    """Have the streamed models at their places; files that are there from a start before stay.

    Raises:
        StartupError: a file cannot be had, is another one now, or there is no room for it.

    """
    began = time.monotonic()
    wanted = [each for place in places for each in _wanted(place, environ)]
    total = sum(each.file.size for each in wanted)
    logs.event(f"fetching {total / 1e6:,.0f} MB of models", phase="fetching", bytes=total)
    _check_room(wanted)
    Transfer(_jobs(wanted)).run()
    seconds = round(time.monotonic() - began, 3)
    logs.event(f"fetched the models in {seconds:.2f} s", bytes=total, seconds=seconds)


class Transfer:
    """The streams. They end when no job is left, or one has failed."""

    def __init__(self, jobs: Iterator[Job]) -> None:
        self._jobs = jobs
        self._lock = threading.Lock()
        self._failed = threading.Event()
        self._ended: SimpleQueue[BaseException | None] = SimpleQueue()

    def run(self) -> None:
        """To the end. Raises what the first failed job raised, while others may still wait."""
        for number in range(_STREAMS):
            name = f"weights-{number}"
            threading.Thread(target=self._stream, name=name, daemon=True).start()
        for _ in range(_STREAMS):
            if (error := self._ended.get()) is not None:
                raise error

    def _stream(self) -> None:
        error = None
        connections = Connections()
        try:
            while (job := self._next()) is not None:
                self._fetch(job, connections)
        except BaseException as raised:
            self._failed.set()
            error = raised
        connections.close()
        self._ended.put(error)

    def _next(self) -> Job | None:
        """A file is opened when its first part is taken."""
        with self._lock:
            return None if self._failed.is_set() else next(self._jobs, None)

    def _fetch(self, job: Job, connections: Connections) -> None:
        """A part, resumed where it broke off."""
        done = tries = 0
        while done < job.part.size and not self._failed.is_set():
            try:
                for count in _pieces(job, done, connections):
                    done, tries = done + count, 0
            except (OSError, http.client.HTTPException, Broken) as error:
                connections.close()
                tries += 1
                if tries == _TRIES:
                    told = f"{job.wanted.file.path} breaks off after {done} bytes: {error}"
                    raise StartupError(told, "see the network policy of the pod") from error
                self._failed.wait(_PAUSE * 2 ** (tries - 1))
        if done == job.part.size:
            job.arriving.arrived(job.number)


def _wanted(place: Place, environ: Mapping[str, str]) -> Iterator[Wanted]:
    if place.stream is None or place.path is None:
        return
    listing = listings.read(place.stream)
    folder = listings.folder_of(listing, place.path)
    missing = [file for file in listing.files if not _is_there(folder / file.path, file)]
    if missing:
        addresses = Addresses(listing, environ)
        yield from (Wanted(file, folder / file.path, addresses) for file in missing)


def _is_there(path: Path, file: File) -> bool:
    """A container that is started again in its pod finds its volumes as they were: a file has its
    name only when its hash was right.
    """
    with told_as_unwritable(path):
        unfinished(path).unlink(missing_ok=True)
        return path.is_file() and path.stat().st_size == file.size


def _check_room(wanted: list[Wanted]) -> None:
    needed: Counter[int] = Counter()
    for each in wanted:
        folder = each.path.parent
        with told_as_unwritable(each.path):
            folder.mkdir(parents=True, exist_ok=True)
            device, free = folder.stat().st_dev, shutil.disk_usage(folder).free
        needed[device] += each.file.size
        if needed[device] > free:
            total = sum(other.file.size for other in wanted)
            told = f"no room for the models at {folder}: {total} bytes are needed, {free} are free"
            raise StartupError(told, "mount a larger volume there, or set MLFUNC_MODEL_<NAME>")


def _jobs(wanted: Iterable[Wanted]) -> Iterator[Job]:
    for each in wanted:
        parts = listings.parts(each.file)
        arriving = Arriving(each.path, each.file, parts)
        if not parts:
            arriving.finish()
        for number, part in enumerate(parts):
            yield Job(each, arriving, number, part)


def _pieces(job: Job, done: int, connections: Connections) -> Iterator[int]:
    """Write what is left of a part, piece by piece; yields the bytes of each."""
    offset, end = job.part.start + done, job.part.start + job.part.size
    response = _ask(job.wanted, f"bytes={offset}-{end - 1}", connections)
    if response.status == HTTPStatus.OK and offset > 0:
        told = f"the server of {job.wanted.file.path} gives no parts of files"
        raise StartupError(told, "it has to answer a Range with 206")
    buffer = memoryview(bytearray(min(_PIECE, end - offset)))
    while offset < end:
        count = response.readinto(buffer[: end - offset])
        if not count:
            raise Broken(f"the answer ended {end - offset} bytes early")
        job.arriving.write(buffer[:count], offset)
        offset += count
        yield count
    if not response.isclosed():  # it has more, which nobody reads
        connections.close()


def _ask(wanted: Wanted, wished: str, connections: Connections) -> HTTPResponse:
    file, addresses = wanted.file, wanted.addresses
    asked = addresses.request(file)
    headers = {**asked.headers, "Range": wished, "Accept-Encoding": "identity"}
    try:
        url, response = connections.get(asked.url, headers)
    except Refused as refused:
        if asked.led_to:
            addresses.forget(file, asked)
            raise Broken("the address that the store gave has expired") from refused
        told = f"{file.path} of {addresses.uri} cannot be fetched: {refused}"
        raise StartupError(told, addresses.source.hint(refused)) from refused
    addresses.led(file, asked, url)
    return response
