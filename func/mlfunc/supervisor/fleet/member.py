"""An instance: a process, after its end the next one, until it is told to go."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from mlfunc.knative import crashes, quantities
from mlfunc.runner import PORT_TAKEN
from mlfunc.supervisor.fleet import endings, liveness, memory, output, variables
from mlfunc.supervisor.fleet.patience import Backoff
from mlfunc.supervisor.fleet.process import Ears, Process
from mlfunc.supervisor.parts import Instance, InstancePhase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlfunc.supervisor.fleet.allocation import Allocation
    from mlfunc.supervisor.fleet.journal import Journal
    from mlfunc.supervisor.fleet.logs import Logs
    from mlfunc.supervisor.parts import Blueprint

_log = logging.getLogger(__name__)
# Those that the runtime tells of itself.
_TOLD = {*get_args(InstancePhase)} - {"pending", "starting", "backoff", "ended"}
# Beyond what it may take to drain.
_GRACE = 5.0


class Member:
    """One of a revision's. `tell` is called with each change; the last one is `ended`."""

    def __init__(
        self,
        blueprint: Blueprint,
        name: str,
        logs: Logs,
        allocation: Allocation,
        tell: Callable[[Instance], None],
        pause: Callable[[Backoff], float] = lambda backoff: backoff.pause,
    ) -> None:
        now = time.time()
        self.blueprint = blueprint
        self.leaves = False
        place = logs.place(blueprint.revision, name)
        self.instance = Instance(
            name, blueprint.revision, "starting", now, now, log=str(place.newer)
        )
        self._loop = asyncio.get_running_loop()
        self._logs = logs
        self._allocation = allocation
        self._tell = tell
        self._pause = pause
        self._backoff = Backoff()
        self._process: Process | None = None
        self._journal: Journal | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._hangs: asyncio.Task[None] | None = None
        self._grows: asyncio.Task[None] | None = None
        self._out_of_memory = False
        self._failure, self._said_why = "", False
        self._ready_at: float | None = None

    @property
    def waits(self) -> bool:
        """For accelerators."""
        return self.instance.phase == "pending"

    def start(self) -> None:
        """The next process, if there are the accelerators that it needs."""
        wanted = self.blueprint.accelerator, self.blueprint.devices
        taken = self._allocation.take(self.instance.name, *wanted)
        if taken is None:
            self._become("pending")
            return
        if self.waits:  # as a pod begins when it has a node
            self.instance = replace(self.instance, created=time.time())
        self._begin(taken)

    def _begin(self, taken: Sequence[str]) -> None:
        self._failure, self._said_why, self._out_of_memory = "", False, False
        self._ready_at = None
        self._journal = self._logs.begin(self.blueprint.revision, self.instance.name)
        try:
            self._process = self._started(taken)
        # Its folder is gone, there are too many processes; a variable has a zero byte.
        except (OSError, ValueError) as error:
            self._failure = _unstarted(self.blueprint.folder, error)
            self._ended(None)
            return
        self._after(self.blueprint.progress, self._give_up)
        self._bound(self._process.pid)
        self._become("starting", pid=self._process.pid, port=None, metrics_port=None, startup={})

    def leave(self) -> None:
        """Do what it has, and be no more."""
        if self.leaves:
            return
        self.leaves = True
        self._watch(None)
        if self._process is None:
            self._go()
            return
        self._drain(self._process)

    def _drain(self, process: Process) -> None:
        """A second signal would end it at once."""
        if self.instance.phase != "draining":
            process.ask_to_end()
        self._after(self.blueprint.drain + _GRACE, process.kill)
        self._become("draining")

    def _started(self, taken: Sequence[str]) -> Process:
        blueprint = self.blueprint
        ears = Ears(self._hear, self._ended)
        env = variables.of(blueprint, taken)
        return Process(blueprint.argv, Path(blueprint.folder), env, ears)

    def _hear(self, lines: Sequence[bytes]) -> None:
        if self._journal is not None:
            self._journal.write(lines)
        for told in filter(None, map(output.phase, lines)):
            self._told(told)

    def _told(self, told: Mapping[str, Any]) -> None:
        phase = told["phase"]
        if phase == "failed":
            said = (str(told.get(key) or "") for key in ("error", "traceback", "hint"))
            self._failure = "\n".join(part.rstrip() for part in said if part)
            self._said_why = True
        elif phase == "stuck" and self._process is not None and not self.leaves:
            self._heal(self._process, told)
        elif phase in _TOLD and not (self.leaves and phase != "draining"):
            self._reach(cast("InstancePhase", phase), told)

    def _heal(self, process: Process, told: Mapping[str, Any]) -> None:
        """It predicts no more: it does what is left, and is started again."""
        stack = str(told.get("traceback") or "")
        self._failure = f"{crashes.STUCK}\n{stack}".rstrip()
        _log.warning("%s: %s", self.instance.name, crashes.STUCK)
        self._watch(None)
        self._drain(process)

    def _reach(self, phase: InstancePhase, told: Mapping[str, Any]) -> None:
        changed: dict[str, Any] = {}
        if phase == "listening":
            changed = {"port": told.get("port"), "metrics_port": told.get("metrics_port") or None}
            self._watch(told.get("port"))
        if phase == "ready":
            self._ready_at = self._loop.time()
            self._after(None)
            changed = {"startup": told.get("startup") or {}}
        self._become(phase, **changed)

    def _watch(self, port: int | None) -> None:
        """Whether it hangs; None: that is nothing to it any more."""
        if self._hangs is not None:
            self._hangs.cancel()
        self._hangs = None if port is None else self._loop.create_task(self._ended_if_lost(port))

    async def _ended_if_lost(self, port: int) -> None:
        patience = max(liveness.PATIENCE, self.blueprint.timeout)
        await liveness.lost(port, patience)
        self._end(f"it did not answer for {patience:g} s, and was ended")

    def _bound(self, pid: int | None) -> None:
        """Whether it takes more memory than it may; None: there is no process any more."""
        if self._grows is not None:
            self._grows.cancel()
        self._grows = None
        if pid is not None and self.blueprint.memory < math.inf:
            self._grows = self._loop.create_task(self._ended_if_large(pid))

    async def _ended_if_large(self, pid: int) -> None:
        limit = self.blueprint.memory
        taken = await memory.exceeded(pid, limit)
        self._out_of_memory = True
        took, most = (quantities.shown("memory", each) for each in (taken, limit))
        self._end(f"it took {took} of memory, more than its limit of {most}, and was ended")

    def _give_up(self) -> None:
        waited, phase = f"{self.blueprint.progress:g} s", self.instance.phase
        self._end(f"it was not ready after {waited}, and was ended: it was {phase}")

    def _end(self, failure: str) -> None:
        self._failure = failure
        _log.warning("%s: %s", self.instance.name, failure)
        if self._process is not None:
            self._process.kill()

    def _ended(self, code: int | None) -> None:
        self._process = None
        self._watch(None)
        self._bound(None)
        self._close_journal(code)
        ended = {"pid": None, "port": None, "exit_code": code, "failure": self._failure}
        ended |= {"last_phase": self.instance.phase, "out_of_memory": self._out_of_memory}
        if self.leaves:
            self._go(**ended)
            return
        served = 0.0 if self._ready_at is None else self._loop.time() - self._ready_at
        # Somebody was faster to listen where its metrics should be: it is not to blame.
        unlucky = code == PORT_TAKEN != self.instance.exit_code
        self._backoff = self._backoff if unlucky else self._backoff.after(served)
        self._after(0.0 if unlucky else self._pause(self._backoff), self._again)
        self._become("backoff", metrics_port=None, **ended)

    def _close_journal(self, code: int | None) -> None:
        """What failed has said so itself."""
        if self._journal is None:
            return
        if code is not None and not (self.leaves or self._said_why):
            reason = self._failure.partition("\n")[0]
            self._journal.write([endings.line(code, reason, time.time())])
        self._journal.close()

    def _again(self) -> None:
        self.instance = replace(self.instance, restarts=self.instance.restarts + 1)
        self.start()

    def _go(self, **ended: Any) -> None:
        self._after(None)
        self._allocation.give_back(self.instance.name)
        self._logs.end(self.blueprint.revision, self.instance.name)
        self._become("ended", **ended)

    def _after(self, seconds: float | None, work: Callable[[], None] | None = None) -> None:
        """The one thing that is to come, if nothing else happens first."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, work) if seconds is not None and work else None

    def _become(self, phase: InstancePhase, **changed: Any) -> None:
        since = self.instance.since if phase == self.instance.phase else time.time()
        before = self.instance
        self.instance = replace(before, phase=phase, since=since, **changed)
        if self.instance != before or phase == "starting":
            self._tell(self.instance)


def _unstarted(folder: str, error: Exception) -> str:
    if not Path(folder).is_dir():
        return f"it cannot be started: {folder} is gone; mlfunc deploy makes it anew"
    reason = getattr(error, "strerror", None) or str(error)
    return f"it cannot be started: {reason.lower()}"
