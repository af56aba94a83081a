"""One `mlfunc run`: start the function, watch its files, start it again, and end it when asked to.

Everything that happens comes through one queue and is handled in one place, in order: what the
function says, that a file changed, that the user wants to stop. Nothing here prints; a `View` is
told.
"""

from __future__ import annotations

import contextlib
import fnmatch
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from mlfunc.errors import FunctionFailed, MlfuncError
from mlfunc.runner import PORT_TAKEN, Exited, Output, Record, Runner, Said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

    from mlfunc.runner import Launch

# What is code or setting: a model, a database or a picture that the function writes is no reason.
_WATCHED = ("*.py", "*.toml", "mlfunc.yaml", "requirements*.txt")
_NOT_WATCHED = ("test_*.py", "conftest.py")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WORK_UNDONE = 3
_CRASHES = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE")


class View(Protocol):
    """Who is told what happens."""

    def phase(self, name: str) -> None:
        """The function goes through the next phase of its start, or of its end."""

    def ready(self, port: int, startup: Mapping[str, float]) -> None:
        """It serves."""

    def record(self, fields: Mapping[str, Any]) -> None:
        """It logged a line."""

    def output(self, data: bytes) -> None:
        """The predictor wrote something itself."""

    def failed(self, error: MlfuncError) -> None:
        """It does not serve; a change may mend it."""

    def changed(self, names: list[str]) -> None:
        """Files changed, and it is started again."""

    def unwatched(self, reason: str) -> None:
        """Changes are not noticed any more."""


@dataclass(frozen=True)
class Changed:
    """Files of the project were written."""

    names: list[str]


@dataclass(frozen=True)
class Unwatched:
    """The system does not tell of changes."""

    reason: str


@dataclass(frozen=True)
class Asked:
    """The user, or the system, asks us to end."""


class Session:
    """The function that is served now, if any, and what is to become of it."""

    def __init__(
        self, prepare: Callable[[], Launch], view: View, *, reload: bool, port: int
    ) -> None:
        self._prepare = prepare
        self._view = view
        self._reload = reload
        self._port = port
        self._happened: SimpleQueue[Said | Changed | Unwatched | Asked] = SimpleQueue()
        self._runner: Runner | None = None
        self._ending = False
        self._insisted = False
        self._restarting = False
        self._failure: FunctionFailed | None = None

    def serve(self) -> None:
        """Serve until asked to end.

        Raises:
            FunctionFailed: it did not start and no change is waited for, or it left work undone.
            MlfuncError: the port is taken.

        """
        plan = self._prepare()
        with _handled_by(self._asked), self._watching(plan.folder), self._nothing_left():
            self._start(plan)
            while self._goes_on():
                self._handle(self._happened.get())

    @contextlib.contextmanager
    def _nothing_left(self) -> Iterator[None]:
        """End the function in any case: whoever is told may break (its terminal is gone)."""
        try:
            yield
        finally:
            while self._runner is not None:
                self._runner.drain()
                match self._happened.get():
                    case Exited():
                        self._runner = None
                    case Asked():
                        self._runner.kill()
                    case _:
                        pass

    def _goes_on(self) -> bool:
        return self._runner is not None or not self._ending

    def _handle(self, happened: Said | Changed | Unwatched | Asked) -> None:
        match happened:
            case Record(fields):
                self._recorded(fields)
            case Output(data):
                self._view.output(data)
            case Exited(code):
                self._exited(code)
            case Changed(names):
                self._restart(names)
            case Unwatched(reason):
                self._reload = False
                self._view.unwatched(reason)
            case Asked():
                self._end()

    def _start(self, plan: Launch) -> None:
        self._failure = None
        self._runner = Runner(plan.on_port(self._port), self._happened)

    def _start_again(self) -> None:
        self._restarting = False
        try:
            # There is no process to drain yet, and an installation may take minutes: break it off.
            with _handled_by(signal.default_int_handler):
                plan = self._prepare()
        except KeyboardInterrupt:
            self._ending = True
        except MlfuncError as error:
            self._view.failed(error)
        else:
            self._start(plan)

    def _restart(self, names: list[str]) -> None:
        if self._ending or self._restarting:
            return
        self._view.changed(names)
        if self._runner is None:
            self._start_again()
        else:
            self._restarting = True
            self._runner.drain()

    def _end(self) -> None:
        if self._runner is not None and self._ending:
            self._insisted = True
            self._runner.kill()
        elif self._runner is not None:
            self._runner.drain()
        self._ending = True

    def _recorded(self, fields: Mapping[str, Any]) -> None:
        match fields:
            case {"phase": "listening", "port": int(port)}:
                # A port that was chosen for us is kept, so that the URL outlives a reload.
                self._port = port
            case {"phase": "ready"}:
                self._view.ready(self._port, fields.get("startup", {}))
            case {"phase": "failed"}:
                self._failure = _start_failure(fields)
            case {"phase": str(phase)}:
                self._view.phase(phase)
            case _:
                self._view.record(fields)

    def _exited(self, code: int) -> None:
        self._runner = None
        if self._ending:
            self._check_drain(code)
        elif self._restarting:
            self._start_again()
        elif code == PORT_TAKEN:
            message = f"port {self._port} is taken"
            raise MlfuncError(message, "choose another: --port 0 takes any that is free")
        else:
            self._failed(self._failure or _exit_failure(code))

    def _check_drain(self, code: int) -> None:
        if code == _WORK_UNDONE or (code == -signal.SIGKILL and not self._insisted):
            raise FunctionFailed("it ended with work undone", "give it longer: serve.drain")

    def _failed(self, error: FunctionFailed) -> None:
        if not self._reload:
            raise error
        self._view.failed(error)

    def _asked(self, _number: int, _frame: FrameType | None) -> None:
        # A handler runs between any two steps of ours: it may do no more than this.
        self._happened.put(Asked())

    @contextlib.contextmanager
    def _watching(self, folder: Path) -> Iterator[None]:
        if not self._reload:
            yield
            return
        stop = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(folder, stop), name="watch")
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()

    def _watch(self, folder: Path, stop: threading.Event) -> None:
        try:
            for names in _changes(folder, stop):
                self._happened.put(Changed(names))
        except (OSError, RuntimeError) as error:
            # Too many folders for inotify, a file system that cannot tell.
            self._happened.put(Unwatched(str(error)))


def _changes(folder: Path, stop: threading.Event) -> Iterator[list[str]]:
    """The names of files that changed, each time that some did."""
    import watchfiles

    of_interest = watchfiles.DefaultFilter()
    for changes in watchfiles.watch(
        folder,
        watch_filter=lambda change, path: is_watched(path) and of_interest(change, path),
        stop_event=stop,
        rust_timeout=200,
        raise_interrupt=False,
    ):
        yield sorted({Path(path).name for _, path in changes})


def is_watched(path: str) -> bool:
    """Whether a change of this file is a reason to start again."""
    name = Path(path).name
    return _matches(name, _WATCHED) and not _matches(name, _NOT_WATCHED)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _start_failure(fields: Mapping[str, Any]) -> FunctionFailed:
    message = f"the function did not start: {fields.get('error') or fields.get('message')}"
    hint = str(fields.get("hint") or "")
    return FunctionFailed(message, hint, evidence=str(fields.get("traceback") or ""))


def _exit_failure(code: int) -> FunctionFailed:
    if code >= 0:
        return FunctionFailed(f"the function's process ended by itself, with code {code}")
    name = signal.Signals(-code).name
    hint = "out of memory?" if name == "SIGKILL" else ""
    if name in _CRASHES:
        hint = "native code crashed: look at what it calls"
    return FunctionFailed(f"the function's process was ended by {name}", hint)


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have a handler called for the signals that end a program, until the block ends."""
    heeded = [each for each in _SIGNALS if not _is_muted(each)]
    before = {each: signal.signal(each, handler) for each in heeded}
    try:
        yield
    finally:
        for each, handler_before in before.items():
            signal.signal(each, handler_before)


def _is_muted(number: signal.Signals) -> bool:
    """Under nohup the end of the terminal is not to end us."""
    return number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN
