"""Two worlds in one process, told apart by the native thread that runs.

On the hub's thread everything that blocks is cooperative: `time.sleep`, locks and queues, sockets
and TLS, name resolution, `select`, joining threads, waiting for child processes. There requests and
hooks run, as greenlets. In every other thread everything is as Python ships it. There `load`,
`predict` and `unload` run, and whatever threads, pools, event loops and processes user code starts:
threads are native, also when a hook starts them. What both worlds share works across: a lock, a
queue, an event, a future, a socket may be made in one and used in the other. A forked child has no
hub: all of it is as Python ships it.

gevent's own `monkey.patch_all()` knows one world: in a native thread its primitives start a second
hub, lose wake-ups, and fail with "Cannot switch to a different thread".

What nothing here reaches holds up the hub while it blocks, and belongs in `predict`, or in an
`async def` hook: C code (sqlite3, psycopg2, mysqlclient; not psycopg 3, which asks gevent and waits
in Python then), `multiprocessing`'s own locks, queues and connections, reading a pipe of a child
process by hand, files.
"""

from __future__ import annotations

import os
from typing import Any


def patch() -> None:
    """Divide the process: the calling thread is the hub's from now on.

    It must come before all imports that take names from `threading`, `select` or `socket`.
    """
    from mlfunc_runtime.patching import hub, locks, polling, processes, sockets, threads

    hub.adopt()
    os.register_at_fork(after_in_child=hub.leave)
    os.register_at_fork(
        before=hub.hold_signals,
        after_in_parent=hub.release_signals,
        after_in_child=hub.own_signals,
    )
    for part in (locks, threads, polling, sockets, processes):
        part.patch()
    _tell_gevent()


def _tell_gevent() -> None:
    """gevent asks it for what Python shipped, and libraries ask it whether to wait in Python."""
    from gevent import monkey

    from mlfunc_runtime.patching.replacing import replaced

    saved: dict[str, dict[str, Any]] = vars(monkey)["saved"]
    for module, names in replaced.items():
        saved.setdefault(module, {}).update(names)
