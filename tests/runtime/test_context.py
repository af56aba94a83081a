"""What `load` gets."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from mlfunc_runtime.context import Context
from mlfunc_runtime.errors import StartupError
from mlfunc_runtime.settings import read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_without_serve_compile_a_module_is_itself_and_nothing_is_imported(
    write: Callable[..., Path],
) -> None:
    folder = write("class P: pass")
    module = object()
    context = Context(read({"MLFUNC_FUNCTION": str(folder / "mlfunc.yaml")}))
    assert context.compile(module, 1, name=2) is module
    assert "torch" not in sys.modules


def test_serve_compile_is_what_compile_goes_by(write: Callable[..., Path]) -> None:
    folder = write("class P: pass", serve={"compile": "trace"})
    context = Context(read({"MLFUNC_FUNCTION": str(folder / "mlfunc.yaml")}))
    with pytest.raises(StartupError, match=r"serve\.compile: trace .* PyTorch") as raised:
        context.compile(object())
    assert raised.value.hint == "add torch to requirements.txt, or remove serve.compile"
