"""Which function is meant, on which platform and in which namespace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlfunc import function
from mlfunc.errors import NotFound
from mlfunc.platforms import choosing

if TYPE_CHECKING:
    from mlfunc.cluster.client import Cluster
    from mlfunc.function import Function
    from mlfunc.platforms.platform import Platform, Start


@dataclass(frozen=True)
class Where:
    """What the options say of it; what they leave out is the project's, or kubeconfig's."""

    folder: Path | None = None
    context: str | None = None
    namespace: str | None = None
    platform: str | None = None  # its name

    def chosen(self) -> Platform:
        """The platform that is meant.

        Raises:
            UsageError: what the options say does not go together.

        """
        return choosing.meant(self.platform, context=self.context)

    def connect(self, project: Function | None = None, *, start: Start = "if deployed") -> Cluster:
        """The way there; a project's namespace counts where no option names one.

        Raises:
            MlfuncError: none leads there.

        """
        namespace = self.namespace or (project.namespace if project else None)
        return self.chosen().connect(self.context, namespace, start=start)


@dataclass(frozen=True)
class Addressed:
    """A function by its name, where it is kept; `cluster.namespace` is where in it."""

    name: str
    cluster: Cluster


def find(name: str | None, where: Where) -> Addressed:
    """The function that is called so, else that of the project.

    A project's namespace counts for its own function only.

    Raises:
        NotFound: neither is there.
        UsageError: no such context, no such platform, or no cluster is configured.

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
    return Addressed(named, where.connect(own))


def cluster_of(where: Where, *, start: Start = "if deployed") -> Cluster:
    """The same for what is about no function in particular."""
    return where.connect(_project(where.folder or Path()), start=start)


def _project(folder: Path) -> Function | None:
    return function.load(folder) if (folder / function.FILE).is_file() else None
