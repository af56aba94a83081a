"""One `mlfunc run`: start the function, watch its files, start it again, and end it when asked to.

Everything that happens comes through one queue and is handled in one place, in order: what the
installer and the function say, that a file changed, that the user wants to stop. Nothing here
prints; a `View` is told.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from mlfunc import ports
from mlfunc.errors import FunctionFailed, MlfuncError
from mlfunc.proc import Cancellation
from mlfunc.runner import PORT_TAKEN, Exited, Output, Record, Runner, Said
from mlfunc.watch import Changed, Unwatched, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import FrameType

    from mlfunc.runner import Launch

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WORK_UNDONE = 3
_CRASHES = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE")
_LOUD = {"warning", "error", "critical"}


class View(Protocol):
    """Who is told what happens."""

    def installing(self, text: str) -> None:
        """What the function needs is being installed; the installer says so much."""

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

    def stuck(self, *, restarts: bool) -> None:
        """Its predictions do not come back; `restarts`: a change starts it again."""

    def ending(self) -> None:
        """The end was asked for; to ask again would not wait for what is in flight."""

    def cut_off(self, requests: int, hooks: int) -> None:
        """It was asked for again: this is what was in flight when the drain began."""


@dataclass(frozen=True)
class Plan:
    """What one start takes: what has to be there, what is started then, and its models.

    `install` gives the variables that say where something is now.
    """

    launch: Launch
    install: Callable[[Callable[[str], None], Cancellation], Mapping[str, str]]
    models: Sequence[Path] = ()


@dataclass(frozen=True)
class Installing:
    """The installer said something."""

    text: str


@dataclass(frozen=True)
class Installed:
    """The installation is over, and maybe failed, or was broken off."""

    error: Exception | None
    variables: Mapping[str, str]


@dataclass(frozen=True)
class Asked:
    """The user, or the system, asks us to end."""


Happened = Said | Installing | Installed | Changed | Unwatched | Asked


class Installation:
    """What has to be there before a start, made in a thread so that it can be broken off."""

    def __init__(self, plan: Plan, happened: SimpleQueue[Happened]) -> None:
        self.plan = plan
        self._happened = happened
        self._cancellation = Cancellation()
        threading.Thread(target=self._work, name="installation", daemon=True).start()

    def drain(self) -> None:
        """Break it off: half an environment is made anew."""
        self._cancellation.cancel()

    kill = drain

    def _work(self) -> None:
        error: Exception | None = None
        variables: Mapping[str, str] = {}
        try:
            variables = self.plan.install(self._say, self._cancellation)
        except Exception as raised:
            # Of whatever kind: it is raised, or shown, where all else is.
            error = raised
        self._happened.put(Installed(error, variables))

    def _say(self, text: str) -> None:
        self._happened.put(Installing(text))


class Session:
    """The function that is served now, if any, and what is to become of it."""

    def __init__(
        self, prepare: Callable[[], Plan], view: View, *, folder: Path, reload: bool, port: int
    ) -> None:
        self._prepare = prepare
        self._view = view
        self._reload = reload
        self._port = port
        self._happened: SimpleQueue[Happened] = SimpleQueue()
        self._watch = Watch(folder, self._happened.put)
        self._current: Installation | Runner | None = None
        self._started = False
        self._ending = False
        self._insisted = False
        self._restarting = False
        self._in_flight = (0, 0)
        self._undone = _undone({})
        self._failure: FunctionFailed | None = None

    def serve(self) -> None:
        """Serve until asked to end.

        Raises:
            FunctionFailed: it did not start and no change is waited for, or it left work undone.
            MlfuncError: what the first start needs cannot be had.
            KeyboardInterrupt: it was asked to end before it was started, or at once.

        """
        watching = self._watch if self._reload else contextlib.nullcontext()
        with _handled_by(self._asked), watching, self._nothing_left():
            self._prepared(self._prepare())
            while self._goes_on():
                self._handle(self._happened.get())

    @contextlib.contextmanager
    def _nothing_left(self) -> Iterator[None]:
        """End the function in any case: whoever is told may break (its terminal is gone)."""
        try:
            yield
        finally:
            while self._current is not None:
                self._current.drain()
                match self._happened.get():
                    case Exited() | Installed():
                        self._current = None
                    case Asked():
                        self._current.kill()
                    case _:
                        pass

    def _goes_on(self) -> bool:
        return self._current is not None or not self._ending

    def _handle(self, happened: Happened) -> None:
        match happened:
            case Record(fields):
                self._recorded(fields)
            case Output(data):
                self._view.output(data)
            case Exited(code):
                self._exited(code)
            case Installing(text):
                self._view.installing(text)
            case Installed(error, variables):
                self._installed(error, variables)
            case Changed(names):
                self._restart(names)
            case Unwatched(reason):
                self._reload = False
                self._view.unwatched(reason)
            case Asked():
                self._end()

    def _start_again(self) -> None:
        self._restarting = False
        try:
            plan = self._prepare()
        except MlfuncError as error:
            self._view.failed(error)
        else:
            self._prepared(plan)

    def _prepared(self, plan: Plan) -> None:
        self._watch.models(plan.models)
        self._current = Installation(plan, self._happened)

    def _installed(self, error: Exception | None, variables: Mapping[str, str]) -> None:
        assert isinstance(self._current, Installation)  # noqa: S101 - nothing else says so
        plan, self._current = self._current.plan, None
        if self._ending and not self._started:
            raise KeyboardInterrupt
        if self._ending:
            return
        if self._restarting:
            self._start_again()
        elif error is None:
            self._start(plan.launch.told(variables))
        elif isinstance(error, MlfuncError) and self._started:
            self._view.failed(error)
        else:
            raise error

    def _start(self, launch: Launch) -> None:
        self._started = True
        self._failure = None
        self._current = Runner(launch.on_port(self._port), self._happened)

    def _restart(self, names: list[str]) -> None:
        if self._ending or self._restarting:
            return
        self._view.changed(names)
        if self._current is None:
            self._start_again()
        else:
            self._restarting = True
            self._current.drain()

    def _end(self) -> None:
        if self._current is not None and self._ending:
            self._insisted = True
            self._current.kill()
        elif self._current is not None:
            self._view.ending()
            self._current.drain()
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
            case {"phase": "stuck"}:
                # Whoever wants to see where it hangs would not have it started again.
                self._view.record(fields)
                self._view.stuck(restarts=self._reload)
            case {"phase": str(phase)}:
                self._phase(phase, fields)
            case _:
                self._view.record(fields)

    def _phase(self, phase: str, fields: Mapping[str, Any]) -> None:
        if phase == "draining":
            self._in_flight = (fields.get("in_flight", 0), fields.get("hooks", 0))
        if phase == "stopped":
            self._undone = _undone(fields)
        if fields.get("level") in _LOUD:
            self._view.record(fields)
        self._view.phase(phase)

    def _exited(self, code: int) -> None:
        self._current = None
        if self._ending:
            self._check_drain(code)
        elif self._restarting:
            self._start_again()
        elif code == PORT_TAKEN:
            raise ports.taken(self._port)
        else:
            self._failed(self._failure or _exit_failure(code))

    def _check_drain(self, code: int) -> None:
        if self._insisted and code != 0:
            self._view.cut_off(*self._in_flight)
            raise KeyboardInterrupt
        if code in {_WORK_UNDONE, -signal.SIGKILL}:
            raise self._undone

    def _failed(self, error: FunctionFailed) -> None:
        if not self._reload:
            raise error
        self._view.failed(error)

    def _asked(self, _number: int, _frame: FrameType | None) -> None:
        # A handler runs between any two steps of ours: it may do no more than this.
        self._happened.put(Asked())


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


def _undone(stopped: Mapping[str, Any]) -> FunctionFailed:
    """What the last line of a function says that was accepted and not done."""
    counted = {"in_flight": "request", "hooks": "hook", "stuck": "stuck call"}
    counts = [(stopped.get(key, 0), what) for key, what in counted.items()]
    told = " and ".join(f"{n} {what}{'s' * (n != 1)}" for n, what in counts if n) or "work"
    letters = stopped.get("dead_lettered", 0)
    lettered = f" ({letters} in the dead letters)" if letters else ""
    hint = "the stack above says where" if stopped.get("stuck") else "give it longer: serve.drain"
    return FunctionFailed(f"it ended with {told} undone{lettered}", hint)
