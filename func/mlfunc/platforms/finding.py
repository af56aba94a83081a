"""What a name, a URL or a folder means: a function of `mlfunc run`, or a deployed one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlfunc import running
from mlfunc.errors import ClusterFailed, MlfuncError, NotFound, UsageError
from mlfunc.platforms.way import Way

if TYPE_CHECKING:
    from mlfunc.platforms.knative.addressing import Where
    from mlfunc.platforms.knative.invoking import Reached

_SHOWN = 5  # functions that a hint names


@dataclass(frozen=True)
class Asked:
    """What the options say of where it goes."""

    target: str | None
    folder: Path | None
    context: str | None
    namespace: str | None
    tag: str | None
    ingress: str | None
    platform: str | None = None

    @property
    def means_deployed(self) -> bool:
        """Whether one of them makes no sense for a function that `mlfunc run` serves."""
        return any((self.platform, self.context, self.namespace, self.tag, self.ingress))

    @property
    def where(self) -> Where:
        """The same, for one that is deployed."""
        from mlfunc.platforms.knative.addressing import Where

        return Where(self.folder, self.context, self.namespace, self.platform)


@dataclass(frozen=True)
class Place:
    """Where it goes; `reached`: where it is deployed."""

    way: Way
    reached: Reached | None = None

    @property
    def is_cold(self) -> bool:
        """Whether an instance has to start first."""
        return self.reached is not None and not self.reached.has_instance


def find(asked: Asked) -> Place:
    """A function of `mlfunc run` comes first, save where an option means a deployed one.

    Raises:
        NotFound: there is none of that name, here or there.
        ClusterFailed: no way leads to it, or to its cluster.

    """
    if asked.means_deployed and not running.is_url(asked.target):
        return _deployed(asked)
    if asked.means_deployed:
        message = f"{asked.target} is a URL: it is looked for on no platform"
        hint = "leave out --platform, --context, --namespace, --tag and --ingress"
        raise UsageError(message, hint)
    folder = asked.folder or Path()
    try:
        url = running.resolve(asked.target, folder, named=asked.folder is not None)
        return Place(Way(url))
    except running.NotRunning as not_here:
        if asked.target is None and not (folder / "mlfunc.yaml").is_file():
            raise _with_deployed(asked, not_here) from None
        return _else_deployed(asked, not_here)


def _with_deployed(asked: Asked, not_here: MlfuncError) -> MlfuncError:
    """Who has deployed something may mean that: its hint names what can be meant."""
    names = _deployed_names(asked.where)
    if not names:
        return not_here
    more = f" and {len(names) - _SHOWN} more (mlfunc list)" if len(names) > _SHOWN else ""
    there = f"deployed on {asked.where.chosen().title}: {', '.join(names[:_SHOWN])}{more}"
    return type(not_here)(not_here.message, f"mlfunc invoke NAME; {there}; or {not_here.hint}")


def _deployed_names(where: Where) -> list[str]:
    """Of the namespace that is meant; none where nothing can be asked: it is only a hint."""
    from mlfunc.cluster import kinds

    try:
        platform = where.chosen()
        if not platform.is_running():
            return []
        found = where.connect().list(kinds.SERVICE)
    except MlfuncError:
        return []
    return sorted(each["metadata"]["name"] for each in found)


def _else_deployed(asked: Asked, not_here: MlfuncError) -> Place:
    if not asked.where.chosen().is_there():
        raise not_here
    try:
        return _deployed(asked)
    except UsageError as none_chosen:  # of kubeconfig
        raise not_here from none_chosen
    except (NotFound, ClusterFailed) as neither:
        raise type(neither)(f"{not_here.message}, and {neither.message}", neither.hint) from neither


def _deployed(asked: Asked) -> Place:
    from mlfunc.platforms.knative import addressing, invoking

    addressed = addressing.find(asked.target, asked.where)
    platform = asked.where.chosen()
    try:
        reached = invoking.reach(addressed, platform, tag=asked.tag, ingress=asked.ingress)
    except NotFound as error:
        if platform.name == "local" or asked.tag or not _runs_locally(addressed.name):
            raise
        hint = f"the local platform has one: mlfunc invoke {addressed.name} --platform local"
        raise NotFound(error.message, hint) from error
    return Place(reached.way, reached)


def _runs_locally(name: str) -> bool:
    from mlfunc.cluster import kinds
    from mlfunc.platforms import choosing

    local = choosing.of("local")
    if not local.is_running():
        return False
    return local.connect(None, None).get(kinds.SERVICE, name) is not None
