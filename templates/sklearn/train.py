# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "scikit-learn==1.9.1", "skops==0.16.0"]
# ///
"""Makes weights/pipeline.skops, which learns Fisher's irises. Run: uv run train.py"""

from __future__ import annotations

from pathlib import Path

import skops.io
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

WEIGHTS = Path(__file__).with_name("weights")


def train() -> Pipeline:
    iris = load_iris()
    kinds = iris.target_names[iris.target]
    seen, unseen, answers, truth = train_test_split(
        iris.data, kinds, test_size=0.2, random_state=0, stratify=kinds
    )
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(seen, answers)
    print(f"{pipeline.score(unseen, truth):.1%} of {len(truth)} flowers it has not seen are right")
    return pipeline


if __name__ == "__main__":
    WEIGHTS.mkdir(exist_ok=True)
    skops.io.dump(train(), WEIGHTS / "pipeline.skops")
