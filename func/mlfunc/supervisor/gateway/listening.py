"""The gateway's port: whose it is if it is taken, and its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mlfunc import ports

if TYPE_CHECKING:
    from collections.abc import Callable

_BACKLOG = 1024


async def listen(
    factory: Callable[[], asyncio.Protocol], host: str, port: int
) -> tuple[asyncio.Server, int]:
    """Accept connections; 0 stands for any free port. The port.

    Raises:
        MlfuncError: somebody else has it, or it cannot be had.

    """
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(factory, host, port, backlog=_BACKLOG)
    except OSError:
        ports.check(host, port)  # says who has it
        raise
    return server, server.sockets[0].getsockname()[1]
