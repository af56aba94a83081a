"""Threads of a real PyTorch are what this container's CPU quota leaves, not the host's cores."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from mlfunc_runtime import cpus

SIMILARITY = Path(__file__).parents[2] / "samples" / "similarity"
PREDICTOR = """
import os
import tokenizers
import torch

class P:
    def predict(self) -> dict[str, object]:
        return {"torch": torch.get_num_threads(), "rayon": os.environ["RAYON_NUM_THREADS"]}
"""


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions that other tests served in this very process have left their counts here."""
    for name in [name for name in os.environ if name.endswith("_NUM_THREADS")]:
        monkeypatch.delenv(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(SIMILARITY / "requirements.txt", tmp_path)
    (tmp_path / "mlfunc.yaml").write_text("name: threads\npredictor: predictor.py:P\n")
    (tmp_path / "predictor.py").write_text(PREDICTOR)
    return tmp_path


def test_torch_has_the_threads_of_the_quota(serve: Any, folder: Path) -> None:
    expected = cpus.limit_threads({}, cpus.available(), slots=1)
    assert expected < (os.cpu_count() or 0) or os.cpu_count() == 1
    with serve(folder) as function:
        assert function.post({}).json() == {"torch": expected, "rayon": str(expected)}


def test_a_count_that_the_user_sets_stays(serve: Any, folder: Path) -> None:
    cores = len(os.sched_getaffinity(0))  # MKL takes no more
    with serve(folder, OMP_NUM_THREADS="2", RAYON_NUM_THREADS="5") as function:
        assert function.post({}).json() == {"torch": min(2, cores), "rayon": "5"}
