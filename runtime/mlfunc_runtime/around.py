"""The hooks of a predictor around `predict`, called by the names they ask for."""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING, Any

from mlfunc_runtime import protocols
from mlfunc_runtime.stages import Stage
from mlfunc_runtime.streams import Stream
from mlfunc_runtime.work import Work

if TYPE_CHECKING:
    from mlfunc_runtime.asyncloop import AsyncLoop
    from mlfunc_runtime.loader import Predictor
    from mlfunc_runtime.messages import Request
    from mlfunc_runtime.methods import Hook


class Around:
    """before_predict, after_predict, after_response. All methods run on the hub.

    At most `concurrency` before_predict hooks run at once, and as many after_predict hooks: those
    of one kind never hold up the other, or the slots.
    """

    def __init__(self, predictor: Predictor, async_loop: AsyncLoop, concurrency: int) -> None:
        self.before_stage = Stage(concurrency)
        self.after_stage = Stage(concurrency)
        self._predictor = predictor
        self._binding = predictor.binding
        self._before = predictor.hooks.get("before_predict")
        self._after = predictor.hooks.get("after_predict")
        self._after_response = predictor.hooks.get("after_response")
        self._async_loop = async_loop

    def before(self, request: Request, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments of predict, out of those that came in."""
        if self._before is not None:
            started = time.perf_counter()
            with self.before_stage:
                result = self._call(self._before, request, arguments)
            request.timings.before = time.perf_counter() - started
            if result is None:
                arguments = self._unchanged(request, arguments)
            else:
                arguments = self._binding.from_result(result)
        return self._inject(request, arguments)

    def after(self, request: Request, result: Any) -> Any:
        """The reply, out of the result of predict."""
        if self._after is None or isinstance(result, Stream):
            return result
        started = time.perf_counter()
        with self.after_stage:
            changed = self._call(self._after, request, {"result": result})
        request.timings.after = time.perf_counter() - started
        return result if changed is None else changed

    def when_sent(self, request: Request, result: Any) -> None:
        """Have after_response called, with a stream's items as a list, when the reply is out."""
        hook = self._after_response
        if hook is None:
            return
        if isinstance(result, Stream):
            result.keep_items()

        def final() -> Any:
            return result.items if isinstance(result, Stream) else result

        def call() -> None:
            self._call(hook, request, {"result": final()})

        request.when_sent.append(Work(request, call, final))

    def _unchanged(self, request: Request, arguments: dict[str, Any]) -> dict[str, Any]:
        """before_predict returned None: predict gets what came in."""
        if self._predictor.trusts_before:
            return protocols.of(request).decode(request, self._binding)
        names = set(arguments) & set(self._binding.names)
        return self._binding.complete({name: arguments[name] for name in names})

    def _inject(self, request: Request, arguments: dict[str, Any]) -> dict[str, Any]:
        if not self._binding.injected:
            return arguments
        values = {"request": request, "event": request.event}
        return arguments | {name: values[name] for name in self._binding.injected}

    def _call(self, hook: Hook, request: Request, values: dict[str, Any]) -> Any:
        given = {"request": request, "event": request.event, **values}
        arguments = {name: given[name] for name in hook.wants}
        result = hook.call(**arguments)
        # Told by what comes back: a decorator can hide that a hook is `async def`.
        return self._async_loop.run(result) if inspect.iscoroutine(result) else result
