"""How far a revision is, as data: what `knative.diagnosis` says, and the wait shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Sequence

# In the order in which a revision goes through them.
Phase = Literal[
    "creating", "scheduling", "pulling", "starting", "importing", "loading", "warming", "routing"
]
PHASES: tuple[Phase, ...] = get_args(Phase)


@dataclass(frozen=True)
class Snapshot:
    """What the cluster shows of a Service and its newest revision at one moment.

    `pods` and `events` are those of the revision, `older` the pods of the ones before it. `words`
    is the end of the log of its newest pod, while that starts. `size` is what a new node pulls, in
    bytes, or 0.
    """

    service: dict[str, Any]
    revision: dict[str, Any] | None = None
    pods: Sequence[dict[str, Any]] = ()
    older: Sequence[dict[str, Any]] = ()
    events: Sequence[dict[str, Any]] = ()
    words: str = ""
    nodes: Sequence[dict[str, Any]] | None = None  # None: they may not be looked at
    adds_nodes: bool = False  # something in the cluster makes nodes as they are needed
    size: int = 0


@dataclass(frozen=True)
class Failure:
    """What cannot get better: a sentence, the next step, and whose log proves it, if any.

    `patience`: seconds that it has to last, where it may have been a passing state.
    """

    message: str
    hint: str = ""
    evidence: str = ""
    pod: str | None = None  # whose log is evidence
    previous: bool = False  # the log of the container before this one
    patience: float = 0.0


@dataclass(frozen=True)
class Progress:
    """Where a revision is. `ready`: it is routed to, as the Service asks. Else it is waited for,
    unless there is a failure.
    """

    phase: Phase
    detail: str = ""
    ready: bool = False
    failure: Failure | None = None
