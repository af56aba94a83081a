"""Handwritten digits, read by a small network in ONNX Runtime."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import onnxruntime
from msgspec import Meta

Ink = Annotated[float, Meta(ge=0, le=16)]
Row = Annotated[list[Ink], Meta(min_length=8, max_length=8)]
Image = Annotated[list[Row], Meta(min_length=8, max_length=8)]


@dataclass
class Answer:
    digit: int
    score: float


class Digits:
    """Read a digit out of 8 rows of 8 pixels, from 0 (paper) to 16 (ink)."""

    example = {
        "pixels": [
            [0, 0, 7, 15, 13, 1, 0, 0],
            [0, 8, 13, 6, 15, 4, 0, 0],
            [0, 2, 1, 13, 13, 0, 0, 0],
            [0, 0, 2, 15, 11, 1, 0, 0],
            [0, 0, 0, 1, 12, 12, 1, 0],
            [0, 0, 0, 0, 1, 10, 8, 0],
            [0, 0, 8, 4, 5, 14, 9, 0],
            [0, 0, 7, 13, 13, 9, 0, 0],
        ]
    }

    def load(self, context):
        options = onnxruntime.SessionOptions()
        # Its default is a thread for each core of the host, not of the container.
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
        device = "CUDA" if context.device == "cuda" else "CPU"
        self.session = onnxruntime.InferenceSession(
            context.model("default") / "model.onnx", options, [f"{device}ExecutionProvider"]
        )

    # A request has one image; with `serve.batch` it is a list of those that wait.
    def predict(self, pixels: list[Image]) -> list[Answer]:
        images = np.asarray(pixels, dtype=np.float32).reshape(-1, 64)
        [scores] = self.session.run(["probabilities"], {"pixels": images})
        return [Answer(int(row.argmax()), float(row.max())) for row in scores]
