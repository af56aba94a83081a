"""The predictor's processes of all slots: their start, warm-up, metrics and end."""

from __future__ import annotations

import dataclasses
import inspect
from collections import Counter
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, cast

from mlfunc_runtime.executor import call_in
from mlfunc_runtime.isolation.supervised import Supervised
from mlfunc_runtime.isolation.watch import Watch
from mlfunc_runtime.metrics import labelled

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence
    from types import CoroutineType

    from mlfunc_runtime.batches import Run
    from mlfunc_runtime.executor import Mailbox, Result, Slot
    from mlfunc_runtime.isolation.process import Process
    from mlfunc_runtime.isolation.supervised import Payload
    from mlfunc_runtime.loader import Predictor
    from mlfunc_runtime.methods import Hook
    from mlfunc_runtime.settings import Settings

_AROUND = ("before_predict", "after_predict", "after_response")
_HINT = (
    "With serve.isolation: process, load runs in the predictor's process, hooks and size run here: "
    "make what they need in __init__, which runs in both."
)


class Group:
    """All methods run on the hub, but for those that a slot calls."""

    def __init__(
        self,
        settings: Settings,
        slots: Sequence[Slot],
        mailbox: Mailbox,
        when_changed: Callable[[bool], object],
    ) -> None:
        self.example: Payload | None = None
        self._mailbox = mailbox
        self._when_changed = when_changed
        self._slots = [Supervised(slot, settings, mailbox, self) for slot in slots]
        self._watch = Watch(settings.process_memory)
        self._settled = self._ended = False
        self._restarts: Counter[str] = Counter()

    @property
    def runs(self) -> dict[Slot, Run]:
        """How batches are run in each slot."""
        return {each.slot: each.run for each in self._slots}

    def spawn(self) -> None:
        """Start the processes, which import the predictor while this one does."""
        for each in self._slots:
            each.slot.run(each.spawn)

    def with_hints(self, predictor: Predictor) -> Predictor:
        """The predictor; what runs here of it says what is likely wrong when it misses something
        that `load` made.
        """
        hooks = {name: _hinted(h) if name in _AROUND else h for name, h in predictor.hooks.items()}
        size = predictor.size and _hinted(predictor.size)
        return dataclasses.replace(predictor, hooks=hooks, size=size)

    def load(self, predictor: Predictor) -> list[Result[None]]:
        """Have all of them load."""
        return [self._call(each, each.load, predictor) for each in self._slots]

    def settle(self) -> list[Result[None]]:
        """Have all of them warm up and end their start."""
        self._settled = True
        return [self._call(each, each.settle) for each in self._slots]

    def unload(self, predictor: Predictor) -> list[Result[None]]:
        """Have all of them unload, if the predictor has to."""
        if "unload" not in predictor.hooks:
            return []
        return [self._call(each, each.unload) for each in self._slots]

    def end(self) -> None:
        """End all of them at once, once."""
        ended, self._ended = self._ended, True
        if ended:
            return
        self._watch.close()
        for each in self._slots:
            each.kill()
            each.slot.run(each.close)

    def lines(self) -> Iterator[str]:
        """Their metrics."""
        name = "mlfunc_process_restarts_total"
        text = "Processes of the predictor that ended and were replaced."
        yield from labelled(name, "counter", text, "reason", dict(sorted(self._restarts.items())))
        processes = [each.process for each in self._slots]
        resident = [float(process.resident()) if process else 0.0 for process in processes]
        name = "mlfunc_process_resident_memory_bytes"
        text = "Memory in RAM of the predictor's processes."
        yield from labelled(name, "gauge", text, "slot", dict(enumerate(resident)))

    # Called by slots, in their threads.

    def warmed_up(self, payload: Payload) -> bool:
        """Keep the batch of the function's warm-up, for those that do not get it."""
        if self._settled:
            return False
        self.example = payload
        return True

    def started(self, slot: Supervised, process: Process) -> None:
        """A slot whose process ends while it is idle hears of it here."""
        self._watch.add(process, lambda: slot.slot.run(slot.revive))

    def lost(self, reason: str) -> None:
        """Count it; perhaps no process is left."""
        self._mailbox.post(partial(self._count, reason))
        self._mailbox.post(self._changed)

    def back(self) -> None:
        """There is a process again."""
        self._mailbox.post(self._changed)

    def _count(self, reason: str) -> None:
        self._restarts[reason] += 1

    def _changed(self) -> None:
        self._when_changed(any(each.slot.ready for each in self._slots))

    def _call(self, each: Supervised, method: Callable[..., None], *arguments: Any) -> Result[None]:
        return call_in(each.slot, self._mailbox, method, *arguments)


def _hinted(hook: Hook) -> Hook:
    @wraps(hook.call)
    def call(**arguments: Any) -> Any:
        try:
            result = hook.call(**arguments)
        except AttributeError as error:
            _add_hint(error, hook)
            raise
        if not inspect.iscoroutine(result):
            return result
        hinted = cast("CoroutineType[Any, Any, Any]", _hinted_coroutine(result, hook))
        hinted.__name__ = result.__name__  # as errors tell it
        return hinted

    return dataclasses.replace(hook, call=call)


async def _hinted_coroutine(coroutine: Coroutine[Any, Any, Any], hook: Hook) -> Any:
    try:
        return await coroutine
    except AttributeError as error:
        _add_hint(error, hook)
        raise


def _add_hint(error: AttributeError, hook: Hook) -> None:
    if error.obj is getattr(hook.call, "__self__", hook):
        error.add_note(_HINT)
