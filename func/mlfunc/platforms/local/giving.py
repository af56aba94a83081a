"""Values that a cluster would keep for a function: here, those of the deployer's variables.

A variable that mlfunc.yaml takes from a Secret or a ConfigMap has its value there already, or gets
it at a deployment, from the variable of the same name where that is made.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any

from mlfunc.cluster import kinds
from mlfunc.errors import UsageError
from mlfunc.function import EnvSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlfunc.cluster.kinds import Kind
    from mlfunc.function import Function

    Object = dict[str, Any]
    Get = Callable[[Kind, str], Object | None]


def values(
    function: Function, namespace: str, get: Get, environ: Mapping[str, str] = os.environ
) -> list[Object]:
    """The Secrets and ConfigMaps to apply: those that get a value, whole.

    Raises:
        UsageError: variables have a value neither there nor here.

    """
    sources = {name: each for name, each in function.env.items() if isinstance(each, EnvSource)}
    given = {name: environ[name] for name in sources if name in environ}
    present = {at: get(*at) or {} for at in sorted(map(_place, sources.values()), key=_order)}
    lacking = [
        name
        for name, each in sources.items()
        if name not in given and each.key not in _data(present[_place(each)])
    ]
    if lacking:
        raise _missing({name: sources[name] for name in lacking})
    wanted: dict[tuple[Kind, str], dict[str, str]] = {}
    for name, value in given.items():
        at = _place(sources[name])
        wanted.setdefault(at, {})[sources[name].key] = _kept(at[0], value)
    return [_manifest(at, namespace, {**_data(present[at]), **new}) for at, new in wanted.items()]


def _place(source: EnvSource) -> tuple[Kind, str]:
    if source.secret:
        return kinds.SECRET, source.secret
    return kinds.CONFIG_MAP, str(source.config_map)


def _order(at: tuple[Kind, str]) -> tuple[str, str]:
    return at[0].plural, at[1]


def _data(found: Object) -> dict[str, str]:
    return found.get("data") or {}


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
