"""Scripts without a server, kept running: each line they read is a question, each they print the
answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lib import processes
from lib.servers import BENCH, SERVER_CORES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Script:
    """A running script of bench/bare. Its questions and answers are JSON."""

    def __init__(self, process: subprocess.Popen[str], began: float) -> None:
        self.process = process
        self.began = began

    @property
    def cpu(self) -> float:
        """CPU seconds so far."""
        return processes.cpu(self.process.pid)

    def ask(self, question: Any) -> Any:
        """Send a question, wait for the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> Any:
        """Wait for its next line.

        Raises:
            RuntimeError: it ended.

        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args!r} ended")
        return json.loads(line)


@contextmanager
def script(
    name: str,
    *arguments: str,
    cores: set[int] | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Script]:
    """Run a script of bench/bare until the block ends."""
    command = [sys.executable, str(BENCH / "bare" / name), *arguments]
    with processes.pinned(cores or SERVER_CORES):
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            env={**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1", **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    try:
        yield Script(process, began)
    finally:
        process.kill()
        process.communicate()
