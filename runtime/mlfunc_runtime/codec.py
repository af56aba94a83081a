"""Results of predictors as JSON: numpy and torch without a Python list, structs and dataclasses as
objects.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import orjson

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def encode(value: object) -> bytes:
    """`value` as JSON.

    Raises:
        TypeError: something in it has no JSON form; the message names its type.

    """
    try:
        return orjson.dumps(value, default=_default, option=_OPTIONS)
    except orjson.JSONEncodeError as error:
        raise TypeError(_reason(error)) from error


def _default(value: Any) -> object:
    """What orjson asks for each object it does not know."""
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch is not None and isinstance(value, torch.Tensor):
        return _tensor(value.detach().cpu())
    if numpy is not None and isinstance(value, numpy.ndarray):
        return _array(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        kind = type(value).__name__
        message = f"{kind} inside a JSON reply; return bytes alone, or encode them as text"
        raise TypeError(message)
    return msgspec.to_builtins(value, builtin_types=(bytes,))


def _tensor(tensor: Any) -> object:
    """Zero-copy for the types that numpy has; bfloat16 goes through float32."""
    torch = sys.modules["torch"]
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).contiguous().numpy()


def _array(array: Any) -> object:
    """Arrays that orjson hands back: non-contiguous ones, scalars, text and objects."""
    if array.ndim == 0 or array.dtype.kind not in "fiub":
        return array.tolist()
    return sys.modules["numpy"].ascontiguousarray(array)


def _reason(error: orjson.JSONEncodeError) -> str:
    return str(error.__cause__ or error)
