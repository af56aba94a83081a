"""A stream's items, asked for one by one: what looks ahead is the stream here, not the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlfunc_runtime.isolation.process import Ended

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlfunc_runtime.batches import Item
    from mlfunc_runtime.isolation.process import Process
    from mlfunc_runtime.isolation.supervised import Supervised


class Items:
    """The generator of another process, as an iterator. Used in the thread of its slot."""

    def __init__(
        self,
        slot: Supervised,
        process: Process,
        batch: Sequence[Item],
        answer: Callable[[], Any],
        tell: Callable[[], object] | None,
    ) -> None:
        self._slot = slot
        self._process = process
        self._batch = batch
        self._answer = answer
        self._tell = tell
        self._ended = False

    def __iter__(self) -> Items:
        return self

    def __next__(self) -> Any:
        more, value = self._call("next")
        if more:
            return value
        self._ended = True
        self.update(value)
        raise StopIteration

    def close(self) -> None:
        """Close the generator. Raises what it raises."""
        if not self._ended:
            self._ended = True
            if self._tell is not None:  # what the generator does at last may depend on who waits
                self._tell()
            self._call("close")

    def update(self, states: Sequence[dict[str, Any]]) -> None:
        """Give the requests what predict has left in their `state`."""
        for item, state in zip(self._batch, states, strict=False):
            item.request.state.update(state)

    def _call(self, method: str) -> Any:
        try:
            self._process.ask(method)
            return self._answer()
        except Ended as ended:
            self._ended = True
            self._slot.lose(ended, [item.request.id for item in self._batch])
            raise ended.ending.problem() from None
