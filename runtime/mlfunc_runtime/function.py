"""A function from its start to its end: import, load, warm up, serve, drain, unload."""

from __future__ import annotations

import inspect
import logging
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from mlfunc_runtime import ending, loader, logs, stuck, warmup
from mlfunc_runtime.asyncloop import AsyncLoop
from mlfunc_runtime.backlog import Backlog
from mlfunc_runtime.context import Context
from mlfunc_runtime.deadletter import DeadLetters
from mlfunc_runtime.ending import Undone
from mlfunc_runtime.errors import Problem, StartupError, user_traceback
from mlfunc_runtime.executor import Mailbox, Result, Slot, call_in
from mlfunc_runtime.metrics import Metrics
from mlfunc_runtime.pipeline import Pipeline
from mlfunc_runtime.replies import problem
from mlfunc_runtime.startup import Startup
from mlfunc_runtime.stuck import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc_runtime.isolation.group import Group
    from mlfunc_runtime.loader import Predictor
    from mlfunc_runtime.messages import Reply, Request
    from mlfunc_runtime.methods import Hook
    from mlfunc_runtime.models import Place
    from mlfunc_runtime.settings import Settings

T = TypeVar("T")
State = Literal["starting", "ready", "restarting", "stuck", "draining", "stopped"]
_TOLD = 100  # request ids in a log line
# States in which nothing is predicted, and what callers hear.
_UNREADY = {
    "starting": "the model is not loaded yet",
    "stuck": "each slot is stuck in a call that does not come back",
    "stopped": "the function has stopped",
}


class Function:
    """One predictor and all that serves it. All methods run on the hub."""

    def __init__(
        self,
        settings: Settings,
        startup: Startup | None = None,
        after_import: Callable[[], object] = lambda: None,
        before_ready: Callable[[], object] = lambda: None,
    ) -> None:
        self.settings = settings
        self.startup = startup or Startup()
        self._after_import = after_import
        self._before_ready = before_ready
        self.metrics = Metrics()
        self.state: State = "starting"
        self.predictor: Predictor | None = None
        self._pipeline: Pipeline | None = None
        self._mailbox = Mailbox()
        self._async_loop = AsyncLoop(self._mailbox)
        self._slots = [Slot(f"slot-{number}") for number in range(settings.slots)]
        self.watch = Watch(partial(stuck.bounds, settings), self._stuck_changed)
        self._context = Context(settings)
        letters = DeadLetters(settings.dead_letter, settings.name, self.metrics)
        self.backlog = Backlog(self.metrics, letters, settings)
        self._processes: Group | None = None
        self._export()

    @property
    def in_flight(self) -> int:
        """Requests that have no complete reply yet."""
        return self._pipeline.in_flight if self._pipeline else 0

    def start(self) -> None:
        """Import, load and warm up; then requests are served.

        Raises:
            StartupError: something of the user's is missing, wrong or raised.

        """
        try:
            self._start()
        except BaseException:
            self.end_processes()
            raise

    def _start(self) -> None:
        self._isolate()
        fetched = self._fetch_models()
        logs.event(f"importing {self.settings.predictor}", phase="importing")
        cls = self._in_slot(loader.import_class, self.settings).get()
        self._after_import()
        self.startup.done("import")
        if fetched is not None:
            fetched.get()
            self.startup.done("fetch")
        logs.event(f"loading {cls.__name__}", phase="loading")
        predictor = self._in_slot(loader.describe, cls, self.settings).get()
        if self._processes is not None:
            predictor = self._processes.with_hints(predictor)
        self._load(predictor)
        self.startup.done("load")
        self._pipeline = self._make_pipeline(predictor)
        self._count_stages(self._pipeline)
        self._warm_up(self._pipeline)
        self.startup.done("warmup")
        self._ready()

    def _isolate(self) -> None:
        if self.settings.isolation == "process":
            self._processes = self._make_processes()
            self._processes.spawn()
        elif self.settings.process_memory is not None:
            told = "serve.process.memory bounds nothing: serve.isolation is thread"
            logs.event(told, level=logging.WARNING)

    def _fetch_models(self) -> Result[None] | None:
        """Begin to fetch those that are streamed: that waits, while the import computes."""
        streamed = [place for place in self.settings.models.values() if place.stream is not None]
        if not streamed:
            return None
        slot = Slot("weights")
        fetched = call_in(slot, self._mailbox, _fetch, streamed)
        slot.close()
        return fetched

    def handle(self, request: Request) -> Reply:
        """Answer a request, while draining too: a refused one would be lost to its caller.

        `sent` must be called when the reply is out.
        """
        state = "stuck" if self.watch.all else self.state
        if self._pipeline is None or state in _UNREADY:
            told = _UNREADY.get(state, _UNREADY["starting"])
            return problem(Problem(503, told, headers={"Retry-After": "1"}), request)
        return self._pipeline.handle(request)

    def sent(self, request: Request, reply: Reply) -> None:
        """The reply is out, or the caller is gone."""
        if self._pipeline is not None and request.entered:
            self._pipeline.sent(request, reply)

    def drain(self) -> None:
        """Be ready no more; what still comes is answered."""
        self.state = "draining"

    def stop(
        self, deadline: float, last_reply: Callable[[float], object] = lambda _: None
    ) -> Undone:
        """Answer what is here, run the hooks, unload, until `deadline` (time.monotonic); then say
        what was left undone. `last_reply` waits for the last one, so many seconds at most.
        """
        ending.finish(self._pipeline, self.backlog, last_reply, ending.last_orders(deadline))
        # In the same moment: a request that is accepted from here on would be lost.
        self.state = "stopped"
        in_flight, hooks, dead_lettered = ending.give_up(self._pipeline, self.backlog, deadline)
        unloaded = self.predictor is None or self._unload(self.predictor, deadline)
        if self._pipeline is not None:
            self._pipeline.close()
        self.end_processes()
        for slot in self._slots:
            slot.close()
        self._async_loop.close()
        self._mailbox.close()
        return Undone(in_flight, hooks, dead_lettered, unloaded, self.watch.count)

    def dropped(self) -> dict[str, Any]:
        """What is lost if the process ends now, with the first of the requests whose hooks are."""
        return {
            "in_flight": self.in_flight,
            "hooks": self.backlog.size,
            "dead_lettered": self.backlog.dead_lettered,
            "unloaded": False,
            "stuck": self.watch.count,
            "request_ids": self.backlog.request_ids[:_TOLD],
        }

    def end_processes(self) -> None:
        """End the predictor's processes, and what they have forked, whatever they do."""
        if self._processes is not None:
            self._processes.end()

    def _make_pipeline(self, predictor: Predictor) -> Pipeline:
        return Pipeline(
            predictor,
            self.settings,
            slots=self._slots,
            mailbox=self._mailbox,
            async_loop=self._async_loop,
            backlog=self.backlog,
            metrics=self.metrics,
            watch=self.watch,
            runs=self._processes.runs if self._processes is not None else None,
        )

    def _make_processes(self) -> Group:
        from mlfunc_runtime.isolation.group import Group

        group = Group(self.settings, self._slots, self._mailbox, self._processes_changed)
        self.metrics.others.append(group.lines)
        return group

    def _processes_changed(self, any_process: bool) -> None:
        """A slot's process has ended, or serves again; `any_process`: at least one serves."""
        if self.state in ("ready", "restarting"):
            self.state = "ready" if any_process else "restarting"
        if self._pipeline is not None:
            self._pipeline.batcher.wake()

    def _stuck_changed(self) -> None:
        """A slot is stuck, or not any more."""
        if self.state in ("ready", "stuck"):
            self.state = "stuck" if self.watch.all else "ready"
        if self._pipeline is None:
            return
        if self.watch.all:
            self._pipeline.batcher.refuse(_UNREADY["stuck"])
        else:
            self._pipeline.batcher.wake()

    def _load(self, predictor: Predictor) -> None:
        if predictor.is_async:
            self._async_loop.start()
        try:
            for loaded in self._calls("load", predictor):
                loaded.get()
        except StartupError:
            raise
        except (Exception, SystemExit) as error:
            raise StartupError(f"load raised {type(error).__name__}: {error}") from error
        self.predictor = predictor

    def _unload(self, predictor: Predictor, deadline: float) -> bool:
        """Not waited for beyond the deadline: a prediction that never ends may be before it."""
        if "unload" in predictor.hooks and self.watch.holds(self._slots[0]):
            told = "unload is not called: the slot that it would run in is stuck"
            logs.event(told, level=logging.ERROR)
            return False
        unloaded = [_unloaded(call, deadline) for call in self._calls("unload", predictor)]
        return all(unloaded)

    def _calls(self, name: Literal["load", "unload"], predictor: Predictor) -> list[Result[None]]:
        """Calls of a hook where predict runs: here, or in each of the predictor's processes."""
        if self._processes is not None:
            calls = {"load": self._processes.load, "unload": self._processes.unload}
            return calls[name](predictor)
        hook = predictor.hooks.get(name)
        return [] if hook is None else [self._in_slot(self._call, hook)]

    def _in_slot(self, function: Callable[..., T], *arguments: Any) -> Result[T]:
        """In the thread where predict will run: some libraries bind a model to its thread."""
        return call_in(self._slots[0], self._mailbox, function, *arguments)

    def _call(self, hook: Hook) -> None:
        arguments = {"context": self._context} if hook.wants else {}
        result = hook.call(**arguments)
        if inspect.iscoroutine(result):
            self._async_loop.run_blocking(result)

    def _warm_up(self, pipeline: Pipeline) -> None:
        """One prediction here, and one in each of the predictor's processes."""
        with warmup.told_as_startup_error():
            warmup.predict_example(pipeline)
            for settled in self._processes.settle() if self._processes is not None else ():
                settled.get()

    def _ready(self) -> None:
        if self.state != "starting":  # it was told to stop in this very moment
            return
        self._before_ready()
        total = self.startup.finish()
        self.metrics.startup = self.startup.seconds
        self.state = "ready"
        logs.event(f"ready after {total:.2f} s", phase="ready", startup=self.startup.seconds)

    def _export(self) -> None:
        gauges: dict[str, Callable[[], float]] = {
            "mlfunc_ready": lambda: self.state == "ready",
            "mlfunc_in_flight": lambda: self.in_flight,
            "mlfunc_queue": lambda: self._pipeline.batcher.waiting if self._pipeline else 0,
            "mlfunc_predicted_wait_seconds": lambda: (
                self._pipeline.batcher.predicted_wait() if self._pipeline else 0.0
            ),
            "mlfunc_slots": lambda: self.settings.slots,
            "mlfunc_slots_stuck": lambda: self.watch.count,
            "mlfunc_hooks_backlog": lambda: self.backlog.size,
            "mlfunc_hooks_oldest_seconds": lambda: self.backlog.oldest,
        }
        self.metrics.gauges |= gauges

    def _count_stages(self, pipeline: Pipeline) -> None:
        """What runs and waits in each stage, and the seconds of the slots since `load`."""
        slots, backlog, around = self._slots, self.backlog, pipeline.around
        before, after = around.before_stage, around.after_stage
        loading = sum(slot.busy_seconds for slot in slots)
        self.metrics.slot_seconds = lambda: sum(slot.busy_seconds for slot in slots) - loading
        self.metrics.stages = {
            "before": lambda: (before.running, before.waiting),
            "predict": lambda: (sum(slot.running for slot in slots), pipeline.batcher.waiting),
            "after": lambda: (after.running, after.waiting),
            "after_response": lambda: (backlog.running, backlog.waiting),
        }


def _unloaded(call: Result[None], deadline: float) -> bool:
    try:
        call.get(max(0.1, deadline - time.monotonic()))
    except TimeoutError:
        logs.event("unload was not done within serve.drain", level=logging.ERROR)
        return False
    except (Exception, SystemExit) as error:
        told = f"unload raised {type(error).__name__}: {error}"
        logs.event(told, level=logging.ERROR, traceback=user_traceback(error))
    return True


def _fetch(streamed: list[Place]) -> None:
    """Imported in its thread: a few dozen modules for HTTP."""
    from mlfunc_runtime.weights.fetching import fetch

    fetch(streamed, os.environ)
