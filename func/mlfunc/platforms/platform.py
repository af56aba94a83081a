"""What differs between the places where functions run; all else is done by the objects there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, get_args

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlfunc.builder.assembly import Workshop
    from mlfunc.builder.building import Outcome as Built
    from mlfunc.builder.deciding import Request as Build
    from mlfunc.cluster.client import Cluster, Object
    from mlfunc.function import Function
    from mlfunc.knative.facts import Finding
    from mlfunc.knative.release import Model, Release
    from mlfunc.platforms.way import Way

Name = Literal["local", "knative"]
Start = Literal[
    "always",  # something is to run there
    "if deployed",  # what is there should run
    "never",  # for who only looks at what would be
]
NAMES: tuple[Name, ...] = get_args(Name)


@dataclass(frozen=True)
class Order:
    """A function that is to become a release: where, and as which options say."""

    function: Function
    build: Build
    cluster: Cluster
    dry_run: bool


class Platform(Protocol):
    """A place where functions run. It keeps objects, which `Cluster` gets and changes."""

    @property
    def name(self) -> Name:
        """As `--platform` takes it."""
        ...

    @property
    def title(self) -> str:
        """As sentences call it."""
        ...

    def is_there(self) -> bool:
        """Whether there can be functions: without asking it, or starting anything."""
        ...

    def is_running(self) -> bool:
        """Whether it can be asked without starting anything; not whether a cluster answers."""
        ...

    def connect(
        self, context: str | None, namespace: str | None, /, *, start: Start = "if deployed"
    ) -> Cluster:
        """A way to its objects; `start`: whether a platform that does not run is started for it.

        Raises:
            MlfuncError: none leads there.

        """
        ...

    def check(self, build: Build, /) -> None:
        """Refuse options of a build that mean nothing there.

        Raises:
            UsageError: there is one.

        """
        ...

    def inquire(
        self, cluster: Cluster, function: Function, build: Build, models: Sequence[Model] = (), /
    ) -> tuple[Finding, ...]:
        """Notes on a function that can run there.

        Raises:
            ClusterFailed: it cannot, for the reasons that stand in the message.

        """
        ...

    def release(self, order: Order, workshop: Workshop, /) -> tuple[Release, Built | None]:
        """Make of a project what can be started there; and what was built for it, if an image.

        Raises:
            MlfuncError: it cannot be made.

        """
        ...

    def way(self, cluster: Cluster, service: Object, url: str, ingress: str | None, /) -> Way:
        """How requests for a URL of a function get there from here.

        Raises:
            ClusterFailed: no way leads there.

        """
        ...
