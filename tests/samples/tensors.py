"""Checks of tensors that need PyTorch: run by test_tensors.py in a function's own environment."""

from __future__ import annotations

import _socket
import json
import os
from typing import Any

import msgspec
import pytest
import torch
from mlfunc_runtime import pieces, schema
from mlfunc_runtime.isolation.wire import Arena, Channel

NAMES = ["float32", "float64", "float16", "bfloat16", "int64", "int8", "bool", "complex64"]


@pytest.mark.parametrize("values", [[1.5, 2, 3], [1, 2, 3]])
def test_a_tensor_decoded_in_pieces_is_the_one_decoded_in_one_go(
    values: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "LARGE", 24)
    monkeypatch.setattr(pieces, "_PIECE", 6)
    kind: Any = msgspec.defstruct("Input", [("x", torch.Tensor)])
    whole = msgspec.json.Decoder(kind, dec_hook=schema.read_array).decode
    read = pieces.decoder(whole, kind, {"x": torch.Tensor})
    body = json.dumps({"x": [values * 20] * 2}).encode()
    assert torch.equal(read(body).x, torch.as_tensor([values * 20] * 2))
    assert read(body).x.dtype == whole(body).x.dtype


@pytest.mark.parametrize("shape", [(), (3,), (300, 200)])
@pytest.mark.parametrize("name", NAMES)
def test_a_tensor_crosses_to_another_process_as_it_is(name: str, shape: tuple[int, ...]) -> None:
    tensor = (torch.rand(shape) * 9).to(getattr(torch, name))
    crossed = cross(tensor)
    assert crossed.dtype == tensor.dtype
    assert torch.equal(crossed, tensor)


def test_a_tensor_that_is_a_view_or_learns_crosses_as_its_values() -> None:
    tensor = torch.rand(40, 30, requires_grad=True)
    assert torch.equal(cross(tensor.T), tensor.detach().T)


def cross(message: Any) -> Any:
    """Over a real socket, and files in memory that both ends have open."""
    near, far = (each.detach() for each in _socket.socketpair())
    files = [os.memfd_create("test") for _ in range(2)]
    here = Channel(near, Arena(files[0]), Arena(files[1]))
    there = Channel(far, Arena(os.dup(files[1])), Arena(os.dup(files[0])))
    try:
        here.send(message)
        return there.receive()
    finally:
        here.close()
        there.close()
