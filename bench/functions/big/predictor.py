"""A model of 500 MB: a square matrix of float32. 16 predictions at once share it."""

import numpy as np

SIDE = 11_180


class Predictor:
    example = {"seed": 0}

    def load(self):
        self.weights = np.ones((SIDE, SIDE), dtype=np.float32)

    def predict(self, seed: int) -> float:
        x = np.full(SIDE, 1 / (seed + 1), dtype=np.float32)
        return float((self.weights @ x).sum())
