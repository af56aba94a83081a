"""Tensors of a real PyTorch: decoded, and sent to a predictor's process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SIMILARITY = Path(__file__).parents[2] / "samples" / "similarity"


def test_tensors_are_decoded_and_cross_as_they_are(passes: Any) -> None:
    passes(SIMILARITY, Path(__file__).with_name("tensors.py"))
