"""Back from zero on the local platform: a request that finds no instance, beside the same process
started by hand, until it answers. And what a supervisor takes that has nothing to do.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib import ask, processes, report, stats
from lib.report import Claim
from lib.servers import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MLFUNC = REPOSITORY / ".venv" / "bin" / "mlfunc"
TEMPLATE = REPOSITORY / "templates" / "plain"
NAMES = ("one", "two", "three")
ZERO, HAND = "request to zero", "started by hand"
QUESTION = {"text": "What a happy dog, I love it!"}
PATIENCE = 60.0
MEGABYTE = 1 << 20
SCALE = "scale: {max: 1, window: 6s}\n"


@dataclass(frozen=True)
class Process:
    """How an instance is started, as the kernel knows it of one that runs."""

    argv: list[str]
    folder: str
    env: dict[str, str]

    @classmethod
    def of(cls, pid: int) -> Process:
        proc = Path("/proc", str(pid))
        words = (proc / "cmdline").read_text().rstrip("\0").split("\0")
        pairs = (proc / "environ").read_text().rstrip("\0").split("\0")
        return cls(words, str((proc / "cwd").readlink()), dict(_pair(each) for each in pairs))


@dataclass(frozen=True)
class Start:
    """Seconds to the first answer, and CPU seconds of all that was done for it."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Platform:
    """A supervisor of this bench's own."""

    pid: int
    port: int

    def instances(self) -> dict[str, int]:
        """The process of each function that has one."""
        found: dict[str, int] = {}
        for stat in processes.tree(self.pid):
            if stat.pid != self.pid and (name := _service(stat.pid)):
                found.setdefault(name, stat.pid)
        return found


def main() -> None:
    options = report.arguments(__doc__, seconds=30, rounds=20)
    report.title("localstart", options, functions=len(NAMES), template="plain", bytecode="compiled")
    with tempfile.TemporaryDirectory() as folder, platform(Path(folder)) as running:
        started = {name: Process.of(pid) for name, pid in running.instances().items()}
        cpu: dict[str, list[float]] = {ZERO: [], HAND: []}
        rounds = [
            one_round(running, NAMES[number % len(NAMES)], started, order, cpu)
            for number, order in enumerate(stats.interleaved([ZERO, HAND], options.rounds))
        ]
        idle = at_rest(running, options.seconds)
    kept = stats.quiet(rounds)
    report.noise(len(kept), len(rounds))
    show(kept, {name: statistics.fmean(every) for name, every in cpu.items()}, *idle)


@contextmanager
def platform(folder: Path) -> Iterator[Platform]:
    """With each function deployed; environments are those that this user has."""
    env = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "MLFUNC_PLATFORM": "local"}
    env.pop("MLFUNC_HOME", None)
    command(env, "platform", "start", "--port", "0")
    try:
        for name in NAMES:
            command(env, "deploy", "--path", str(project(folder / name)))
        told = json.loads(command(env, "platform", "status", "-o", "json"))
        yield Platform(told["pid"], int(told["gateway"].rpartition(":")[2]))
    finally:
        command(env, "platform", "stop")


def command(env: Mapping[str, str], *arguments: str) -> str:
    return subprocess.run(
        [MLFUNC, *arguments], env=env, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def project(folder: Path) -> Path:
    shutil.copytree(TEMPLATE, folder)
    named = (
        (folder / "mlfunc.yaml").read_text().replace("name: my-function", f"name: {folder.name}")
    )
    (folder / "mlfunc.yaml").write_text(named + SCALE)
    return folder


def one_round(
    running: Platform,
    name: str,
    started: Mapping[str, Process],
    order: list[str],
    cpu: Mapping[str, list[float]],
) -> stats.Round:
    """Both are alone: nothing of the other runs."""
    spins, values = [], {}
    for subject in order:
        wait_for_zero(running, (name,))
        spins.append(stats.spin())
        start = request(running, name) if subject == ZERO else by_hand(started[name])
        values[subject] = start.wall
        cpu[subject].append(start.cpu)
    return stats.Round(values, statistics.fmean(spins))


def request(running: Platform, name: str) -> Start:
    """Its CPU is the supervisor's, and that of the instance."""
    before, began = processes.cpu(running.pid), time.perf_counter()
    check(*ask.post(running.port, QUESTION, f"/{name}"))
    wall = time.perf_counter() - began
    return Start(wall, processes.cpu(running.pid) - before)


def by_hand(process: Process) -> Start:
    """Its log says when it is ready: to ask over and over would slow down what is measured."""
    began = time.perf_counter()
    with subprocess.Popen(
        process.argv,
        cwd=process.folder,
        env=process.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as it:
        try:
            check(*ask.post(ready_port(it), QUESTION))
            wall = time.perf_counter() - began
            return Start(wall, processes.cpu(it.pid))
        finally:
            it.terminate()
            it.communicate()


def ready_port(process: subprocess.Popen[bytes]) -> int:
    port = 0
    for line in process.stderr or ():
        said = json.loads(line) if line.startswith(b"{") else {}
        if said.get("phase") == "listening":
            port = said["port"]
        if said.get("phase") == "ready":
            return port
    raise RuntimeError("it ended before it was ready")


def check(status: int, body: bytes) -> None:
    if status != ask.OK or json.loads(body)["label"] != "positive":
        raise RuntimeError(f"answered {status}: {body[:200]!r}")


def wait_for_zero(running: Platform, names: tuple[str, ...] = NAMES) -> None:
    end = time.monotonic() + PATIENCE
    while left := running.instances().keys() & set(names):
        if time.monotonic() > end:
            raise RuntimeError(f"still instances of {', '.join(left)} after {PATIENCE:.0f} s")
        time.sleep(0.2)


def at_rest(running: Platform, seconds: float) -> tuple[float, float]:
    """CPU percent and bytes of a supervisor whose functions are all at zero."""
    wait_for_zero(running)
    before = processes.cpu(running.pid)
    time.sleep(seconds)
    percent = (processes.cpu(running.pid) - before) / seconds * 100
    return percent, processes.memory(running.pid)


def show(kept: list[stats.Round], cpu: Mapping[str, float], percent: float, memory: float) -> None:
    rows: list[list[Any]] = []
    for subject in (HAND, ZERO):
        walls = [each.values[subject] for each in kept]
        times = stats.ratio(kept, subject, HAND)
        rows.append(
            [subject, min(walls), statistics.median(walls), max(walls), times, cpu[subject]]
        )
    report.table(["start", "s min", "median", "max", "times by hand", "CPU s"], rows)
    more = statistics.median(each.values[ZERO] - each.values[HAND] for each in kept)
    megabytes = memory / MEGABYTE
    report.table(["three functions at zero", "CPU %", "MB"], [["supervisor", percent, megabytes]])
    report.claims(
        Claim("at most 100 ms more than by hand", f"{more * 1000:.0f} ms", more <= 0.1),
        Claim("<= 1 % CPU when idle", f"{percent:.2f} %", percent <= 1),
        Claim("<= 100 MB when idle", f"{megabytes:.0f} MB", megabytes <= 100),
    )


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _service(pid: int) -> str:
    """Empty: it is none of a function's, or has just ended."""
    try:
        return Process.of(pid).env.get("K_SERVICE", "")
    except OSError:
        return ""


if __name__ == "__main__":
    report.main(main)
