"""Has a function's remote models here, for a function that starts on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mlfunc import lock
from mlfunc.cache import projects
from mlfunc.models import places
from mlfunc.models.fetching import fetch
from mlfunc.models.pinning import Asked, pin
from mlfunc.models.schemes import FETCHED, scheme

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from mlfunc.function import Function, Model
    from mlfunc.lock import ModelPin
    from mlfunc.proc import Cancellation


def obtain(
    folder: Path,
    function: Function,
    given: Collection[str],
    report: Callable[[str], None],
    cancellation: Cancellation,
    *,
    dry_run: bool = False,
) -> dict[str, str]:
    """The variables that say where the models are; those that are `given` are not fetched.

    What is not pinned in mlfunc.lock yet is pinned there, so that every run and build has the same.
    With `dry_run` that is all that is done: they say where the models would be.

    Raises:
        NotFound: a model is not there.
        MlfuncError: its place refuses, or cannot be reached.
        Cancelled: it was broken off.

    """
    wanted = {name: m for name, m in remote(function).items() if places.variable(name) not in given}
    if not wanted:
        return {}
    known = lock.load(folder)
    pins = {
        name: pin(
            Asked(name, model, folder, known.models.get(name), _hash_nothing, report, cancellation)
        )
        for name, model in wanted.items()
    }
    lock.save(folder, msgspec.structs.replace(known, models={**known.models, **pins}))
    if not dry_run:
        projects.note(folder, "model", [places.cached(each).name for each in pins.values()])
        for name, each in pins.items():
            fetch(name, each, report=report, cancellation=cancellation)
    return {
        places.variable(name): places.within(str(places.cached(each)), each)
        for name, each in pins.items()
    }


def remote(function: Function) -> dict[str, Model]:
    """The models that are fetched."""
    return {name: model for name, model in function.all_models.items() if is_fetched(model)}


def is_fetched(model: Model | ModelPin) -> bool:
    """Whether it comes from elsewhere, file by file."""
    return scheme(model.uri) in FETCHED


def is_here(pin: ModelPin | None, model: Model) -> bool:
    """Whether all of a remote model is on this machine, as it is pinned."""
    if pin is None or (pin.uri, pin.patterns) != (model.uri, model.files):
        return False
    return all((places.cached(pin) / file.path).is_file() for file in pin.files)


def _hash_nothing(paths: Iterable[Path]) -> Mapping[Path, str]:
    """Files here are used where they lie."""
    raise AssertionError(f"{[*paths]} are not remote")
