"""What `make sample` shows: a real model served, asked by a request and an event, and stopped."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SAMPLE = Path(__file__).with_name("similarity")
MLFUNC = (sys.executable, "-m", "mlfunc")
WIDTH = 100

REQUEST = ("--data", '{"text": "a happy dog"}')
EVENT = ("--event", "--type", "com.example.text", "--data", '{"text": "the price of money"}')


def main() -> int:
    with serving(SAMPLE) as (run, url):
        for arguments in (REQUEST, EVENT):
            say("mlfunc", "invoke", *arguments)
            show(invoke(url, arguments))
    return run.returncode


@contextmanager
def serving(sample: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = ("run", "--no-reload", "--port", "0", "--path", str(sample))
    say("mlfunc", "run", "--path", str(sample.relative_to(sample.parents[1])))
    with subprocess.Popen([*MLFUNC, *command], stdout=subprocess.PIPE, text=True) as run:
        try:
            yield run, wait_for_url(run)
        finally:
            # As Ctrl-C would: what is in flight is finished first.
            run.send_signal(signal.SIGINT)
            run.communicate()


def wait_for_url(run: subprocess.Popen[str]) -> str:
    """The first line of its output says where it serves; without one it has said why it cannot."""
    line = run.stdout.readline() if run.stdout else ""
    print(line, end="", flush=True)
    found = re.search(r"http://\S+", line)
    if found is None:
        raise SystemExit(run.wait())
    return found[0]


def invoke(url: str, arguments: tuple[str, ...]) -> dict[str, Any]:
    command = [*MLFUNC, "invoke", url, *arguments, "--output", "json"]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if finished.returncode != 0:
        raise SystemExit(finished.returncode)
    return json.loads(finished.stdout)


def show(reply: dict[str, Any]) -> None:
    for name, value in (reply["event"] or {}).items():
        print(f"  {name:<16}{value}")
    answer = json.dumps(reply["data"])
    print(f"  {answer}" if len(answer) < WIDTH else f"  {answer[:WIDTH]} ...")
    phases = (f"{name} {milliseconds:.1f}" for name, milliseconds in reply["timing"].items())
    print(f"  {', '.join(phases)}; {reply['seconds'] * 1000:.1f} ms in all", flush=True)


def say(*command: str) -> None:
    print(f"\n$ {shlex.join(command)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
