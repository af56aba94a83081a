"""Which platform is meant: the one that is named, else the cluster there is, else this machine."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from mlfunc.cluster import access
from mlfunc.errors import UsageError
from mlfunc.platforms.platform import NAMES
from mlfunc.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlfunc.platforms.platform import Name, Platform

VARIABLE = "MLFUNC_PLATFORM"

# Imported when it is meant: neither needs the other's libraries.
_TABLE: Mapping[Name, str] = {
    "local": "mlfunc.platforms.local.platform",
    "knative": "mlfunc.platforms.knative.platform",
}


def meant(
    named: str | None = None,
    *,
    context: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Platform:
    """The platform that options and variables mean. Both have namespaces: one says nothing of it.

    Raises:
        UsageError: there is none of that name, or it knows no contexts.

    """
    name = _name(named, context, environ)
    if name == "local" and context:
        source = "--platform local" if named else f"{VARIABLE}=local"
        message = f"--context {context} is of a cluster, and {source} means this machine"
        raise UsageError(message, "leave one of them out; --platform knative means the cluster")
    return of(name)


def of(name: Name) -> Platform:
    """The platform that is called so."""
    platform: Platform = importlib.import_module(_TABLE[name]).PLATFORM
    return platform


def _name(named: str | None, context: str | None, environ: Mapping[str, str]) -> Name:
    if named:
        return _known(named, "--platform")
    if told := environ.get(VARIABLE):
        return _known(told, VARIABLE)
    return "knative" if context or access.is_configured() else "local"


def _known(name: str, source: str) -> Name:
    for each in NAMES:
        if each == name:
            return each
    message = f"there is no platform {name} ({source})"
    raise UsageError(message, did_you_mean(name, NAMES))
