"""The path of a request.

    admit -> before_predict -> slot -> predict -> after_predict -> reply -> after_response

Only `predict` holds a slot. The hooks around it are greenlets, many at once; what runs after the
reply is the backlog's.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from gevent import get_hub, getcurrent
from gevent.event import Event

from mlfunc_runtime import admission, calls, logs, protocols, sizes
from mlfunc_runtime.around import Around
from mlfunc_runtime.batcher import Batcher
from mlfunc_runtime.deadlines import Deadlines
from mlfunc_runtime.errors import Problem, text_of, user_traceback
from mlfunc_runtime.messages import CLIENT_GONE, Gone, Reply
from mlfunc_runtime.redelivery import Redelivery
from mlfunc_runtime.replies import function_failed, problem
from mlfunc_runtime.streams import Stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlfunc_runtime.asyncloop import AsyncLoop
    from mlfunc_runtime.backlog import Backlog
    from mlfunc_runtime.batches import Run
    from mlfunc_runtime.executor import Mailbox, Slot
    from mlfunc_runtime.loader import Predictor
    from mlfunc_runtime.messages import Request
    from mlfunc_runtime.metrics import Metrics
    from mlfunc_runtime.settings import Settings
    from mlfunc_runtime.stuck import Watch

_log = logging.getLogger("mlfunc")
_STOPPING = "the function is stopping; send it again"


class TooLate(BaseException):
    """Thrown into a request that is out of time; no `except Exception` of user code swallows it."""


class Stopping(BaseException):
    """Thrown into a request that the end of the process leaves no time for; likewise."""


class Pipeline:
    """Takes requests through a predictor. All methods run on the hub."""

    def __init__(
        self,
        predictor: Predictor,
        settings: Settings,
        *,
        slots: Sequence[Slot],
        mailbox: Mailbox,
        async_loop: AsyncLoop,
        backlog: Backlog,
        metrics: Metrics,
        watch: Watch,
        runs: Mapping[Slot, Run] | None = None,
    ) -> None:
        self.predictor = predictor
        self.settings = settings
        self.idle = Event()
        self.idle.set()
        self.redelivery = Redelivery(settings.remember, metrics.redelivered)
        # Requests whose reply is not out; each with its greenlet until there is a reply to send.
        self._here: dict[Request, Any] = {}
        self._deadlines = Deadlines(self._here, TooLate)
        self._places = 0  # what they count as: `Request.places`, added up
        self._backlog = backlog
        self._metrics = metrics
        self._timeout = settings.timeout
        self.around = Around(predictor, async_loop, settings.concurrency)
        self.batcher = Batcher(
            runs or dict.fromkeys(slots, calls.make(predictor, partial(Stream, mailbox=mailbox))),
            mailbox,
            metrics,
            watch,
            max_size=predictor.batch,
            weigh=sizes.weigher(predictor.binding.names, predictor.size),
            prepare=calls.ahead(predictor, settings.isolation),
        )

    def close(self) -> None:
        """No more predictions."""
        self.batcher.close()

    @property
    def in_flight(self) -> int:
        """Requests without a complete reply."""
        return len(self._here)

    def handle(self, request: Request) -> Reply:
        """Answer a request. Never raises: what goes wrong becomes a reply.

        `sent` must be called when the reply is out.
        """
        logs.request_id.set(request.id)
        self._enter(request)
        try:
            return self._answer(request)
        except BaseException as error:
            request.close_streams()
            return self._refusal(error, request)
        finally:
            self._here[request] = None

    def widen(self, request: Request, places: int) -> None:
        """Count a batch of events as so many requests.

        Raises:
            Problem: 503, there is no room for them.

        """
        self._places += places - request.places
        request.places = places
        self._refuse_in_vain(request.deadline)

    def run(self, request: Request, arguments: dict[str, Any]) -> Any:
        """From arguments to the result that is the reply. Raises what user code raises."""
        arguments = self._before(request, arguments)
        result = self.batcher.predict(request, arguments)
        result = self.around.after(request, result)
        self.around.when_sent(request, result)
        return result

    def sent(self, request: Request, reply: Reply) -> None:
        """The reply is out, or the caller is gone: count it and start what runs after it."""
        self._leave(request)
        self._metrics.observe_request(reply.status, request)
        if _log.isEnabledFor(logging.DEBUG):
            _trace(request, reply)
        self._start_hooks(request)

    def cut_off(self, patience: float) -> int:
        """Refuse what is not answered yet, and wait `patience` seconds for it to be told.

        Returns how many requests end without the reply they came for. What runs after the replies
        that nobody could take goes to the backlog.
        """
        undone = self.in_flight
        for request in list(self._here):
            get_hub().loop.run_callback(self._throw, request)
            for stream in request.streams:
                stream.break_off(Problem(503, _STOPPING))
        if undone:
            self.idle.wait(patience)
        for request in self._here:
            self._start_hooks(request)
        return undone

    def _throw(self, request: Request) -> None:
        """On the hub itself, so that the request's greenlet is waiting for something: it stops."""
        waiting = self._here.get(request)
        if waiting is not None:
            waiting.throw(Stopping)

    def _start_hooks(self, request: Request) -> None:
        while request.when_sent:
            self._backlog.submit(request.when_sent.pop(0))

    def _before(self, request: Request, arguments: dict[str, Any]) -> dict[str, Any]:
        self.batcher.coming += 1
        try:
            return self.around.before(request, arguments)
        finally:
            self.batcher.coming -= 1

    def _answer(self, request: Request) -> Reply:
        deadline = admission.deadline(request, self._timeout)
        self._admit(deadline)
        request.deadline = deadline
        self._deadlines.watch(deadline)
        return protocols.of(request).answer(request, self)

    def _refusal(self, error: BaseException, request: Request) -> Reply:
        """User code may raise anything, also what ends a greenlet or the process elsewhere."""
        match error:
            case Problem():
                return self._refused(error, request)
            case TooLate():
                late = f"no answer within {request.deadline - request.asked:.3g} s"
                logs.event(late, level=logging.WARNING, **protocols.event_of(request))
                return problem(Problem(504, late), request)
            case Gone():
                return Reply(status=CLIENT_GONE)
            case Stopping():
                stopping = Problem(503, _STOPPING, headers={"Retry-After": "1"})
                return self._refused(stopping, request)
            case _:
                return self._failed(error, request)

    def _refused(self, refused: Problem, request: Request) -> Reply:
        if refused.status == HTTPStatus.INTERNAL_SERVER_ERROR and not refused.logged:
            logs.event(refused.detail, level=logging.ERROR, **protocols.event_of(request))
        elif event := protocols.event_of(request):
            # Its sender is a broker, which shows the reply to nobody.
            told = f"event refused with {refused.status}: {refused.detail}"
            logs.event(told, level=logging.WARNING, **event)
        try:
            return problem(refused, request)
        except ValueError as error:
            return self._failed(error, request)

    def _enter(self, request: Request) -> None:
        request.entered = True
        if not self._here:
            self.idle.clear()
        self._here[request] = getcurrent()
        self._places += request.places

    def _leave(self, request: Request) -> None:
        del self._here[request]
        self._places -= request.places
        if not self._here:
            self.idle.set()

    def _admit(self, deadline: float) -> None:
        """Refuse at once what would wait too long; else wait for room in the backlog of hooks."""
        self._refuse_in_vain(deadline)
        if self._backlog.full:
            self._backlog.wait_for_room(max(0.001, deadline - time.perf_counter()))

    def _refuse_in_vain(self, deadline: float) -> None:
        predicted = self.batcher.predicted_wait()
        try:
            admission.check_room(self._places, self.settings.admitted, predicted)
            if predicted:
                admission.check_wait(predicted, deadline - time.perf_counter())
        except admission.Refused as refused:
            self._metrics.refused[refused.reason] += 1
            raise

    def _failed(self, error: BaseException, request: Request) -> Reply:
        told = f"{type(error).__name__}: {text_of(error)}"
        event = protocols.event_of(request)
        logs.event(told, level=logging.ERROR, traceback=user_traceback(error), **event)
        return problem(function_failed(), request)


def _trace(request: Request, reply: Reply) -> None:
    logs.event(
        "request",
        level=logging.DEBUG,
        method=request.method,
        path=request.path,
        status=reply.status,
        seconds=round(time.perf_counter() - request.arrived, 6),
        request_id=request.id,
    )
