# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6"]
# ///
"""Makes model.json, which learns from customers.csv who leaves. Run: uv run train.py"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
FEATURES = ("months", "orders", "complaints")
STEPS = 25


def fit(inputs: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Newton's method; the little ridge keeps it stable. The last weight is the bias."""
    inputs = np.column_stack([inputs, np.ones(len(inputs))])
    weights = np.zeros(inputs.shape[1])
    ridge = 1e-3 * np.eye(len(weights))
    for _ in range(STEPS):
        risk = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (risk - left) + ridge @ weights
        curve = inputs.T @ (inputs * (risk * (1 - risk))[:, None]) + ridge
        weights -= np.linalg.solve(curve, slope)
    return weights


def main() -> None:
    with (HERE / "customers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    inputs = np.array([[float(row[name]) for name in FEATURES] for row in rows])
    left = np.array([float(row["left"]) for row in rows])
    *weights, bias = fit(inputs, left).tolist()
    right = ((inputs @ weights + bias > 0) == left).mean()
    model = {"features": FEATURES, "weights": weights, "bias": bias}
    (HERE / "model.json").write_text(json.dumps(model, indent=2) + "\n")
    print(f"{right:.0%} of {len(rows)} customers are told right")


if __name__ == "__main__":
    main()
