"""The function that is meant by a name, a URL or a folder: one that runs here, or in a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlfunc import running
from mlfunc.errors import ClusterFailed, NotFound, UsageError

if TYPE_CHECKING:
    from mlfunc.errors import MlfuncError
    from mlfunc.platforms.knative.invoking import Reached


@dataclass(frozen=True)
class Asked:
    """What the options say of where it goes."""

    target: str | None
    folder: Path | None
    context: str | None
    namespace: str | None
    tag: str | None
    ingress: str | None

    @property
    def means_cluster(self) -> bool:
        """Whether one of them makes no sense for a function that runs here."""
        return any((self.context, self.namespace, self.tag, self.ingress))


@dataclass(frozen=True)
class Place:
    """Where it goes; `reached`: in a cluster."""

    url: str
    host: str | None = None
    reached: Reached | None = None

    @property
    def is_cold(self) -> bool:
        """Whether an instance has to start first."""
        return self.reached is not None and not self.reached.has_instance


def find(asked: Asked) -> Place:
    """A function that runs here comes first, save where a cluster is asked for.

    Raises:
        NotFound: there is none of that name, here or there.
        ClusterFailed: no way leads to it, or to its cluster.

    """
    if asked.means_cluster and not running.is_url(asked.target):
        return _in_cluster(asked)
    if asked.means_cluster:
        message = f"{asked.target} is a URL: it is not looked for in a cluster"
        raise UsageError(message, "leave out --context, --namespace, --tag and --ingress")
    folder = asked.folder or Path()
    try:
        return Place(running.resolve(asked.target, folder, named=asked.folder is not None))
    except running.NotRunning as not_here:
        if asked.target is None and not (folder / "mlfunc.yaml").is_file():
            raise
        return _else_in_cluster(asked, not_here)


def _else_in_cluster(asked: Asked, not_here: MlfuncError) -> Place:
    try:
        return _in_cluster(asked)
    except UsageError as none_configured:
        raise not_here from none_configured
    except (NotFound, ClusterFailed) as neither:
        raise type(neither)(f"{not_here.message}, and {neither.message}", neither.hint) from neither


def _in_cluster(asked: Asked) -> Place:
    from mlfunc.platforms.knative import addressing, invoking

    where = addressing.Where(asked.folder, asked.context, asked.namespace)
    addressed = addressing.find(asked.target, where)
    reached = invoking.reach(addressed, tag=asked.tag, ingress=asked.ingress)
    return Place(reached.url, reached.host, reached)
