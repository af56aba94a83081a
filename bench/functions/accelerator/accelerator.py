"""A device that takes 8 ms and 4.7 ms for each item, as MiniLM does on one core, and no CPU."""

import threading
import time

_DEVICE = threading.Lock()


def run(items: list[int]) -> list[int]:
    with _DEVICE:
        time.sleep(0.008 + 0.0047 * len(items))
    return [item + 1 for item in items]
