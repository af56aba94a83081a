"""Which function is meant, and in which cluster and namespace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlfunc import function
from mlfunc.cluster import client
from mlfunc.errors import NotFound

if TYPE_CHECKING:
    from mlfunc.cluster.client import Cluster
    from mlfunc.function import Function


@dataclass(frozen=True)
class Where:
    """What the options say of it; what they leave out is the project's, or kubeconfig's."""

    folder: Path | None = None
    context: str | None = None
    namespace: str | None = None


@dataclass(frozen=True)
class Addressed:
    """A function by its name, in its cluster; `cluster.namespace` is where it is."""

    name: str
    cluster: Cluster


def find(name: str | None, where: Where) -> Addressed:
    """The function that is called so, else that of the project.

    A project's namespace counts for its own function only.

    Raises:
        NotFound: neither is there.
        UsageError: no such context, or no cluster is configured.

    """
    at = where.folder or Path()
    project = _project(at)
    own = project if project and name in (None, project.name) else None
    named = name or (own.name if own else None)
    if named is None:
        message = f"no function is named, and there is no {function.FILE} in {at.absolute()}"
        raise NotFound(
            message, "mlfunc list shows those there are; --path names a project's folder"
        )
    namespace = where.namespace or (own.namespace if own else None)
    return Addressed(named, client.connect(where.context, namespace))


def cluster_of(where: Where) -> Cluster:
    """The cluster and the namespace, for what is about no function in particular."""
    project = _project(where.folder or Path())
    namespace = where.namespace or (project.namespace if project else None)
    return client.connect(where.context, namespace)


def _project(folder: Path) -> Function | None:
    return function.load(folder) if (folder / function.FILE).is_file() else None
