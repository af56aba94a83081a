"""As many files as there may be open: each connection is one, and each request has up to two."""

from __future__ import annotations

import resource

_WANTED = 65536


def allow_many() -> None:
    """Raise the bound on open files that shells set, often 1024, as far as that needs no rights."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED if hard == resource.RLIM_INFINITY else min(_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
