"""A function from its start to its end: import, load, warm up, serve, drain, unload."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import logging
import time
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from mlfunc_runtime import loader, logs, protocols
from mlfunc_runtime.asyncloop import AsyncLoop
from mlfunc_runtime.backlog import Backlog
from mlfunc_runtime.context import Context
from mlfunc_runtime.errors import Problem, StartupError, user_traceback
from mlfunc_runtime.executor import Mailbox, Result, Slot, call_in
from mlfunc_runtime.messages import Reply, Request
from mlfunc_runtime.metrics import Metrics
from mlfunc_runtime.pipeline import Pipeline
from mlfunc_runtime.replies import problem
from mlfunc_runtime.startup import Startup
from mlfunc_runtime.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc_runtime.loader import Example, Hook, Predictor
    from mlfunc_runtime.settings import Settings

T = TypeVar("T")
_WARM_UP_ITEMS = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Undone:
    """What a function leaves behind when it stops."""

    in_flight: int
    hooks: int
    unloaded: bool

    def __bool__(self) -> bool:
        return bool(self.in_flight or self.hooks or not self.unloaded)


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
        self.state: Literal["starting", "ready", "draining"] = "starting"
        self.predictor: Predictor | None = None
        self._pipeline: Pipeline | None = None
        self._mailbox = Mailbox()
        self._async_loop = AsyncLoop(self._mailbox)
        self._slots = [Slot(f"slot-{number}") for number in range(settings.slots)]
        self._context = Context(settings)
        self.backlog = Backlog(
            self.metrics,
            concurrency=settings.hook_concurrency,
            limit=settings.hook_backlog,
            timeout=settings.hook_timeout,
        )
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
        logs.event(f"importing {self.settings.predictor}", phase="importing")
        cls = self._in_slot(loader.import_class, self.settings).get()
        self._after_import()
        self.startup.done("import")
        logs.event(f"loading {cls.__name__}", phase="loading")
        predictor = self._in_slot(loader.describe, cls, self.settings).get()
        self._load(predictor)
        self.startup.done("load")
        self._pipeline = self._make_pipeline(predictor)
        self._warm_up(predictor)
        self.startup.done("warmup")
        self._ready()

    def handle(self, request: Request) -> Reply:
        """Answer a request, while draining too: a refused one would be lost to its caller.

        `sent` must be called when the reply is out.
        """
        if self._pipeline is None or self.state == "starting":
            unready = Problem(503, "the model is not loaded yet", headers={"Retry-After": "1"})
            return problem(unready, request)
        return self._pipeline.handle(request)

    def sent(self, request: Request, reply: Reply) -> None:
        """The reply is out, or the caller is gone."""
        if self._pipeline is not None and request.admitted:
            self._pipeline.sent(request, reply)

    def wait_until_idle(self, deadline: float) -> None:
        """Wait until every request has its complete reply, or it is `deadline` (time.monotonic)."""
        # The next request of a connection may come in before a waiter hears that the last one left.
        while self._pipeline and self.in_flight and time.monotonic() < deadline:
            self._pipeline.idle.wait(deadline - time.monotonic())

    def stop(self, deadline: float) -> Undone:
        """Drain the hooks until `deadline`, unload, and say what was left undone."""
        hooks = self.backlog.drain(max(0.0, deadline - time.monotonic()))
        unloaded = self.predictor is None or self._unload(self.predictor, deadline)
        for slot in self._slots:
            slot.close()
        self._async_loop.close()
        self._mailbox.close()
        return Undone(self.in_flight, hooks, unloaded=unloaded)

    def _make_pipeline(self, predictor: Predictor) -> Pipeline:
        return Pipeline(
            predictor,
            self.settings,
            slots=self._slots,
            mailbox=self._mailbox,
            async_loop=self._async_loop,
            backlog=self.backlog,
            metrics=self.metrics,
        )

    def _load(self, predictor: Predictor) -> None:
        if predictor.is_async:
            self._async_loop.start()
        hook = predictor.hooks.get("load")
        try:
            if hook is not None:
                self._in_slot(self._call, hook).get()
        except StartupError:
            raise
        except (Exception, SystemExit) as error:
            raise StartupError(f"load raised {type(error).__name__}: {error}") from error
        self.predictor = predictor

    def _unload(self, predictor: Predictor, deadline: float) -> bool:
        """Not waited for beyond the deadline: a prediction that never ends may be before it."""
        hook = predictor.hooks.get("unload")
        if hook is None:
            return True
        try:
            self._in_slot(self._call, hook).get(max(0.1, deadline - time.monotonic()))
        except TimeoutError:
            logs.event("unload was not done within serve.drain", level=logging.ERROR)
            return False
        except (Exception, SystemExit) as error:
            told = f"unload raised {type(error).__name__}: {error}"
            logs.event(told, level=logging.ERROR, traceback=user_traceback(error))
        return True

    def _in_slot(self, function: Callable[..., T], *arguments: Any) -> Result[T]:
        """In the thread where predict will run: some libraries bind a model to its thread."""
        return call_in(self._slots[0], self._mailbox, function, *arguments)

    def _call(self, hook: Hook) -> None:
        arguments = {"context": self._context} if hook.wants else {}
        result = hook.call(**arguments)
        if inspect.iscoroutine(result):
            self._async_loop.run_blocking(result)

    def _warm_up(self, predictor: Predictor) -> None:
        """One prediction with `example`, the hooks around it included."""
        if predictor.example is None:
            return
        logs.event("warming up with `example`", phase="warming")
        assert self._pipeline is not None  # noqa: S101 - made just before
        try:
            request = _example_request(predictor.example, needs_event=predictor.needs_event)
            arguments = protocols.of(request).decode(request, predictor.wire)
            result = self._pipeline.run(request, arguments)
            _take_some(result)
        except Problem as refused:
            hint = "`example` must be an input that before_predict and predict take"
            raise StartupError(f"`example` was refused: {refused}", hint) from refused
        except (Exception, SystemExit) as error:
            told = f"the warm-up with `example` raised {type(error).__name__}: {error}"
            raise StartupError(told) from error

    def _ready(self) -> None:
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
            "mlfunc_slots": lambda: self.settings.slots,
            "mlfunc_hooks_backlog": lambda: self.backlog.size,
        }
        self.metrics.gauges |= gauges


def _example_request(example: Example, *, needs_event: bool) -> Request:
    headers = {"content-type": example.content_type}
    if needs_event:
        headers |= {
            "ce-specversion": "1.0",
            "ce-id": "warm-up",
            "ce-source": "/mlfunc/warm-up",
            "ce-type": "dev.mlfunc.warm-up",
        }
    return Request(example.body, headers)


def _take_some(result: Any) -> None:
    if isinstance(result, Stream):
        for _ in itertools.islice(result, _WARM_UP_ITEMS):
            pass
        result.close()
