"""What the log of an instance says of an end that the instance could say nothing of. Pure."""

from __future__ import annotations

import datetime
import json
import signal


def line(code: int, failure: str, now: float) -> bytes:
    """As the runtime would write it: why it was ended, else how it has ended."""
    time = datetime.datetime.fromtimestamp(now, datetime.UTC).isoformat(timespec="milliseconds")
    told = {
        "time": time.replace("+00:00", "Z"),
        "level": "error",
        "logger": "mlfunc.supervisor",
        "message": f"{failure or ending(code)}; it is started again",
    }
    return json.dumps(told).encode()


def ending(code: int) -> str:
    """How a process has ended; a signal is negative."""
    if code >= 0:
        return f"it ended with exit code {code}"
    known = {each.value: each.name for each in signal.Signals}
    return f"it was ended by {known.get(-code, f'signal {-code}')}"
