"""How much a request weighs, and which requests may share a batch.

The default size is what a model pads: characters of a text, items of a list, rows of an array.
Where the cost of a batch does not depend on it, the batcher learns so, and it does no harm.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlfunc_runtime.methods import Hook

    # Arguments of predict in, size and key out: requests share a batch if their keys are equal.
    Weigh = Callable[[Mapping[str, Any]], tuple[float, object]]

_LEAST = 1e-3  # so that nothing is divided by 0
_PLAIN = frozenset((str, bytes, list))
_SEQUENCES = (str, bytes, bytearray, memoryview, list, tuple)


def weigher(names: tuple[str, ...], hook: Hook | None) -> Weigh:
    """How a predictor's requests are weighed; `names` are those of predict that a body fills."""
    if hook is None:
        return lambda arguments: _by_default(names, arguments)
    size = hook.call
    passed = dict(zip(hook.wants, _sources(names, hook.wants), strict=True))

    def weigh(arguments: Mapping[str, Any]) -> tuple[float, object]:
        found = size(**{name: arguments[source] for name, source in passed.items()})
        return _checked(found), _key(names, arguments)

    return weigh


def of(value: Any) -> float:
    """The default size of one value; 1 of what has no length."""
    if isinstance(value, dict):
        return sum(map(_length, value.values()))
    return _length(value)


def _length(value: Any) -> float:
    if isinstance(value, _SEQUENCES):
        return len(value)
    shape = _shape(value)
    return shape[0] if shape else 1


def _sources(names: tuple[str, ...], wants: tuple[str, ...]) -> tuple[str, ...]:
    """A lone parameter of `size` may have any name where predict has but one, too."""
    return names if len(names) == len(wants) == 1 else wants


def _by_default(names: tuple[str, ...], arguments: Mapping[str, Any]) -> tuple[float, object]:
    total = 0.0
    key: tuple[object, ...] = ()
    for name in names:
        value = arguments[name]
        if type(value) in _PLAIN:
            total += len(value)
        else:
            total += of(value)
            key += _array(value)
    return max(total, _LEAST), key


def _key(names: tuple[str, ...], arguments: Mapping[str, Any]) -> object:
    return tuple(part for name in names for part in _array(arguments[name]))


def _array(value: Any) -> tuple[object, ...]:
    """Arrays and tensors are stacked: of one type and rank. They are told by what they have, so
    that no library is imported for it, and as text, which compares without any code of theirs.
    """
    dtype = getattr(value, "dtype", None)
    return () if dtype is None else (str(dtype), len(_shape(value)))


def _shape(value: Any) -> tuple[Any, ...]:
    shape = getattr(value, "shape", None)
    return shape if isinstance(shape, tuple) else ()


def _checked(size: Any) -> float:
    try:
        number = float(size)
    except (TypeError, ValueError):
        number = math.nan
    if not (0 <= number < math.inf):
        message = f"size returned {size!r}, which is no number of 0 or more"
        raise ValueError(message)
    return max(number, _LEAST)
