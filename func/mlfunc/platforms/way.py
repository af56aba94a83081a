"""How requests get to a function from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlfunc.client import Connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc.wire import Wire


@dataclass(frozen=True)
class Way:
    """To `url`; `host` goes with them where they are for another.

    `wire`, made with a time limit, carries them where that is no connection to the server of `url`.
    """

    url: str
    host: str | None = None
    wire: Callable[[float], Wire] | None = None

    def connect(self, timeout: float) -> Connection:
        """A connection that goes this way; `timeout`: seconds."""
        wire = self.wire(timeout) if self.wire else None
        return Connection(self.url, timeout, host=self.host, wire=wire)
