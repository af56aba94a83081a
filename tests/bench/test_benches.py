from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
NAMES = sorted(path.stem for path in BENCH.glob("*.py") if path.stem != "run")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_all_benches_are_run_and_explained() -> None:
    known = re.search(
        r"^NAMES = (\(.*?\))", (BENCH / "run.py").read_text(), re.DOTALL | re.MULTILINE
    )

    assert known is not None
    assert sorted(ast.literal_eval(known[1])) == NAMES
    readme = (BENCH / "README.md").read_text()
    assert [name for name in NAMES if f"`{name}`" not in readme] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_bench_tells_what_it_does(name: str) -> None:
    said = run(str(BENCH / f"{name}.py"), "--help")

    assert said.returncode == 0, said.stderr
    assert "--seconds" in said.stdout


def test_an_unknown_bench_is_refused() -> None:
    said = run(str(BENCH / "run.py"), "hotpaths")

    assert said.returncode == 2
    assert "no bench is called hotpaths: there are hotpath" in said.stderr


def test_a_bench_serves_measures_and_compares() -> None:
    said = run(str(BENCH / "run.py"), "probes", "--seconds", "0.3", "--rounds", "1")

    assert said.returncode == 0
    assert "NOT MEASURED" not in said.stdout, said.stdout
    assert said.stderr == ""
    rows = [line.split("|")[1:-1] for line in said.stdout.splitlines() if line.startswith("| ")]
    assert [[cell.strip() for cell in row[:2]] for row in rows[2:]] == [
        ["thread", "released"],
        ["thread", "held"],
        ["process", "released"],
        ["process", "held"],
    ]
    claims = re.findall(
        r"^- (met|NOT MET): isolation .* p99 < 50 ms; measured", said.stdout, re.MULTILINE
    )
    assert len(claims) == 3
