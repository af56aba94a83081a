"""Words that several parts say the same way. Pure."""

from __future__ import annotations


def counted(requests: float) -> str:
    """So many requests: what is shown as 1 is one."""
    shown = f"{requests:g}"
    return f"{shown} request" + ("" if shown == "1" else "s")
