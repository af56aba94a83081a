"""`async def load` and `unload` in a predictor's process."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


def run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> None:
    """On a loop that goes on running: what `load` starts there lives on."""
    import asyncio

    asyncio.run_coroutine_threadsafe(coroutine, _loop()).result()


@functools.cache
def _loop() -> Any:
    import asyncio
    import threading

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="async", daemon=True).start()
    return loop
