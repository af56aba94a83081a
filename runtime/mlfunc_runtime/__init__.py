"""What runs in the container of an mlfunc function. A predictor needs none of these names; they are
there for when it wants more.

Problem   raise it to answer with a status of your choice
Reply     return it to choose status, headers and content type
Request   the type of the `request` that hooks get
Context   the type of the `context` that load gets
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlfunc_runtime.context import Context
    from mlfunc_runtime.errors import Problem
    from mlfunc_runtime.messages import Reply, Request

__all__ = ["Context", "Problem", "Reply", "Request", "__version__"]

__version__ = "0.1.0"

_HOMES = {"Context": "context", "Problem": "errors", "Reply": "messages", "Request": "messages"}


def __getattr__(name: str) -> Any:
    """Import on first use (PEP 562): `python -m mlfunc_runtime` runs this file before its first
    line can switch the collector off.
    """
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
