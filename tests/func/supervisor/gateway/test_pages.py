"""Who may see the gateway's own pages."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc.supervisor import supervisor
from mlfunc.supervisor.gateway.fields import Refused
from mlfunc.supervisor.gateway.gateway import Gateway
from mlfunc.supervisor.gateway.pages import Own
from mlfunc.supervisor.gateway.parser import Incoming
from mlfunc.supervisor.http.messages import Reply

if TYPE_CHECKING:
    from mlfunc.supervisor.http.messages import Request


async def page(_: Request) -> Reply:
    return Reply(200)


@pytest.mark.parametrize(
    ("peer", "near", "served"),
    [
        ("127.0.0.1", True, True),
        ("::1", True, True),
        ("10.1.2.3", True, False),
        ("unknown", True, False),
        ("10.1.2.3", False, True),
    ],
)
def test_what_is_for_this_machine_is_refused_to_others(peer: str, near: bool, served: bool) -> None:
    connection: Any = SimpleNamespace(peer=peer.encode())
    incoming = Incoming({}, [])
    incoming.method, incoming.target = b"GET", b"/"

    with nullcontext() if served else pytest.raises(Refused, match="for this machine"):
        Own(page, near=near).serve(incoming, connection, b"id")


def test_the_dashboard_is_for_this_machine_and_the_broker_for_all() -> None:

    owned: dict[str, bool] = {}

    class Noting(Gateway):
        def own(self, prefix: str, handler: Any, *, near: bool = False) -> None:
            owned[prefix] = near

    async def told() -> None:
        supervisor._own_pages(Noting(), SimpleNamespace(handle=page), page)  # type: ignore[arg-type]

    asyncio.run(told())
    assert owned == {"/": True, "/-/dashboard/": True, "/-/broker/": False, "/-/health": False}
