"""A stream slow enough to be seen coming."""

from __future__ import annotations

import time
from collections.abc import Iterator


class Count:
    """Count up, a word at a time."""

    example = {"upto": 5}

    def predict(self, upto: int = 5, pause: float = 0.0, fail: bool = False) -> Iterator[str]:
        for number in range(upto):
            yield f"word{number} "
            time.sleep(pause)
        if fail:
            raise RuntimeError("broken on purpose")
