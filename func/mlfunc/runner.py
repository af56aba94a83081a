"""One running `python -m mlfunc_runtime`: what starts it, what it says, how it ends.

What it says comes as `Said` in a queue, from threads: a record (a JSON line of the runtime), output
(what the predictor printed to standard error, untouched), and at last its exit.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any

from mlfunc import proc
from mlfunc.function import FILE, EnvSource, seconds
from mlfunc.models import places

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from queue import SimpleQueue

    from mlfunc.environment import Environment
    from mlfunc.function import Function

PORT_TAKEN = 98
_CHUNK = 65536
# Every line of the runtime begins so.
MARK = b'{"time":'
_GRACE_SECONDS = 5.0
# What a function writes faster than it is shown waits in its pipe, and then the function waits.
_UNSHOWN_AT_MOST = 1000
_SHOWING_SECONDS = 0.01
_LAST_WORDS_SECONDS = 2.0


@dataclass(frozen=True)
class Launch:
    """All that starting a function takes."""

    name: str
    folder: Path
    argv: tuple[str, ...]
    env: Mapping[str, str]
    drain: float
    # On a terminal, where the cursor is can be known only to who writes all that is there.
    shares_terminal: bool = False

    def on_port(self, port: int) -> Launch:
        """The same on a certain port."""
        return replace(self, env={**self.env, "PORT": str(port)})

    def told(self, variables: Mapping[str, str]) -> Launch:
        """The same with more variables; those that it has stay."""
        return replace(self, env={**variables, **self.env})


@dataclass(frozen=True)
class Record:
    """A line of the runtime."""

    fields: dict[str, Any]


@dataclass(frozen=True)
class Output:
    """What the predictor wrote itself."""

    data: bytes


@dataclass(frozen=True)
class Exited:
    """The process is gone; negative codes are signals."""

    code: int


Said = Record | Output | Exited


def launch(
    environment: Environment,
    folder: Path,
    function: Function,
    *,
    host: str,
    port: int,
    metrics_port: int,
    env: Mapping[str, str],
    shares_terminal: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Launch:
    """How the function of a project is started."""
    contract = {
        "MLFUNC_FUNCTION": str((folder / FILE).absolute()),
        "MLFUNC_HOST": host,
        "MLFUNC_METRICS_PORT": str(metrics_port),
        "PORT": str(port),
        # What the predictor prints shows when it prints it, in a pipe too.
        "PYTHONUNBUFFERED": "1",
    }
    activated = environment.variables(environ)
    return Launch(
        name=function.name,
        folder=folder,
        argv=(str(environment.python), "-m", "mlfunc_runtime"),
        env={**activated, **function.plain_env, **env, **contract},
        drain=seconds(function.serve.drain),
        shares_terminal=shares_terminal,
    )


def local_models(function: Function, launch: Launch) -> list[Path]:
    """Where the function looks for its models on this machine."""
    named = ((name, places.variable(name)) for name in function.models)
    given = {name: launch.env[variable] for name, variable in named if variable in launch.env}
    return [launch.folder / path for path in {**function.local_models, **given}.values()]


def missing_env(function: Function, env: Mapping[str, str]) -> list[str]:
    """The variables whose values only the cluster has, and that nobody gave here."""
    from_cluster = (key for key, value in function.env.items() if isinstance(value, EnvSource))
    return [key for key in from_cluster if key not in env]


class Runner:
    """A process that serves a function, and the threads that listen to it."""

    def __init__(self, plan: Launch, said: SimpleQueue[Any]) -> None:
        self._plan = plan
        self._said = said
        self._killer: threading.Timer | None = None
        self._process = proc.start(
            plan.argv, cwd=plan.folder, env=plan.env, both=plan.shares_terminal
        )
        self._stream = self._process.stdout if plan.shares_terminal else self._process.stderr
        self._reader = threading.Thread(target=self._read, name="function-output", daemon=True)
        self._reader.start()
        threading.Thread(target=self._wait, name="function-exit", daemon=True).start()

    def drain(self) -> None:
        """Ask it to finish what it has, and end it if that takes longer than it may."""
        if self._killer is not None:
            return
        proc.signal_process(self._process, signal.SIGTERM)
        patience = min(self._plan.drain + _GRACE_SECONDS, threading.TIMEOUT_MAX)
        self._killer = threading.Timer(patience, self.kill)
        self._killer.daemon = True
        self._killer.start()

    def kill(self) -> None:
        """End it and all that it started, now."""
        proc.signal_group(self._process, signal.SIGKILL)

    def _read(self) -> None:
        """Until nobody holds the pipe any more, which may be long after the function's own end."""
        with self._stream or contextlib.nullcontext():
            for said in messages(_chunks(self._stream)):
                while self._said.qsize() >= _UNSHOWN_AT_MOST:
                    time.sleep(_SHOWING_SECONDS)
                self._said.put(said)

    def _wait(self) -> None:
        code = self._process.wait()
        if self._killer is not None:
            self._killer.cancel()
        # A child that it left behind holds the pipe open. One that made itself a session of its own
        # stays, as it meant to: nobody waits for its end.
        self.kill()
        self._reader.join(_LAST_WORDS_SECONDS)
        self._said.put(Exited(code))


def messages(chunks: Iterable[bytes]) -> Iterator[Record | Output]:
    """Records and other output, told apart.

    A record may follow on a progress bar that has not ended its line. Text is handed on at once,
    with or without a line end, unless it may become a record.
    """
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield from _messages(line)
        start = _record_start(rest)
        if start:
            yield Output(rest[:start])
            rest = rest[start:]
    if rest:
        yield Output(rest)


def _messages(line: bytes) -> Iterator[Record | Output]:
    before, mark, after = line.partition(MARK)
    found = record(mark + after)
    if found is None:
        yield Output(line + b"\n")
        return
    if before:
        yield Output(before)
    yield found


def record(text: bytes) -> Record | None:
    """What a whole line of the runtime says; None: it is no such line."""
    if not text.startswith(MARK):
        return None
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return Record(fields) if "level" in fields and "message" in fields else None


def _record_start(text: bytes) -> int:
    """Where a record begins that is not whole yet, or may begin; the length where none does."""
    if (start := text.find(MARK)) >= 0:
        return start
    lengths = range(min(len(MARK), len(text)), 0, -1)
    held = next((n for n in lengths if text.endswith(MARK[:n])), 0)
    return len(text) - held


def _chunks(stream: IO[bytes] | None) -> Iterator[bytes]:
    while stream is not None and (chunk := os.read(stream.fileno(), _CHUNK)):
        yield chunk
