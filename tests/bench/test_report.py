from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from lib import report

Capture = pytest.CaptureFixture[str]

NAMES = ("p50", "throughput")


@pytest.mark.parametrize(
    ("ours", "met"),
    [((9.0, 100.0), True), ((9.0, 97.0), False), ((11.0, 120.0), False), ((10.0, 99.0), True)],
)
def test_better_is_less_of_each_and_as_much_throughput(
    ours: tuple[float, float], *, met: bool
) -> None:
    claim = report.better("better", NAMES, ours, [(10.0, 50.0), (20.0, 100.0)])

    assert claim.met is met


def test_each_figure_is_compared_with_the_best_peer_in_it() -> None:
    claim = report.better("better", NAMES, (5.0, 200.0), [(10.0, 50.0), (20.0, 100.0)])

    assert claim.measured == "p50 0.50, throughput 2.00 times"


def test_a_table_is_markdown_with_short_numbers(capsys: Capture) -> None:
    report.table(["what", "ms"], [["a", 1234.5], ["b", 0.012345], ["c", float("inf")], ["d", 12]])

    assert capsys.readouterr().out.split("\n")[1:-2] == [
        "| what | ms     |",
        "| ---- | ------ |",
        "| a    | 1234   |",
        "| b    | 0.0123 |",
        "| c    | -      |",
        "| d    | 12     |",
    ]


def test_a_claim_says_what_was_measured_and_whether_it_is_met(capsys: Capture) -> None:
    report.claims(report.Claim("<= 1 s", "2 s", met=False), report.Claim("one", "1", met=True))

    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["- NOT MET: <= 1 s; measured 2 s", "- met: one; measured 1"]


BROKEN = """
from lib import report

def broken():
    raise RuntimeError("no wrk here")

report.main(broken)
"""


def test_what_cannot_be_measured_is_said_and_no_failure() -> None:
    """In a process of its own, for a bench adopts what its processes leave behind."""
    bench = Path(report.__file__).parents[1]
    argv = [sys.executable, "-c", BROKEN]
    ended = subprocess.run(argv, cwd=bench, capture_output=True, text=True, check=True)

    assert ended.stdout.startswith("- NOT MEASURED: no wrk here\n- others used ")
