"""Where the models of mlfunc.yaml are in this container: what `models:` says, and variables.

Fetching one that is streamed is the part of `weights`.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mlfunc_runtime.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

_PATH, _STREAM = "MLFUNC_MODEL_", "MLFUNC_STREAM_"
# What Kubernetes adds to every container for a Service that is called mlfunc-model-something.
_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT|PORT)(_|$)")
_FETCHED = Path("/tmp/models")  # noqa: S108 - the only folder of a container that can be written
_VOLUMES = Path("/volumes")


class Model(msgspec.Struct, frozen=True):
    """A model of mlfunc.yaml whose address alone does not say it all: what else it says is for
    whoever builds the image.
    """

    uri: str


class Place(msgspec.Struct, frozen=True):
    """`path`: None where nobody told it. `stream`: the list of the files to fetch there first."""

    uri: str
    variable: str
    path: Path | None
    stream: Path | None = None


def places(
    models: Mapping[str, str | Model], folder: Path, environ: Mapping[str, str]
) -> dict[str, Place]:
    """Every model's place, by name.

    Raises:
        SettingsError: a variable is about a model that mlfunc.yaml does not have.

    """
    _refuse_strangers(models, environ)
    return {name: _place(name, _address(model), folder, environ) for name, model in models.items()}


def find(places: Mapping[str, Place], name: str) -> Path:
    """The path of a model.

    Raises:
        SettingsError: there is none of that name, or nothing at its path.

    """
    place = places.get(name)
    if place is None:
        close = difflib.get_close_matches(name, places, 1)
        known = ", ".join(places) or "none"
        hint = f"did you mean {close[0]}?" if close else f"`models:` in mlfunc.yaml has {known}"
        raise SettingsError(f"there is no model {name!r}", hint)
    if place.path is None:
        hint = f"set {place.variable} to where its files are"
        raise SettingsError(f"model {name!r} ({place.uri}) has no path here", hint)
    if not place.path.exists():
        raise SettingsError(f"model {name!r} is not at {place.path}", _hint(place.path, place))
    return place.path


def _address(model: str | Model) -> str:
    return model if isinstance(model, str) else model.uri


def _place(name: str, uri: str, folder: Path, environ: Mapping[str, str]) -> Place:
    """A path of this container wins; a local one is in the function's folder."""
    suffix = _suffix(name)
    told, listed = environ.get(_PATH + suffix), environ.get(_STREAM + suffix)
    path = Path(told) if told else None
    if path is None and listed:
        path = _FETCHED / name
    if path is None and "://" not in uri:
        path = folder / uri
    return Place(uri, _PATH + suffix, path, Path(listed) if listed else None)


def _suffix(name: str) -> str:
    return name.upper().replace("-", "_")


def _refuse_strangers(models: Mapping[str, object], environ: Mapping[str, str]) -> None:
    known = {_suffix(name): name for name in models}
    for variable in environ:
        prefix = next((each for each in (_PATH, _STREAM) if variable.startswith(each)), None)
        if prefix is None or _SERVICE_LINK.search(variable):
            continue
        suffix = variable.removeprefix(prefix)
        if suffix not in known:
            close = difflib.get_close_matches(suffix, known, 1)
            have = f"`models:` in mlfunc.yaml has {', '.join(models) or 'none'}"
            hint = f"did you mean {prefix}{close[0]}?" if close else have
            raise SettingsError(f"{variable} is of no model", hint)


def _hint(path: Path, place: Place) -> str:
    """What is most likely missing, by what kind of place it is."""
    if path.is_relative_to(_VOLUMES) and path != _VOLUMES:
        mount = _VOLUMES / path.relative_to(_VOLUMES).parts[0]
        if not mount.exists():
            return f"no volume is mounted at {mount}: the function's Service has to have one"
        return f"the volume at {mount} is there and has no such path: {place.uri} is expected"
    if "://" in place.uri:
        return f"{place.variable} says so; {place.uri} is expected there"
    return "put its files there; the function's README says from where"
