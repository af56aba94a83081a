"""Whether a process still answers: one that hangs is started again, as a kubelet would do it."""

from __future__ import annotations

import asyncio
import contextlib
import math

# As `knative.container` has it of its probe: a prediction that holds the interpreter is late, not
# dead, until its time is over.
PATIENCE = 60.0
_PERIOD = 10.0
_TIMEOUT = 5.0
_ASKED = b"GET /health/liveness HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


async def lost(port: int, patience: float) -> None:
    """Until it has not answered for so long."""
    failures = 0
    while failures < math.ceil(patience / _PERIOD):
        await asyncio.sleep(_PERIOD)
        failures = 0 if await _answers(port) else failures + 1


async def _answers(port: int) -> bool:
    try:
        async with asyncio.timeout(_TIMEOUT):
            return await _asked(port)
    except (OSError, TimeoutError):
        return False


async def _asked(port: int) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(_ASKED)
        return (await reader.readline()).startswith(b"HTTP/1.1 2")
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
