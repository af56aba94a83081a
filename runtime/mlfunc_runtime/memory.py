"""What threads keep of memory that they have given back.

glibc gives each thread a heap of its own (up to eight for each core), and what a prediction has
used stays in its thread's: with 16 slots a function of 560 MB grew by a fifth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_ARENA_MAX = -8  # M_ARENA_MAX of malloc.h, mallopt(3)
_ARENAS = 2  # the main thread's, and one for all slots


def share_heaps(environ: Mapping[str, str], slots: int) -> bool:
    """Have the slots' threads share a heap, and say whether they do; called before they start.

    With one slot there is nothing to share. MALLOC_ARENA_MAX wins, which glibc read at exec; other
    C libraries have one heap anyway.
    """
    if slots == 1 or "MALLOC_ARENA_MAX" in environ:
        return False
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_ARENA_MAX, _ARENAS))
