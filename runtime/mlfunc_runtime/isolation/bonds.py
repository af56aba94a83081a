"""What ties a predictor's process to its parent: it ends with it, and leaves signals to it."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def end_with(parent: int) -> None:
    """The kernel ends this process when the thread that started it ends, also while a prediction
    holds the GIL (prctl(2)).
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def leave_signals_to_parent() -> None:
    """Ctrl-C reaches the whole group, and the parent drains first. A handler that does nothing,
    unlike SIG_IGN, is not inherited by the programs that a predictor starts; its forks get the
    usual ones, before a signal can reach them.
    """
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def hold_back(how: int) -> None:
        signal.pthread_sigmask(how, usual)

    def fork() -> None:
        for number, handler in usual.items():
            signal.signal(number, handler)
        hold_back(signal.SIG_UNBLOCK)

    os.register_at_fork(
        before=lambda: hold_back(signal.SIG_BLOCK),
        after_in_parent=lambda: hold_back(signal.SIG_UNBLOCK),
        after_in_child=fork,
    )
    for number in usual:
        signal.signal(number, lambda *_: None)
