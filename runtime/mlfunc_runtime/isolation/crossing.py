"""What does not cross between two processes as pickle would have it.

* Large `bytes`: pickle copies them into its stream; wrapped, they are parts of their own.
* Tensors: as arrays, out of band. torch's own way writes files, and needs torch on both sides.
* Requests: without what only the server has. `cancelled` asks the server.
* Exceptions: as text. Their classes may not be there on the other side, or not be made again of
  their arguments; the traceback is what matters, and pickle would drop it.
"""

from __future__ import annotations

import dataclasses
import pickle
import sys
from typing import TYPE_CHECKING, Any

from mlfunc_runtime.errors import Problem, SettingsError, StartupError, text_of, user_traceback
from mlfunc_runtime.messages import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable

LARGE = 64 * 2**10
# How deep, and in lists of what length, large `bytes` are looked for: the arguments of predict,
# what it returned. Missing one costs time and nothing else.
_DEPTH = 3
_MANY = 1024


class Large:
    """Bytes that cross as a part of their own."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return bytes, (pickle.PickleBuffer(self._value),)


def lifted(value: Any, depth: int = _DEPTH) -> Any:
    """`value` with large bytes wrapped, in copies of the dicts, lists and tuples around them."""
    kind = type(value)
    if kind is bytes:
        return Large(value) if len(value) >= LARGE else value
    if not depth or kind not in (dict, list, tuple) or len(value) > _MANY:
        return value
    if kind is dict:
        return {name: lifted(each, depth - 1) for name, each in value.items()}
    return kind(lifted(each, depth - 1) for each in value)


def reduce(value: Any) -> Any:
    """What pickle shall make of an object (the meaning of `Pickler.reducer_override`)."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor) and value.layout is torch.strided:
        return _reduce_tensor(torch, value)
    if isinstance(value, Request):
        return _request, (_fields_of(value),)
    if type(value) is Reply:
        return _reply, (lifted(value.body), value.status, value.headers)
    if isinstance(value, BaseException):
        return _error, (tell(value),)
    return NotImplemented


@dataclasses.dataclass(frozen=True, slots=True)
class Opened:
    """An outcome that is a stream: its items are asked for one by one."""


class CrossedRequest(Request):
    """A request as a predictor sees it in its own process."""

    __slots__ = ("asks",)

    asks: Callable[[], bool]

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more, as the server sees it now."""
        return self.asks()

    @cancelled.setter
    def cancelled(self, value: bool) -> None:
        self.asks = lambda: value


@dataclasses.dataclass(frozen=True, slots=True)
class Told:
    """An exception, as far as another process can know it."""

    kind: str
    text: str
    traceback: str
    made_again: tuple[Any, ...] = ()
    cause: Told | None = None

    def again(self) -> Exception:
        """An exception that is raised, logged and answered like the one that was told."""
        error: Exception = self._made() if self.made_again else self._named()
        error.__cause__ = self.cause.again() if self.cause else None
        return error

    def _made(self) -> Exception:
        cls, arguments, options = self.made_again
        made: Exception = cls(*arguments, **options)
        return made

    def _named(self) -> Exception:
        cls: type[Remote] = type(self.kind, (Remote,), {})
        error = cls(self.text)
        error.told_traceback = self.traceback
        return error


class Remote(Exception):
    """An exception of another process: a subclass that is called as the original was."""

    told_traceback = ""


def tell(error: BaseException) -> Told:
    """`error` as plain data."""
    kind = type(error).__name__
    told = error.told_traceback if isinstance(error, Remote) else user_traceback(error)
    if isinstance(error, Problem):
        options = {"field": error.field, "headers": error.headers}
        return Told(kind, error.detail, told, (Problem, (error.status, error.detail), options))
    if isinstance(error, StartupError):
        cls = SettingsError if isinstance(error, SettingsError) else StartupError
        cause = tell(error.__cause__) if error.__cause__ else None
        return Told(kind, str(error), told, (cls, (str(error), error.hint), {}), cause)
    return Told(kind, text_of(error), told)


def _error(told: Told) -> Exception:
    return told.again()


def _fields_of(request: Request) -> dict[str, Any]:
    names = ("id", "method", "path", "query", "arrived", "deadline", "event", "state")
    fields = {name: getattr(request, name) for name in names}
    headers = dict(request.headers)
    data, body = lifted(request.data), lifted(request.body)
    return fields | {"headers": headers, "data": data, "body": body}


def _request(fields: dict[str, Any]) -> Request:
    request = CrossedRequest()
    for name, value in fields.items():
        setattr(request, name, value)
    return request


def _reply(body: bytes, status: int, headers: dict[str, str]) -> Reply:
    reply = Reply(status=status)
    reply.body, reply.headers = body, headers
    return reply


def _reduce_tensor(torch: Any, tensor: Any) -> tuple[Any, ...]:
    """numpy lacks some of torch's types, bfloat16 first of all: those go as bits."""
    plain = tensor.detach().cpu().contiguous()
    name = str(plain.dtype).removeprefix("torch.")
    try:
        return _tensor, (plain.numpy(force=True), name)
    except TypeError:
        bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32}[plain.element_size()]
        return _tensor, (plain.view(bits).numpy(), name)


def _tensor(array: Any, name: str) -> Any:
    """A tensor where torch is imported; else an array, which encodes to the same reply."""
    torch = sys.modules.get("torch")
    if torch is None:
        return _widened(array) if name == "bfloat16" else array
    tensor = torch.from_numpy(array)
    wanted = getattr(torch, name)
    return tensor if tensor.dtype == wanted else tensor.view(wanted)


def _widened(array: Any) -> Any:
    """bfloat16 is the upper half of a float32."""
    return (array.astype("uint16").astype("uint32") << 16).view("float32")
