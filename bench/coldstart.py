"""From exec to the first good prediction: samples/similarity against scripts that do the same, and
the plain and onnx templates.
"""

from __future__ import annotations

import compileall
import json
import os
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from lib import ask, bare, report, servers, stats
from lib.report import Claim
from lib.servers import REPOSITORY

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Mapping
    from types import ModuleType

SAMPLE = REPOSITORY / "samples" / "similarity"
TEMPLATES = REPOSITORY / "templates"
TEXT = "a happy dog"
OURS, SAME, STOCK = "mlfunc, samples/similarity", "script, the same code", "script, stock code"
# As `mlfunc run` starts it, with a table of transformers kept from the start before.
KEPT = "mlfunc, similarity, table kept"
PLAIN, ONNX = "mlfunc, plain template", "mlfunc, onnx template"
ALL_CORES = os.sched_getaffinity(0)
# Scores differ in the last digit that is printed, where a sum is taken in another order.
TOLERANCE = 0.002
# What the templates are asked, and what has to be in the answer: a page without ink is no digit
# that anybody could name, but the network's answer has one.
ASKED: dict[str, tuple[Any, str, set[Any]]] = {
    PLAIN: ({"text": "What a happy dog, I love it!"}, "label", {"positive"}),
    ONNX: ({"pixels": [[0] * 8] * 8}, "digit", set(range(10))),
}


@dataclass(frozen=True)
class Start:
    """One start: seconds to the first answer, CPU seconds until then, phases from the log."""

    wall: float
    cpu: float
    phases: dict[str, float] = field(default_factory=dict)


def main() -> None:
    options = report.arguments(__doc__, seconds=0, rounds=7)
    report.title("cold start", options, cache="warm", bytecode="compiled", torch_threads=1)
    compile_all()
    sentences = yaml.safe_load((SAMPLE / "mlfunc.yaml").read_text())["config"]["sentences"]
    with tempfile.TemporaryDirectory() as tables:
        measure(subjects_for(sentences, tables), options)


def measure(subjects: dict[str, Callable[[], Start]], options: Namespace) -> None:
    for start in subjects.values():  # the page cache gets warm, and answers are compared
        start()
    starts: dict[str, list[Start]] = {name: [] for name in subjects}
    rounds = [
        one_round(subjects, order, starts)
        for order in stats.interleaved(list(subjects), options.rounds)
    ]
    kept = stats.quiet(rounds)
    report.noise(len(kept), len(rounds))
    show(kept, starts)


def compile_all() -> None:
    """A stale .pyc more than doubles a start: that is another claim's matter."""
    for folder in (SAMPLE, TEMPLATES, Path(_runtime().__file__ or "").parent):
        compileall.compile_dir(folder, quiet=2)


def _runtime() -> ModuleType:
    import mlfunc_runtime

    return mlfunc_runtime


def subjects_for(sentences: list[str], tables: str) -> dict[str, Callable[[], Start]]:
    arguments = (str(SAMPLE), json.dumps(sentences), TEXT)
    truth: list[Any] = []
    return {
        SAME: lambda: script("similarity.py", arguments, truth),
        OURS: lambda: sample(OURS, truth),
        KEPT: lambda: sample(KEPT, truth, {"MLFUNC_IMPORT_CACHE": tables}),
        STOCK: lambda: script("similarity_stock.py", arguments, truth),
        PLAIN: lambda: template("plain", PLAIN),
        ONNX: lambda: template("onnx", ONNX),
    }


def one_round(
    subjects: dict[str, Callable[[], Start]], order: list[str], starts: dict[str, list[Start]]
) -> stats.Round:
    spins, values = [], {}
    for name in order:
        spins.append(stats.spin())
        starts[name].append(subjects[name]())
        values[name] = starts[name][-1].wall
    return stats.Round(values, statistics.fmean(spins))


def script(name: str, arguments: tuple[str, ...], truth: list[Any]) -> Start:
    with bare.script(name, *arguments, cores=ALL_CORES, env=servers.ONE_THREAD) as running:
        answer = running.answer()
        start = Start(time.perf_counter() - running.began, running.cpu)
    check(name, answer, truth)
    return start


def sample(name: str, truth: list[Any], env: Mapping[str, str] | None = None) -> Start:
    start, answer = serve(SAMPLE, {"text": TEXT}, env)
    check(name, [[match["sentence"], match["score"]] for match in answer], truth)
    return start


def template(name: str, subject: str) -> Start:
    question, key, value = ASKED[subject]
    start, answer = serve(TEMPLATES / name, question)
    if answer[key] not in value:
        raise RuntimeError(f"{subject} answered {answer}")
    return start


def serve(folder: Path, question: Any, env: Mapping[str, str] | None = None) -> tuple[Start, Any]:
    """The log says when it is ready: to ask over and over would slow down what is measured."""
    server = servers.start_function(folder, {**servers.ONE_THREAD, **(env or {})}, cores=ALL_CORES)
    try:
        phases = server.phase("ready")["startup"]
        status, body = ask.post(server.port, question)
        start = Start(time.perf_counter() - server.began, server.cpu, phases)
    finally:
        server.end()
    if status != ask.OK:
        raise RuntimeError(f"{folder.name}: status {status}")
    return start, json.loads(body)


def check(name: str, answer: list[Any], truth: list[Any]) -> None:
    truth[:] = truth or answer
    wrong = [
        (mine, theirs)
        for mine, theirs in zip(answer, truth, strict=True)
        if mine[0] != theirs[0] or abs(mine[1] - theirs[1]) > TOLERANCE
    ]
    if wrong:
        raise RuntimeError(f"{name} answers {wrong[0][0]}, not {wrong[0][1]}")


def show(kept: list[stats.Round], starts: dict[str, list[Start]]) -> None:
    rows = []
    for name, every in starts.items():
        walls, cpus = [s.wall for s in every], [s.cpu for s in every]
        times = stats.ratio(kept, name, OURS)
        middle = statistics.median(each.values[name] for each in kept)
        rows.append(
            [name, min(walls), middle, max(walls), min(cpus), statistics.median(cpus), times]
        )
    head = ["what", "s min", "median", "max", "CPU s min", "median", "times ours"]
    report.table(head, rows)
    show_phases(starts)
    medians = stats.medians(kept)
    report.claims(
        *(beats(kept, starts, o, script) for o in (OURS, KEPT) for script in (SAME, STOCK)),
        below(medians[PLAIN], "plain template", 0.25),
        below(medians[ONNX], "onnx template", 0.6),
    )


def show_phases(starts: dict[str, list[Start]]) -> None:
    """Of the fastest start of each."""
    best = {
        name: min(every, key=lambda s: s.wall) for name, every in starts.items() if every[0].phases
    }
    names = list(best[OURS].phases)
    rows = [
        [name, *(start.phases[phase] for phase in names), start.wall - start.phases["total"]]
        for name, start in best.items()
    ]
    report.table(["seconds of the fastest", *names, "then to the answer"], rows)


def beats(kept: list[stats.Round], starts: dict[str, list[Start]], ours: str, other: str) -> Claim:
    wall = stats.ratio(kept, ours, other)
    least = min(s.wall for s in starts[ours]) / min(s.wall for s in starts[other])
    cpu = min(s.cpu for s in starts[ours]) / min(s.cpu for s in starts[other])
    told = f"{wall:.2f} (medians of rounds), {least:.2f} (fastest), CPU {cpu:.2f} (least)"
    return Claim(f"{ours} <= 0.85 of the {other}", told, wall <= 0.85)


def below(measured: float, what: str, limit: float) -> Claim:
    return Claim(
        f"{what}: first answer <= {limit * 1000:.0f} ms",
        f"{measured * 1000:.0f} ms",
        measured <= limit,
    )


if __name__ == "__main__":
    report.main(main)
