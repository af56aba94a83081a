"""A process that keeps the runtime's side of the contract, and misbehaves as FAKE says.

It makes no prediction: the tests of a session need starts, crashes and slow ends, in milliseconds.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path


def write(text: str) -> None:
    """To standard error, at once."""
    sys.stderr.write(text)
    sys.stderr.flush()


def say(**fields: object) -> None:
    """A line of the runtime."""
    line = {"time": "2026-01-02T03:04:05.678+00:00", "level": "info", "logger": "mlfunc", **fields}
    write(json.dumps(line) + "\n")


def phase(name: str, **fields: object) -> None:
    """A line that tools read."""
    say(message=name, phase=name, **fields)


def main() -> int:
    """Start, serve until SIGTERM, drain."""
    fake = os.environ.get("FAKE", "")
    if fake == "port-taken":
        return 98
    listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
    phase("listening", port=listener.getsockname()[1], metrics_port=0)
    phase("importing")
    missing = fake == "needs-weights" and not Path("weights").exists()
    if missing or "broken" in Path("predictor.py").read_text():
        phase("failed", error="NameError: x", traceback="Traceback: predictor.py, line 1", hint="")
        return 1
    if fake in {"killed", "terminated"}:
        os.kill(os.getpid(), signal.SIGKILL if fake == "killed" else signal.SIGTERM)
    phase("loading")
    if fake != "deaf":
        signal.signal(signal.SIGTERM, lambda *_: drain(fake))
    else:
        signal.signal(signal.SIGTERM, lambda *_: phase("draining", in_flight=2, hooks=1))
    write("progress 50%")
    phase("ready", startup={"import": 0.2, "load": 0.5, "total": 0.7})
    said = os.environ["TOLD"] if fake == "tells" else "a line"
    say(message=said, level="warning", answer=42)
    if fake == "stuck":
        say(phase="stuck", level="error", message="slot-0 is stuck", traceback="Stack: x\n")
    while True:
        time.sleep(60)


def drain(fake: str) -> None:
    """End as the contract says."""
    phase("draining", in_flight=0, hooks=0)
    if fake == "undone-unload":
        say(message="unload raised", level="error", traceback="Traceback")
    undone = {"undone": {"hooks": 2, "dead_lettered": 1}, "stuck": {"stuck": 1}}.get(fake, {})
    phase("stopped", **{"in_flight": 0, "hooks": 0, **undone})
    sys.exit(3 if undone else 0)


if __name__ == "__main__":
    sys.exit(main())
