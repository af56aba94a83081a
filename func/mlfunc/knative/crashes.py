"""Why a container ended: the runtime's last words, the kernel, or what started it.

One crash is enough: the runtime ends by itself only for what the next start would meet as well, and
Knative says nothing of it for ten minutes.
"""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlfunc import loglines
from mlfunc.knative import names
from mlfunc.knative.progress import PHASES, Failure, Progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlfunc.knative.progress import Phase

Object = dict[str, Any]

_NOT_STARTED = ("StartError", "ContainerCannotRun")
_FOR_GOOD = (
    "exec format error",
    "no such file or directory",
    "executable file not found",
    "permission denied",
    "runAsNonRoot",
)
_BUSY = 30.0
_AGAIN = 2  # starts after the first
_LINES = 20
_SIGNALLED = 128
STUCK = "each of its slots was stuck in a call that did not come back"


def crashed(pod: Object, container: Object, events: Sequence[Object]) -> Progress | None:
    """What a container that has ended shows; None if it has not. `events` are its pod's.

    Whether it is well again its pod says: a container without a probe is ready once it runs.
    """
    state, last = container.get("state", {}), container.get("lastState", {})
    ended = state.get("terminated") or last.get("terminated")
    if not ended or _is_ready(pod):
        return None
    log = ended.get("message", "")
    phase = furthest(log)
    failure = _failure(pod, ended, events, phase)
    if failure.pod is not None:
        again = "terminated" not in state
        failure = explained(replace(failure, previous=again), log)
    return Progress(phase, failure=failure)


def may_pass(container: Object) -> bool:
    """Whether a container that served has only crashed once: it comes again, and is no outage."""
    last = container.get("lastState", {}).get("terminated")
    ended = container.get("state", {}).get("terminated") or last
    if not ended or container.get("restartCount", 0) >= _AGAIN:
        return False
    return all(line.get("phase") != "failed" for line in _objects(ended.get("message", "")))


def explained(failure: Failure, log: str) -> Failure:
    """With the last words of a log, in which the runtime says what went wrong and where."""
    told = next((line for line in _objects(log) if line.get("phase") == "failed"), None)
    if told is None:
        return replace(failure, evidence=_shown(log) or failure.evidence)
    return replace(
        failure,
        message=f"the function does not start: {told.get('error') or told.get('message')}",
        hint=told.get("hint") or failure.hint,
        evidence=told.get("traceback") or "",
    )


def reason(ended: Object) -> str:
    """Why a container has ended that was started again, in a sentence."""
    if ended.get("reason") == "OOMKilled":
        return "it needed more memory than it may have"
    log = ended.get("message", "")
    told = next((line for line in _objects(log) if line.get("phase") == "failed"), {})
    return str(told.get("error") or (STUCK if _was_stuck(log) else _ending(ended["exitCode"])))


def furthest(log: str) -> Phase:
    """The phase of a start that a log tells as its last."""
    told = {line.get("phase") for line in _objects(log)}
    found: Sequence[Phase] = [phase for phase in PHASES if phase in told]
    return found[-1] if found else "starting"


def not_started(message: str) -> Failure:
    """Of a container that could not be made or run, in the words of what runs containers.

    A node that is busy says such things, too; then they pass.
    """
    hint = "mlfunc build makes images that start; is this another one?"
    if "exec format error" in message:
        hint = "it is for another architecture: `build.platform` in mlfunc.yaml"
    patience = 0.0 if any(words in message for words in _FOR_GOOD) else _BUSY
    return Failure(f"its container cannot be started: {message}", hint, patience=patience)


def last_line(log: str) -> str:
    """What the last line of a log says."""
    line = log.rstrip("\n").rpartition("\n")[2]
    return str((_parsed(line) or {"message": line})["message"])


def _failure(pod: Object, ended: Object, events: Sequence[Object], phase: Phase) -> Failure:
    name = pod["metadata"]["name"]
    if ended.get("reason") == "OOMKilled":
        return _out_of_memory(pod, phase)
    if ended.get("reason") in _NOT_STARTED:
        return not_started(ended.get("message", ""))
    if _was_stuck(ended.get("message", "")):
        hint = "its log has the stack; `serve.isolation: process` ends calls that take too long"
        return Failure(f"{STUCK}, and it was stopped", hint, pod=name)
    killed = [each for each in events if each["reason"] == "Killing"]
    if killed and "liveness" in killed[-1].get("message", ""):
        message = f"it answered no liveness probe while {phase}, and was stopped"
        hint = "code that holds the interpreter for so long: `serve.isolation: process`"
        return Failure(message, hint, pod=name)
    hint = "mlfunc run starts it in your terminal, and again whenever you change it"
    if ended["exitCode"] == _SIGNALLED + signal.SIGKILL:
        hint = "who kills is mostly the kernel, for want of memory: raise `resources.memory`"
    message = f"the function does not start: {_ending(ended['exitCode'])} while {phase}"
    return Failure(message, hint, pod=name)


def _is_ready(pod: Object) -> bool:
    told: Sequence[Object] = pod.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in told)


def _was_stuck(log: str) -> bool:
    """Of a log all that lasts is its end: the last line says so, too."""
    return any(line.get("phase") == "stopped" and line.get("stuck") for line in _objects(log))


def _out_of_memory(pod: Object, phase: Phase) -> Failure:
    own: Object = next(
        (each for each in pod["spec"]["containers"] if each["name"] == names.CONTAINER), {}
    )
    limit = own.get("resources", {}).get("limits", {}).get("memory")
    most = f"its limit of {limit}" if limit else "its node has"
    return Failure(
        f"it was killed while {phase}: it needs more memory than {most}",
        "raise `resources.memory`, or `resources.limits.memory`, in mlfunc.yaml",
    )


def _ending(code: int) -> str:
    """`it ended with exit code 3`, `it was ended by SIGSEGV`."""
    known = {_SIGNALLED + each.value: each.name for each in signal.Signals}
    return f"it was ended by {known[code]}" if code in known else f"it ended with exit code {code}"


def _objects(log: str) -> Iterator[Object]:
    """The lines of a log that the runtime wrote, the last first."""
    for line in reversed(log.splitlines()):
        told = _parsed(line)
        if told is not None:
            yield told


def _shown(log: str) -> str:
    """The last lines of a log, as people read them."""
    lines = (_parsed(line) or line for line in log.splitlines()[-_LINES:])
    return "\n".join(loglines.line(each) if isinstance(each, dict) else each for each in lines)


def _parsed(line: str) -> Object | None:
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return told if isinstance(told, dict) and "message" in told else None
