"""The kind of an iris by the size of its leaves, with a scikit-learn pipeline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import skops.io


@dataclass
class Answer:
    kind: str
    score: float


class Iris:
    """Tell setosa, versicolor and virginica apart. All sizes are in centimetres."""

    example = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}

    def load(self, context):
        # Unlike pickle and joblib, skops runs no code from the file.
        self.pipeline = skops.io.load(context.model("default") / "pipeline.skops")

    # A request has one flower; with `serve.batch` each field is a list of those that wait.
    def predict(
        self,
        sepal_length: list[float],
        sepal_width: list[float],
        petal_length: list[float],
        petal_width: list[float],
    ) -> list[Answer]:
        flowers = np.column_stack([sepal_length, sepal_width, petal_length, petal_width])
        scores = self.pipeline.predict_proba(flowers)
        kinds = self.pipeline.classes_[scores.argmax(axis=1)]
        pairs = zip(kinds, scores.max(axis=1), strict=True)
        return [Answer(str(kind), float(score)) for kind, score in pairs]
