"""What a bench prints: what it ran on, a table, and each claim with what was measured."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lib.processes import Clock, adopt_orphans

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Until a server cannot follow, the schedule decides the throughput.
_FOLLOWS = 0.98
# Cores that others may use: a quarter of one is what it takes to see it in a latency.
_LOUD = 0.25
_TELLING = ("mlfunc-runtime", "gevent", "fastapi", "uvicorn", "litserve", "torch", "transformers")


@dataclass(frozen=True)
class Claim:
    """A promise, and what came of it. It decides nothing: machines differ and have other work."""

    text: str
    measured: str
    met: bool


def arguments(what: str | None, *, seconds: float, rounds: int) -> argparse.Namespace:
    """The options that every bench has."""
    parser = argparse.ArgumentParser(description=what)
    told = "length of a measuring window (default: %(default)s)"
    parser.add_argument("--seconds", type=float, default=seconds, help=told)
    told = "windows of each subject, taken in turn (default: %(default)s)"
    parser.add_argument("--rounds", type=int, default=rounds, help=told)
    return parser.parse_args()


def title(name: str, options: argparse.Namespace, **configuration: object) -> None:
    """The heading, with the exact configuration."""
    print(f"\n### {name}\n")
    machine = f"{os.cpu_count()} cores, {platform.release()}, Python {platform.python_version()}"
    print(f"- machine: {machine}, load {os.getloadavg()[0]:.1f} from before")
    print(f"- versions: {', '.join(_versions())}")
    window = {"window": f"{options.seconds:g} s"} if options.seconds else {}
    told = {**window, "rounds": options.rounds, **configuration}
    print(f"- {'; '.join(f'{key}: {value}' for key, value in told.items())}", flush=True)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table in Markdown; numbers to three significant digits."""
    cells = [list(head), *[[_cell(value) for value in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    rule = ["-" * width for width in widths]
    print()
    for row in [cells[0], rule, *cells[1:]]:
        print("| " + " | ".join(map(str.ljust, row, widths)) + " |")
    print(flush=True)


def claims(*every: Claim) -> None:
    """One line each."""
    for claim in every:
        print(f"- {'met' if claim.met else 'NOT MET'}: {claim.text}; measured {claim.measured}")
    print(flush=True)


def better(
    text: str, names: Sequence[str], ours: Sequence[float], peers: Sequence[Sequence[float]]
) -> Claim:
    """Ours over the best peer in each figure. The last is throughput, where more is better."""
    best = [*map(min, list(zip(*peers, strict=True))[:-1]), max(peer[-1] for peer in peers)]
    times = [mine / theirs for mine, theirs in zip(ours, best, strict=True)]
    told = ", ".join(f"{name} {n:.2f}" for name, n in zip(names, times, strict=True))
    return Claim(text, f"{told} times", max(times[:-1]) <= 1 and times[-1] >= _FOLLOWS)


def noise(kept: int, of: int) -> None:
    """Say how many rounds were believed."""
    warning = "" if kept * 2 >= of else ": NOISY, run it again on a quiet machine"
    print(f"- {kept} of {of} rounds were quiet, the others are left out{warning}", flush=True)


def main(bench: Callable[[], None]) -> None:
    """Run a bench and say how loud the machine was. What goes wrong is said, and is no failure of
    whoever runs all.
    """
    adopt_orphans()
    clock = Clock.now()
    try:
        bench()
    except (AssertionError, RuntimeError, OSError) as error:  # the first: the rig's of the tests
        print(f"- NOT MEASURED: {error}", flush=True)
    others = clock.others()
    warning = "" if others <= _LOUD else ": NOISY, run it again on a quiet machine"
    print(f"- others used {others:.2f} cores meanwhile{warning}", flush=True)


def _versions() -> list[str]:
    found = []
    for name in _TELLING:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    if value == float("inf"):
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
