"""What the parts of a supervisor ask of each other. All of it happens on one event loop's thread.

objects   what there shall be and what there is, as a cluster keeps it      state.objects
control   objects -> revisions, routes, scale; what came of it -> objects   control
fleet     the processes of each revision                                    fleet
gateway   requests -> a process that has room for them                      gateway
broker    events -> requests, until they are done or a dead letter          broker
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlfunc.function import AcceleratorType
    from mlfunc.supervisor.http.messages import Reply, Request

Object = dict[str, Any]

InstancePhase = Literal[
    "pending",  # it waits for accelerators that others have
    "starting",  # its process is being started
    "listening",
    "importing",
    "fetching",
    "loading",
    "warming",
    "ready",
    "draining",  # it was told to end
    "backoff",  # it has failed, and is started again later
    "ended",
]


class Key(NamedTuple):
    """Of a revision, or of a Service."""

    namespace: str
    name: str


@dataclass(frozen=True)
class Blueprint:
    """How the instances of a revision are started, and what they take."""

    revision: Key
    service: str
    argv: tuple[str, ...]
    folder: str  # where they start
    env: Mapping[str, str]
    concurrency: int  # requests in one at once; 0: no bound
    timeout: float  # seconds until a reply has begun: of the revision, as Knative counts it
    drain: float  # seconds until it is killed after SIGTERM
    progress: float  # seconds that a start may take
    memory: float = math.inf  # bytes that an instance may take
    accelerator: AcceleratorType = "cpu"
    devices: int = 0  # so many of that kind each instance has for itself


@dataclass(frozen=True)
class Instance:
    """A process of a revision as it is now; `name` is its pod's. Times: seconds since 1970."""

    name: str
    revision: Key
    phase: InstancePhase
    since: float  # of this phase
    created: float
    pid: int | None = None
    port: int | None = None
    metrics_port: int | None = None
    restarts: int = 0
    startup: Mapping[str, float] = field(default_factory=dict)  # of the runtime's `ready` line
    exit_code: int | None = None  # how it ended the last time; a signal is negative
    last_phase: InstancePhase = "starting"  # in which it ended
    out_of_memory: bool = False  # why it ended
    failure: str = ""  # what its `failed` line said: error and the user's traceback
    log: str = ""  # path of its log


class Fleet(Protocol):
    """The processes of all revisions."""

    def scale(self, blueprint: Blueprint, instances: int) -> None:
        """Have so many of a revision, from now on: those that fail are started again, later and
        later. Of those that are too many, the newest go first, and do to the end what they have.
        """
        ...

    def instances(self, revision: Key | None = None) -> Sequence[Instance]:
        """All that there are, or those of a revision, oldest first."""
        ...

    def listen(self, tell: Callable[[Instance], None]) -> None:
        """Have this called with each instance that has changed; one that has `ended` is gone."""
        ...

    async def close(self) -> None:
        """End all, as SIGTERM does: what they have is done first."""
        ...


@dataclass(frozen=True)
class Target:
    """A revision that gets so many of a hundred requests."""

    revision: Key
    percent: int


@dataclass(frozen=True)
class Route:
    """Who gets the requests of a Service; `tags`: those that are sent to one of them by name."""

    service: Key
    targets: tuple[Target, ...]
    tags: Mapping[str, Key] = field(default_factory=dict)


@dataclass(frozen=True)
class Load:
    """Of a revision, over the time since it was last asked; requests that wait are at once, too."""

    concurrency: float  # on average of that time
    requests: int  # that have come in it
    in_flight: int  # now, in instances
    waiting: int  # now, for one


class Gateway(Protocol):
    """What takes requests, holds them while there is no room, and hands them on."""

    def route(self, routes: Sequence[Route]) -> None:
        """All routes there are, from now on."""
        ...

    def serve(self, revision: Key, concurrency: int, timeout: float) -> None:
        """There is such a revision: requests to it wait until it has instances."""
        ...

    def forget(self, revision: Key) -> None:
        """There is none any more."""
        ...

    def join(self, revision: Key, instance: str, port: int) -> None:
        """An instance is ready, on a port of this machine."""
        ...

    def leave(self, revision: Key, instance: str) -> None:
        """It gets no more requests; those that it has go on."""
        ...

    def load(self, revision: Key) -> Load:
        """What came since this was last asked."""
        ...

    def wake(self, tell: Callable[[Key], None]) -> None:
        """Have this called, at once, when a request comes for a revision without instances."""
        ...

    async def send(self, service: Key, request: Request, timeout: float) -> Reply:
        """A request from within, such as an event: it waits, is counted and is routed like any.

        The reply's body is whole. A failure is a reply, too: 404, 502, 503, 504.
        """
        ...
