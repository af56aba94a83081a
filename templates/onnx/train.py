# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "onnx==1.23.2", "scikit-learn==1.9.1"]
# ///
"""Makes weights/model.onnx, a network that learns scikit-learn's digits. Run: uv run train.py"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.parser import parse_graph
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

WEIGHTS = Path(__file__).with_name("weights")

# onnx 1.23 writes a newer format by default than most runtimes read.
IR_VERSION, OPSET = 10, 21

GRAPH = """
digits (float[N, 64] pixels) => (float[N, 10] probabilities) {
    hidden = Gemm(pixels, w0, b0)
    active = Relu(hidden)
    logits = Gemm(active, w1, b1)
    probabilities = Softmax<axis = 1>(logits)
}
"""


def train() -> MLPClassifier:
    pixels, digits = load_digits(return_X_y=True)
    seen, unseen, answers, truth = train_test_split(pixels, digits, test_size=0.2, random_state=0)
    network = MLPClassifier((32,), random_state=0, max_iter=1000).fit(seen, answers)
    print(f"{network.score(unseen, truth):.1%} of {len(truth)} digits it has not seen are right")
    return network


def export(network: MLPClassifier) -> onnx.ModelProto:
    layers = enumerate(zip(network.coefs_, network.intercepts_, strict=True))
    arrays = {f"{kind}{i}": a for i, layer in layers for kind, a in zip("wb", layer, strict=True)}
    graph = parse_graph(GRAPH)
    graph.initializer.extend(
        numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model


if __name__ == "__main__":
    WEIGHTS.mkdir(exist_ok=True)
    onnx.save(export(train()), WEIGHTS / "model.onnx")
