"""`context.compile`, on real modules."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

CHECKS = Path(__file__).with_name("compiled_modules.py")
SIMILARITY = Path(__file__).parents[2] / "samples" / "similarity"


def test_compiled_modules_answer_as_eager_ones(passes: Any) -> None:
    passes(SIMILARITY, CHECKS)


COMPILED = """
from predictor import Similarity

class Compiled(Similarity):
    def load(self, context):
        super().load(context)
        example = self.tokenizer(["a happy dog"], return_tensors="pt")
        self.model = context.compile(self.model, **example)
        assert type(self.model).__name__ == "Compiled"
"""


def test_a_function_with_a_traced_model_answers_as_one_without(serve: Any, tmp_path: Path) -> None:
    folder = tmp_path / "traced"
    shutil.copytree(SIMILARITY, folder)
    (folder / "compiled.py").write_text(COMPILED)
    document = (folder / "mlfunc.yaml").read_text()
    assert "predictor: predictor.py:Similarity" in document
    (folder / "mlfunc.yaml").write_text(
        document.replace("predictor.py:Similarity", "compiled.py:Compiled")
    )

    texts = [{"text": text} for text in ("a happy dog", "take an umbrella " * 20)]
    with serve(SIMILARITY) as eager:
        wanted = [eager.post(text).json() for text in texts]
    with serve(folder, MLFUNC_SERVE_COMPILE="trace") as traced:
        found = [traced.post(text).json() for text in texts]
    assert found == wanted
