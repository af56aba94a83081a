"""Loads until it is told to go on, so that a page can be looked at meanwhile."""

from __future__ import annotations

import os
import time
from pathlib import Path


class Slow:
    """Double a number."""

    example = {"number": 21}

    def load(self, context):
        go = Path(os.environ["BROWSER_SLOW_GO"])
        while not go.exists():
            time.sleep(0.02)

    def predict(self, number: int) -> int:
        return 2 * number
