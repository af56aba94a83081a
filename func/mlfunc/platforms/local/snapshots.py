"""Models that are files of a project, as they are now: what a release has of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlfunc import abreast
from mlfunc.errors import MlfuncError
from mlfunc.models import local, places
from mlfunc.models.fetching import Meter
from mlfunc.supervisor import weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mlfunc.function import Function
    from mlfunc.layers.hashes import Hashes
    from mlfunc.proc import Cancellation
    from mlfunc.supervisor.home import Home

_AT_ONCE = 4
_TOLD = 10**6  # bytes that are worth a word


@dataclass(frozen=True)
class Snapshot:
    """A model's files by their paths, with their digests. `path` is what the function gets: that of
    the folder, or of its only file, within the release's own folder of models.
    """

    name: str
    path: str
    files: Mapping[str, str]
    size: int
    copied: int = field(default=0, compare=False)
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class Camera:
    """Takes them; in a dry run, only looks."""

    home: Home
    hashes: Hashes
    report: Callable[[str], None]
    cancellation: Cancellation
    dry_run: bool = False

    def take(self, folder: Path, function: Function) -> list[Snapshot]:
        """Of all models of a project that are files here, and that no variable says are elsewhere.

        Raises:
            NotFound: there is no such file.
            MlfuncError: one cannot be read or kept, or changed meanwhile.
            Cancelled: it was broken off.

        """
        found = function.local_models.items()
        here = {k: folder / path for k, path in found if _is_asked(function, k)}
        return [self._of(name, path) for name, path in here.items()]

    def _of(self, name: str, path: Path) -> Snapshot:
        began, items, root = time.monotonic(), local.items(name, path), local.root(path)
        size = sum(item.size for item in items)
        meter = Meter(name, size, self.report, self.cancellation)
        kept = abreast.each(
            lambda item: self._keep(root / item.path, meter),
            items,
            at_once=_AT_ONCE,
            stop=meter.over.set,
        )
        return Snapshot(
            name,
            f"{name}/{path.name}" if path.is_file() else name,
            {f"{name}/{item.path}": each.sha256 for item, each in zip(items, kept, strict=True)},
            size,
            sum(each.copied for each in kept),
            time.monotonic() - began,
        )

    def _keep(self, path: Path, meter: Meter) -> weights.Kept:
        if self.dry_run:
            return weights.Kept(self.hashes.of(path), 0)
        try:
            return weights.keep(self.home, path, self.hashes, meter.add)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            message = f"model {meter.name}: {path} cannot be copied to {self.home.models}: {reason}"
            elsewhere = f"`env: {{{places.variable(meter.name)}: PATH}}`"
            hint = f"make room there; or {elsewhere} uses it where it lies, and keeps none"
            raise MlfuncError(message, hint) from error


def note(snapshot: Snapshot) -> str:
    """What keeping it has cost; empty: nothing to speak of."""
    if snapshot.copied < _TOLD:
        return ""
    took = f"{snapshot.copied / 1e6:.1f} MB copied in {snapshot.seconds:.1f} s"
    return f"model {snapshot.name}: {took}, so that its revision keeps it (Btrfs and XFS share it)"


def _is_asked(function: Function, name: str) -> bool:
    return places.variable(name) not in function.plain_env
