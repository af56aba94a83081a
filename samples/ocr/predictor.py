"""Reads the text in a picture: RapidOCR finds the lines and reads each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from mlfunc_runtime import Problem
from PIL import Image, ImageOps
from rapidocr import RapidOCR


@dataclass
class Line:
    text: str
    score: float
    box: list[list[float]]


class TextReader:
    """Read the lines in a picture; `box` has the corners of each, clockwise from the top left."""

    example = Path(__file__).with_name("sign.png")

    def load(self, context):
        # Its default is a thread for each core of the host, not of the container.
        threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
        settings = {"EngineConfig.onnxruntime.intra_op_num_threads": threads}
        self.engine = RapidOCR(params=settings | {"Global.log_level": "warning"})

    def predict(self, image: bytes) -> list[Line]:
        found = self.engine(read(image))
        if found.txts is None:
            return []
        lines = zip(found.txts, found.scores, found.boxes.tolist(), strict=True)
        return [Line(text, float(score), box) for text, score, box in lines]


def read(image: bytes) -> Image.Image:
    try:
        return ImageOps.exif_transpose(Image.open(BytesIO(image))).convert("RGB")
    except (OSError, Image.DecompressionBombError) as error:
        raise Problem(400, "the body is no picture; send PNG, JPEG, WebP, GIF or TIFF") from error
