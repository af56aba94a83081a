"""Values that a cluster would keep for a function: here, those of the deployer's variables.

A variable that mlfunc.yaml takes from a Secret or a ConfigMap has its value there already, or gets
it at a deployment, from the variable of the same name where that is made.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from mlfunc.cluster import kinds
from mlfunc.errors import UsageError
from mlfunc.function import EnvSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlfunc.cluster.kinds import Kind
    from mlfunc.function import Function

    Object = dict[str, Any]
    Get = Callable[[Kind, str], Object | None]


class Given(NamedTuple):
    """What a deployment brings of values, and all of them as its instances will have them."""

    objects: list[Object]  # to apply: Secrets and ConfigMaps that get a value, whole
    values: dict[str, str]  # by their variables, as those objects have them


def values(
    function: Function, namespace: str, get: Get, environ: Mapping[str, str] = os.environ
) -> Given:
    """Those of the function's variables; `get` gets the Secrets and ConfigMaps that are there.

    Raises:
        UsageError: variables have a value neither there nor here.

    """
    sources = {name: each for name, each in function.env.items() if isinstance(each, EnvSource)}
    data = {
        at: dict((get(*at) or {}).get("data") or {}) for at in set(map(_place, sources.values()))
    }
    changed: dict[tuple[Kind, str], dict[str, str]] = {}
    for name, source in sources.items():
        if name in environ:
            at = _place(source)
            changed[at] = data[at]
            data[at][source.key] = _kept(at[0], environ[name])
    found = {name: data[_place(each)].get(each.key) for name, each in sources.items()}
    if lacking := {name: sources[name] for name, value in found.items() if value is None}:
        raise _missing(lacking)
    objects = [_manifest(at, namespace, whole) for at, whole in changed.items()]
    return Given(objects, {name: value for name, value in found.items() if value is not None})


def _place(source: EnvSource) -> tuple[Kind, str]:
    if source.secret:
        return kinds.SECRET, source.secret
    return kinds.CONFIG_MAP, str(source.config_map)


def _kept(kind: Kind, value: str) -> str:
    """As such an object has it."""
    if kind != kinds.SECRET:
        return value
    return base64.b64encode(value.encode(errors="surrogateescape")).decode()


def _manifest(at: tuple[Kind, str], namespace: str, data: dict[str, str]) -> Object:
    kind, name = at
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


def _missing(lacking: Mapping[str, EnvSource]) -> UsageError:
    names = [*lacking]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    verb = "has" if len(names) == 1 else "have"
    evidence = "\n".join(f"{name}: {_said(source)}" for name, source in lacking.items())
    hint = "give them to the deployment: " + " ".join(f"{name}=..." for name in names)
    return UsageError(f"{listed} {verb} no value", f"{hint} mlfunc deploy", evidence=evidence)


def _said(source: EnvSource) -> str:
    kind, name = ("Secret", source.secret) if source.secret else ("ConfigMap", source.config_map)
    return f"key {source.key} of {kind} {name}, which is not there"
