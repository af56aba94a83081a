"""A picture's worth of floats, in and out, as arrays."""

import numpy as np


class Predictor:
    example = {"pixels": [1.0, 2.0]}

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        return pixels.astype(np.float32) * 2
