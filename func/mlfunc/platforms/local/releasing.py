"""A project as a release of this machine: its files, its environment, its models."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlfunc import environment, ignore, shipping
from mlfunc.knative.release import Model, Release
from mlfunc.layers.tree import Link, entry_digest, scan
from mlfunc.models import places
from mlfunc.platforms.local import snapshots
from mlfunc.platforms.local.snapshots import Camera
from mlfunc.proc import Cancellation
from mlfunc.supervisor import releases
from mlfunc.supervisor.releases import Contents

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from mlfunc.environment import Environment, Spec
    from mlfunc.function import Function
    from mlfunc.layers.hashes import Hashes
    from mlfunc.layers.tree import Tree
    from mlfunc.platforms.local.snapshots import Snapshot
    from mlfunc.supervisor.home import Home

# A change of what a release is gives new ones.
_VERSION = 2


@dataclass(frozen=True)
class Source:
    """A project that is to be released, and who is told of what takes long."""

    folder: Path
    function: Function
    namespace: str
    home: Home
    hashes: Hashes
    report: Callable[[str], None] = lambda _: None
    cancellation: Cancellation = field(default_factory=Cancellation)
    # Of variables that come from Secrets and ConfigMaps: another value is for new instances.
    values: Mapping[str, str] = field(default_factory=dict)


def release(source: Source, *, dry_run: bool = False) -> Release:
    """What a deployment brings; one that is there already is not made again.

    With `dry_run`, neither files nor an environment are, and no model is fetched or kept.

    Raises:
        UsageError: it holds what looks like a secret.
        MlfuncError: its environment, a model or the release itself cannot be made.
        Cancelled: it was broken off.

    """
    files = shipping.files(source.folder, source.function)
    spec = environment.describe(source.folder, source.function)
    if dry_run and not environment.place(spec).complete:
        environment.check(spec, source.cancellation)
    fetched = _fetched(source, dry_run=dry_run)
    taken = _camera(source, dry_run=dry_run).take(source.folder, source.function)
    digest = _digest(source, files, spec, fetched, taken)
    if not dry_run:
        made = environment.ensure(spec, source.report, source.cancellation)
        if not releases.is_there(source.home, digest):
            shipping.refuse_secrets(files, what="the release")
            releases.write(source.home, digest, _contents(files, made, fetched, taken))
    return Release(
        function=source.function,
        namespace=source.namespace,
        image=releases.image(source.function.name, digest),
        size=files.size,
        models=tuple(_told(source, name, taken) for name in source.function.models),
        notes=tuple(filter(None, map(snapshots.note, taken))),
    )


def notes(folder: Path, function: Function) -> tuple[str, ...]:
    """Links that lead out of a project: what they lead to is not released with it."""
    entries = scan(folder, skip=ignore.rules(folder, function.local_models.values())).entries
    return tuple(
        f"{entry.path} links to {entry.target}, out of the project: the release has the link and"
        " not what is there; copy it here, or name the link in .mlfuncignore"
        for entry in entries
        if isinstance(entry, Link) and _leads_out(entry)
    )


def _leads_out(link: Link) -> bool:
    end = posixpath.normpath(posixpath.join(posixpath.dirname(link.path), link.target))
    return end.startswith(("/", "../")) or end == ".."


def _fetched(source: Source, *, dry_run: bool) -> dict[str, str]:
    """The variables that say where models from elsewhere are."""
    from mlfunc.models.obtaining import obtain

    given = source.function.plain_env
    told = (source.report, source.cancellation)
    found = obtain(source.folder, source.function, given, *told, dry_run=dry_run)
    return {name: path for name, path in found.items() if name not in given}


def _camera(source: Source, *, dry_run: bool) -> Camera:
    return Camera(source.home, source.hashes, source.report, source.cancellation, dry_run)


def _contents(
    files: Tree, made: Environment, fetched: Mapping[str, str], taken: Sequence[Snapshot]
) -> Contents:
    models = {places.variable(each.name): each.path for each in taken}
    kept = {path: sha256 for each in taken for path, sha256 in each.files.items()}
    return Contents(files, made, fetched, models, kept)


def _told(source: Source, name: str, taken: Sequence[Snapshot]) -> Model:
    size = sum(each.size for each in taken if each.name == name)
    return Model(name, source.function.all_models[name].uri, "baked", size)


def _digest(
    source: Source,
    files: Tree,
    spec: Spec,
    fetched: Mapping[str, str],
    taken: Sequence[Snapshot],
) -> str:
    """Of all that an instance of it depends on."""
    whole: list[Any] = [
        _VERSION,
        os.fspath(environment.place(spec).folder),
        [(entry.path, entry_digest(entry)) for entry in files.entries],
        sorted(fetched.items()),
        sorted(source.values.items()),
        [(each.name, each.path, sorted(each.files.items())) for each in taken],
    ]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()
