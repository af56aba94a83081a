"""Results of predictors as JSON: numpy and torch without a Python list, structs and dataclasses as
objects.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import orjson

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def encode(value: object) -> bytes:
    """`value` as JSON; NaN and infinities, which JSON does not have, as null.

    Raises:
        TypeError: something in it has no JSON form; the message names its type.

    """
    try:
        return orjson.dumps(value, default=_default, option=_OPTIONS)
    except orjson.JSONEncodeError:
        return _encode_slowly(value)


def _encode_slowly(value: object) -> bytes:
    """Arrays as lists: some kinds orjson takes for its own and then refuses."""
    try:
        return orjson.dumps(value, default=_default_slowly, option=orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError as error:
        raise TypeError(str(error.__cause__ or error)) from None


def _default(value: Any) -> object:
    """What orjson asks for each object it does not know."""
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch is not None and isinstance(value, torch.Tensor):
        return _tensor(value.detach().cpu())
    if numpy is not None and isinstance(value, numpy.ndarray):
        return _array(value)
    return _plain(value)


def _default_slowly(value: Any) -> object:
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
    if torch is not None and isinstance(value, torch.Tensor):
        return value.tolist()
    if numpy is not None and isinstance(value, numpy.ndarray):
        return value.tolist()
    if numpy is not None and isinstance(value, numpy.generic):
        return float(value) if isinstance(value, numpy.floating) else value.item()
    return _plain(value)


def _plain(value: Any) -> object:
    kind = type(value).__name__
    if isinstance(value, (bytes, bytearray, memoryview)):
        message = f"{kind} inside a JSON reply; return bytes alone, or encode them as text"
        raise TypeError(message)
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable) and not hasattr(value, "keys"):
        return list(value)
    return _builtins(value)


def _builtins(value: Any) -> object:
    try:
        return msgspec.to_builtins(value)
    except TypeError:
        known = "return dict, list, str, number, dataclass, array or bytes"
        message = f"{type(value).__name__} has no JSON form; {known}"
        raise TypeError(message) from None


def _tensor(tensor: Any) -> object:
    """Zero-copy for the types that numpy has; bfloat16 goes through float32."""
    torch = sys.modules["torch"]
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).contiguous().numpy()


def _array(array: Any) -> object:
    """Arrays that orjson hands back: non-contiguous ones, scalars, text and objects."""
    if array.ndim == 0 or array.dtype.kind not in "fiub":
        return array.tolist()
    return sys.modules["numpy"].ascontiguousarray(array)
