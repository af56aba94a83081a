"""`python -m mlfunc_runtime`: serve the function that the environment names.

The order matters. The garbage collector is off until the function is ready (its full collections
are a fifth of a start with transformers); the process is patched before anything imports sockets
or threads; thread counts are set before anything imports OpenMP.
"""

from __future__ import annotations

import gc

gc.disable()

from mlfunc_runtime.startup import Startup  # noqa: E402

_startup = Startup()

from mlfunc_runtime import patching  # noqa: E402

patching.patch()

import os  # noqa: E402
import sys  # noqa: E402

from mlfunc_runtime import cpus, importing, logs, memory, settings  # noqa: E402
from mlfunc_runtime.errors import StartupError  # noqa: E402

# The hub takes the GIL back from a Python-heavy predict several times a request. Measured beside
# one: health answers in 3 ms (p50) and 19 ms (p99), with Python's 5 ms in 10 and 31, and predict
# uses no more CPU; with 0.5 ms, 4 % more.
_SWITCH_INTERVAL = 0.001


def main() -> None:
    """Read the settings, serve, leave with the exit code."""
    logs.setup()
    sys.setswitchinterval(_SWITCH_INTERVAL)
    from mlfunc_runtime.server import Server
    from mlfunc_runtime.worker import exit_now

    try:
        told = settings.from_process()
        logs.set_level(told.log_level)
        # Progress bars of model libraries are no use in a log, and break its lines.
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        cpus.limit_threads(os.environ, cpus.available(told.cpus), told.slots)
        memory.share_heaps(os.environ, told.slots)
        importing.keep_tables(os.environ)
        code = Server(told, _startup).serve()
    except StartupError as error:
        code = logs.failed(error)
    exit_now(code)


if __name__ == "__main__":
    main()
