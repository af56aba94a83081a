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
from mlfunc.models import local, places
from mlfunc.proc import Cancellation
from mlfunc.supervisor import releases

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mlfunc.environment import Spec
    from mlfunc.function import Function
    from mlfunc.layers.tree import Tree
    from mlfunc.supervisor.home import Home

# A change of what a release is gives new ones.
_VERSION = 1


@dataclass(frozen=True)
class Source:
    """A project that is to be released, and who is told of what takes long."""

    folder: Path
    function: Function
    namespace: str
    home: Home
    report: Callable[[str], None] = lambda _: None
    cancellation: Cancellation = field(default_factory=Cancellation)
    # Of variables that come from Secrets and ConfigMaps: another value is for new instances.
    values: Mapping[str, str] = field(default_factory=dict)


def release(source: Source, *, dry_run: bool = False) -> Release:
    """What a deployment brings; one that is there already is not made again.

    With `dry_run`, neither files nor an environment are, and no model is fetched.

    Raises:
        UsageError: it holds what looks like a secret.
        MlfuncError: its environment, a model or the release itself cannot be made.
        Cancelled: it was broken off.

    """
    files = shipping.files(source.folder, source.function)
    spec = environment.describe(source.folder, source.function)
    models = _models(source, dry_run=dry_run)
    digest = _digest(source, files, spec, models)
    if dry_run and not environment.place(spec).complete:
        environment.check(spec, source.cancellation)
    if not dry_run:
        made = environment.ensure(spec, source.report, source.cancellation)
        if not releases.is_there(source.home, digest):
            shipping.refuse_secrets(files, what="the release")
            releases.write(source.home, digest, files, made, models)
    return Release(
        function=source.function,
        namespace=source.namespace,
        image=releases.image(source.function.name, digest),
        size=files.size,
        models=tuple(_told(source, name) for name in source.function.models),
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


def _models(source: Source, *, dry_run: bool) -> dict[str, str]:
    """The variables that say where the models are: files here stay where they lie."""
    from mlfunc.models.obtaining import obtain

    given = source.function.plain_env
    here = {
        places.variable(name): str((source.folder / path).absolute())
        for name, path in source.function.local_models.items()
    }
    told = (source.report, source.cancellation)
    fetched = obtain(source.folder, source.function, given, *told, dry_run=dry_run)
    return {name: path for name, path in {**here, **fetched}.items() if name not in given}


def _told(source: Source, name: str) -> Model:
    uri = source.function.all_models[name].uri
    return Model(name, uri, "baked", sum(size for _, size, _ in _files_of(source, name)))


def _files_of(source: Source, name: str) -> list[tuple[str, int, int]]:
    """Of a model that is files here: paths, sizes, and when they were written."""
    uri = source.function.local_models.get(name)
    if uri is None or places.variable(name) in source.function.plain_env:
        return []
    path = source.folder / uri
    root = local.root(path)
    return [
        (item.path, item.size, (root / item.path).stat().st_mtime_ns)
        for item in local.items(name, path)
    ]


def _digest(source: Source, files: Tree, spec: Spec, models: Mapping[str, str]) -> str:
    """Of all that an instance of it depends on."""
    whole: list[Any] = [
        _VERSION,
        os.fspath(environment.place(spec).folder),
        [(entry.path, entry_digest(entry)) for entry in files.entries],
        sorted(models.items()),
        sorted(source.values.items()),
        [_files_of(source, name) for name in sorted(source.function.local_models)],
    ]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()
