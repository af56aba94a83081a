"""One `mlfunc run`, over a runtime that starts, crashes and ends as it is told."""

from __future__ import annotations

import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc import session
from mlfunc.errors import FunctionFailed, MlfuncError, UsageError
from mlfunc.proc import Cancellation, Cancelled
from mlfunc.runner import Launch
from mlfunc.session import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FAKE_RUNTIME = Path(__file__).with_name("fake_runtime.py")


class Witness:
    """Keeps what a session says; a step can be hung on each kind."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.errors: list[MlfuncError] = []
        self.ports: list[int] = []
        self.then: SimpleQueue[tuple[str, Callable[[], None]]] = SimpleQueue()
        self._next: tuple[str, Callable[[], None]] | None = None

    def on(self, what: str, step: Callable[[], None]) -> Witness:
        """When `what` is said (and all steps before this one are done), do that."""
        self.then.put((what, step))
        return self

    def _say(self, what: str) -> None:
        self.said.append(what)
        if self._next is None and not self.then.empty():
            self._next = self.then.get()
        if self._next is not None and self._next[0] == what:
            step, self._next = self._next[1], None
            step()

    def installing(self, text: str) -> None:
        self._say(text)

    def phase(self, name: str) -> None:
        self._say(name)

    def ready(self, port: int, startup: Mapping[str, float]) -> None:
        assert startup["total"] == 0.7
        self.ports.append(port)
        self._say("ready")

    def record(self, fields: Mapping[str, Any]) -> None:
        self._say(str(fields["message"]))

    def output(self, data: bytes) -> None:
        self._say(data.decode())

    def failed(self, error: MlfuncError) -> None:
        self.errors.append(error)
        self._say("failed")

    def changed(self, names: list[str]) -> None:
        self._say(f"changed {' '.join(names)}")

    def unwatched(self, reason: str) -> None:
        self._say(f"unwatched: {reason}")

    def stuck(self, *, restarts: bool) -> None:
        self._say(f"stuck {restarts}")

    def ending(self) -> None:
        self._say("ending")

    def cut_off(self, requests: int, hooks: int) -> None:
        self._say(f"cut off {requests} {hooks}")


def plan(folder: Path, fake: str = "", drain: float = 30.0) -> Plan:
    env = {**os.environ, "FAKE": fake, "PYTHONDONTWRITEBYTECODE": "1"}
    argv = (sys.executable, str(FAKE_RUNTIME))
    return Plan(Launch("greeter", folder, argv, env, drain), install=lambda *_: {})


def serve(
    project: Path, witness: Witness, *, fake: str = "", reload: bool = False, drain: float = 30.0
) -> None:
    serve_planned(lambda: plan(project, fake, drain), project, witness, reload=reload)


def serve_planned(
    prepare: Callable[[], Plan], project: Path, witness: Witness, *, reload: bool = True
) -> None:
    session.Session(prepare, witness, folder=project, reload=reload, port=0).serve()


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def terminate() -> None:
    signal.raise_signal(signal.SIGTERM)


def test_a_start_is_told_phase_by_phase_and_an_interrupt_drains(project: Path) -> None:
    witness = Witness().on("a line", interrupt)

    serve(project, witness)

    assert witness.said == [
        "importing",
        "loading",
        "progress 50%",
        "ready",
        "a line",
        "ending",
        "draining",
        "stopped",
    ]


def test_sigterm_drains_too(project: Path) -> None:
    witness = Witness().on("a line", terminate)

    serve(project, witness)

    assert witness.said[-1] == "stopped"


def test_a_second_interrupt_kills_what_does_not_drain_and_says_what_it_cut_off(
    project: Path,
) -> None:
    witness = Witness().on("a line", interrupt).on("draining", interrupt)

    with pytest.raises(KeyboardInterrupt):
        serve(project, witness, fake="deaf")

    assert witness.said[-2:] == ["draining", "cut off 2 1"]


def test_what_goes_wrong_while_it_drains_is_shown(project: Path) -> None:
    witness = Witness().on("a line", interrupt)

    serve(project, witness, fake="undone-unload")

    assert witness.said[-3:] == ["draining", "unload raised", "stopped"]


def test_what_drains_longer_than_it_may_is_killed_and_has_failed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlfunc.runner._GRACE_SECONDS", 0.1)
    witness = Witness().on("a line", interrupt)

    with pytest.raises(FunctionFailed, match="work undone"):
        serve(project, witness, fake="deaf", drain=0.1)

    assert witness.said[-1] == "draining"


def test_work_left_undone_is_a_failure_that_says_how_much(project: Path) -> None:
    with pytest.raises(FunctionFailed, match=r"with 2 hooks undone \(1 in the dead letters\)"):
        serve(project, Witness().on("a line", interrupt), fake="undone")


def test_a_function_that_is_stuck_is_told_and_goes_on_until_it_is_ended_or_changed(
    project: Path,
) -> None:
    witness = Witness().on("stuck False", interrupt)

    with pytest.raises(FunctionFailed, match="with 1 stuck call undone") as failed:
        serve(project, witness, fake="stuck")

    assert witness.said[-5:] == ["slot-0 is stuck", "stuck False", "ending", "draining", "stopped"]
    assert failed.value.hint == "the stack above says where"


def test_a_function_that_does_not_start_fails_with_the_user_s_traceback(project: Path) -> None:
    (project / "predictor.py").write_text("broken")

    with pytest.raises(FunctionFailed) as raised:
        serve(project, Witness())

    assert raised.value.message == "the function did not start: NameError: x"
    assert raised.value.evidence == "Traceback: predictor.py, line 1"


def test_a_process_that_the_system_kills_is_told_as_such(project: Path) -> None:
    with pytest.raises(FunctionFailed) as raised:
        serve(project, Witness(), fake="killed")

    assert raised.value.message == "the function's process was ended by SIGKILL"
    assert raised.value.hint == "out of memory?"


def test_a_process_that_somebody_ends_has_not_crashed(project: Path) -> None:
    with pytest.raises(FunctionFailed) as raised:
        serve(project, Witness(), fake="terminated")

    assert raised.value.message == "the function's process was ended by SIGTERM"
    assert raised.value.hint == ""


@pytest.mark.skipif(sys.platform != "linux", reason="only it lists children")
def test_the_function_ends_with_a_session_that_cannot_be_shown(project: Path) -> None:
    pids: list[int] = []
    before = children()

    def lose_the_terminal() -> None:
        pids.extend(children() - before)
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        serve(project, Witness().on("ready", lose_the_terminal))

    (child,) = pids
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def children() -> set[int]:
    """The processes that this one has started."""
    listed = Path("/proc/self/task", str(os.getpid()), "children").read_text()
    return set(map(int, listed.split()))


def test_where_changes_cannot_be_noticed_it_is_said_and_served_all_the_same(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "OS file watch limit reached")

    monkeypatch.setattr("watchfiles.watch", refuse)
    witness = Witness().on("a line", interrupt)

    serve(project, witness, reload=True)

    assert "unwatched: [Errno 28] OS file watch limit reached" in witness.said
    assert witness.said[-1] == "stopped"


def test_a_taken_port_ends_the_session_even_when_it_reloads(project: Path) -> None:
    with pytest.raises(MlfuncError, match="is taken") as raised:
        serve(project, Witness(), fake="port-taken", reload=True)

    assert raised.value.exit_code == 1
    assert "--port" in raised.value.hint


def test_a_changed_file_starts_the_function_again_on_the_same_port(project: Path) -> None:
    def change() -> None:
        (project / "predictor.py").write_text("# new\n")

    witness = Witness().on("a line", change).on("changed predictor.py", lambda: None)
    witness.on("a line", interrupt)

    serve(project, witness, reload=True)

    assert witness.said.count("ready") == 2
    assert witness.ports[0] == witness.ports[1] != 0


def test_broken_code_is_shown_and_the_next_change_is_waited_for(project: Path) -> None:
    def break_it() -> None:
        (project / "predictor.py").write_text("broken")

    def mend_it() -> None:
        (project / "predictor.py").write_text("# fine")

    witness = Witness().on("a line", break_it).on("failed", mend_it).on("a line", interrupt)

    serve(project, witness, reload=True)

    assert [error.message for error in witness.errors] == [
        "the function did not start: NameError: x"
    ]
    assert witness.said.count("ready") == 2


def test_an_interrupt_while_waiting_for_a_change_ends_the_session(project: Path) -> None:
    (project / "predictor.py").write_text("broken")
    witness = Witness().on("failed", interrupt)

    serve(project, witness, reload=True)

    assert witness.said[-1] == "failed"


def test_a_mistake_in_mlfunc_yaml_after_a_change_is_shown_and_waited_over(project: Path) -> None:
    wrong = threading.Event()

    def prepare() -> Plan:
        if wrong.is_set():
            raise UsageError("mlfunc.yaml:1: wrong")
        return plan(project)

    def spoil() -> None:
        wrong.set()
        (project / "mlfunc.yaml").write_text("nme: x")

    witness = Witness().on("a line", spoil).on("failed", interrupt)
    serve_planned(prepare, project, witness)

    assert witness.errors[0].message == "mlfunc.yaml:1: wrong"


def test_what_was_installed_says_where_it_is_unless_the_user_does(project: Path) -> None:
    told = {"TOLD": "by the installation", "FAKE": "broken by it"}
    witness = Witness().on("by the installation", interrupt)

    serve_planned(
        lambda: replace(plan(project, "tells"), install=lambda *_: told), project, witness
    )

    assert "by the installation" in witness.said


class Slow:
    """An installation that lasts until it is broken off, once it is told to be slow."""

    def __init__(self, project: Path, *, slow: bool) -> None:
        self.slow = slow
        self.project = project
        self.broken_off = 0

    def plan(self) -> Plan:
        return replace(plan(self.project), install=self.install)

    def install(self, report: Callable[[str], None], cancellation: Cancellation) -> dict[str, str]:
        if not self.slow:
            return {}
        report("downloading")
        try:
            cancellation.check(wait=30)
        except Cancelled:
            self.broken_off += 1
            raise
        pytest.fail("it went on")


@pytest.mark.parametrize("end", [interrupt, terminate])
def test_a_request_to_end_breaks_off_a_reinstall(project: Path, end: Callable[[], None]) -> None:
    slow = Slow(project, slow=False)

    def change() -> None:
        slow.slow = True
        (project / "requirements.txt").write_text("x")

    witness = Witness().on("a line", change).on("downloading", end)
    serve_planned(slow.plan, project, witness)

    assert slow.broken_off == 1
    assert witness.said[-1] == "ending"


def test_a_request_to_end_breaks_off_the_first_installation_as_an_interrupt(project: Path) -> None:
    slow = Slow(project, slow=True)

    with pytest.raises(KeyboardInterrupt):
        serve_planned(slow.plan, project, Witness().on("downloading", interrupt))

    assert slow.broken_off == 1


def test_a_change_breaks_off_an_installation_and_begins_the_next(project: Path) -> None:
    slow = Slow(project, slow=True)

    def mend() -> None:
        slow.slow = False
        (project / "requirements.txt").write_text("better")

    witness = Witness().on("downloading", mend).on("a line", interrupt)
    serve_planned(slow.plan, project, witness)

    assert slow.broken_off == 1
    assert "changed requirements.txt" in witness.said
    assert witness.said.count("ready") == 1


def test_a_model_that_comes_later_starts_a_failed_function_again(project: Path) -> None:
    weights = project / "weights"

    def bring() -> None:
        weights.mkdir()
        (weights / "model.bin").write_bytes(b"x")

    def prepare() -> Plan:
        return replace(plan(project, "needs-weights"), models=[weights])

    witness = Witness().on("failed", bring).on("changed model.bin", lambda: None)
    serve_planned(prepare, project, witness.on("a line", interrupt))

    assert witness.said.count("ready") == 1


def test_signals_are_as_before_when_a_session_has_ended(project: Path) -> None:
    before = signal.getsignal(signal.SIGINT)

    serve(project, Witness().on("a line", interrupt))

    assert signal.getsignal(signal.SIGINT) is before


def test_under_nohup_the_end_of_the_terminal_is_not_heeded(project: Path) -> None:
    def hang_up() -> None:
        signal.raise_signal(signal.SIGHUP)
        interrupt()

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        witness = Witness().on("a line", hang_up)
        serve(project, witness)
    finally:
        signal.signal(signal.SIGHUP, before)

    # A second signal that was heeded would have killed it.
    assert witness.said[-1] == "stopped"
