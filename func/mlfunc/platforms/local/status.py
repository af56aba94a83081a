"""What there is of the local platform now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlfunc.cluster import kinds
from mlfunc.knative import overview
from mlfunc.platforms import choosing
from mlfunc.supervisor import home as homes

if TYPE_CHECKING:
    from mlfunc.supervisor.home import About, Home

_EVENTS = "/-/events"


@dataclass(frozen=True)
class Status:
    """A supervisor that runs, and what it runs."""

    about: About
    functions: int
    instances: int  # that serve
    events: int  # that wait for a delivery


def status(home: Home | None = None) -> Status | None:
    """As it is now; None: it does not run."""
    about = homes.found(home or homes.home())
    if about is None:
        return None
    cluster = choosing.of("local").connect(None, None)
    pods = cluster.list(kinds.POD, everywhere=True)
    return Status(
        about=about,
        functions=len(cluster.list(kinds.SERVICE, everywhere=True)),
        instances=len(overview.running(pods)),
        events=cluster.fetch(_EVENTS, {"waiting": "true"})["waiting"],
    )
