"""`python -m mlfunc_runtime.isolation.child`: the process of a predictor.

Plain Python: its main thread answers its parent's calls, one at a time, and nothing here is
patched. It ends with its parent, whichever way that ends.
"""

from __future__ import annotations

import gc

gc.disable()

import dataclasses  # noqa: E402
import faulthandler  # noqa: E402
import inspect  # noqa: E402
import itertools  # noqa: E402
import logging  # noqa: E402
import operator  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from typing import TYPE_CHECKING, Any, cast  # noqa: E402

from mlfunc_runtime import calls, importing, loader, logs  # noqa: E402
from mlfunc_runtime.context import Context  # noqa: E402
from mlfunc_runtime.isolation.bonds import end_with, leave_signals_to_parent  # noqa: E402
from mlfunc_runtime.isolation.coroutines import run_coroutine  # noqa: E402
from mlfunc_runtime.isolation.crossing import (  # noqa: E402
    CrossedRequest,
    Opened,
    Told,
    lifted,
    tell,
)
from mlfunc_runtime.isolation.wire import Arena, Channel, Uncrossable, check  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlfunc_runtime.batches import Item, Run
    from mlfunc_runtime.loader import Predictor
    from mlfunc_runtime.settings import Settings

_WARM_UP_ITEMS = 2
_log = logging.getLogger("mlfunc")


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One request's part in a call of predict."""

    request: Any
    arguments: dict[str, Any]


class Host:
    """What a parent calls."""

    def __init__(self, flags: int) -> None:
        self._flags = flags
        self._predictor: Predictor
        self._context: Context
        self._run: Run
        self._source: Iterator[Any] = iter(())
        self._batch: list[Call] = []

    def start(self, settings: Settings) -> None:
        """Import the predictor and make it."""
        logs.set_level(settings.log_level)
        self._context = Context(settings)
        self._predictor = loader.describe(loader.import_class(settings), settings)
        self._run = calls.make(self._predictor, self._open)

    def load(self) -> None:
        """Call `load`."""
        self._call("load")

    def unload(self) -> None:
        """Call `unload`."""
        self._call("unload")

    def run(self, batch: list[tuple[str, dict[str, Any]]]) -> tuple[list[Any], list[Any]]:
        """One outcome for each request, and what predict left in its `state`."""
        self._batch = [self._crossed(index, *each) for index, each in enumerate(batch)]
        outcomes = self._run(cast("list[Item]", self._batch))
        return [lifted(outcome) for outcome in outcomes], self._states()

    def next(self) -> tuple[bool, Any]:
        """The next item of the stream; or False, and the states, at its end."""
        for item in self._source:
            return True, lifted(item)
        return False, self._states()

    def close(self) -> None:
        """Close the stream's generator."""
        source, self._source = self._source, iter(())
        close = getattr(source, "close", None)
        if close is not None:
            close()

    def warm(self, batch: list[tuple[str, dict[str, Any]]]) -> None:
        """Predict, and drop what comes of it. Raises what predict raised."""
        for outcome in self.run(batch)[0]:
            if isinstance(outcome, BaseException):
                raise outcome
        for _ in itertools.islice(self._source, _WARM_UP_ITEMS):
            pass
        self.close()

    def settle(self) -> None:
        """The start is over: turn the collector on; it leaves alone what the start has made."""
        gc.collect()
        gc.freeze()
        gc.enable()

    def _open(self, source: Iterator[Any]) -> Opened:
        self._source = source
        return Opened()

    def _crossed(self, index: int, request_id: str, arguments: dict[str, Any]) -> Call:
        request = arguments.get("request")
        if isinstance(request, CrossedRequest):
            request.asks = lambda: os.pread(self._flags, 1, index) == b"\1"
        else:
            request = CrossedRequest(request_id=request_id)
        return Call(request, arguments)

    def _states(self) -> list[Any]:
        injected = self._predictor.binding.injected
        return [call.request.state for call in self._batch] if "request" in injected else []

    def _call(self, name: str) -> None:
        hook = self._predictor.hooks.get(name)
        if hook is None:
            return
        result = hook.call(**({"context": self._context} if hook.wants else {}))
        if inspect.iscoroutine(result):
            run_coroutine(result)


def serve(channel: Channel, host: Host) -> None:
    """Answer calls until nobody calls any more."""
    while True:
        answer: tuple[Any, Told | None]
        try:
            method, arguments = channel.receive()
        except EOFError:
            return
        except Uncrossable as error:
            answer = None, tell(Uncrossable(f"predict cannot be given its arguments: {error}"))
        else:
            answer = _outcome(getattr(host, method), arguments)
        _send(channel, answer)


def _outcome(method: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, Told | None]:
    try:
        return method(*arguments), None
    except BaseException as error:
        return None, tell(error)


def _send(channel: Channel, answer: tuple[Any, Told | None]) -> None:
    """What cannot cross becomes an error of the request it belongs to."""
    try:
        channel.send(answer)
    except Uncrossable as error:
        channel.send(_crossable(answer[0]) or (None, tell(_told(error))))


def _crossable(value: Any) -> tuple[Any, None] | None:
    """The outcomes of a batch, with errors for those that cannot cross; the states stay here."""
    if not (isinstance(value, tuple) and isinstance(value[0], list)):
        return None
    outcomes = [_checked(each) for each in value[0]]
    if all(map(operator.is_, outcomes, value[0])):
        _log.error("request.state cannot leave the predictor's process: predict changed it")
    return (outcomes, []), None


def _checked(outcome: Any) -> Any:
    try:
        check(outcome)
    except Uncrossable as error:
        return _told(error)
    return outcome


def _told(error: Uncrossable) -> Uncrossable:
    return Uncrossable(f"what predict returned cannot leave its process: {error}")


def main() -> None:
    """Serve the parent that started this process."""
    socket, there, back, flags, parent = map(int, sys.argv[1:])
    sys.argv[1:] = []
    leave_signals_to_parent()
    end_with(parent)
    faulthandler.enable()
    logs.setup()
    importing.keep_tables(os.environ)
    for descriptor in (socket, there, back, flags):
        os.set_inheritable(descriptor, False)
    serve(Channel(socket, outgoing=Arena(back), incoming=Arena(there)), Host(flags))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
