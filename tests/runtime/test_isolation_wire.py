"""Messages between two processes: what is sent is what comes, in memory of its own."""

from __future__ import annotations

import _socket
import dataclasses
import os
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mlfunc_runtime import Problem, Reply
from mlfunc_runtime.errors import SettingsError, StartupError, user_traceback
from mlfunc_runtime.isolation.crossing import LARGE, CrossedRequest, lifted, tell
from mlfunc_runtime.isolation.wire import Arena, Channel, Uncrossable
from mlfunc_runtime.messages import Request
from mlfunc_runtime.work import Work

if TYPE_CHECKING:
    from collections.abc import Iterator

FLOATS = 150_528


class Ends:
    """Both ends of a connection, in this process."""

    def __init__(self) -> None:
        here, there = (each.detach() for each in _socket.socketpair())
        files = [os.memfd_create("test") for _ in range(2)]
        copies = [os.dup(file) for file in files]
        self.here = Channel(here, Arena(files[0]), Arena(files[1]))
        self.there = Channel(there, Arena(copies[1]), Arena(copies[0]))

    def cross(self, message: Any) -> Any:
        self.here.send(message)
        return self.there.receive()

    def close(self) -> None:
        self.here.close()
        self.there.close()


@pytest.fixture(scope="module")
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()


@dataclasses.dataclass
class Point:
    x: float
    name: str


class Struct(msgspec.Struct):
    a: int
    b: list[bytes]


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.builds(bytes, st.integers(LARGE - 2, LARGE + 2))
    | st.builds(bytearray, st.integers(LARGE - 2, LARGE + 2))
    | st.builds(Point, st.floats(allow_nan=False), st.text())
    | st.builds(Struct, st.integers(), st.lists(st.binary(), max_size=3))
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(VALUES)
def test_a_value_comes_as_it_was_sent(ends: Ends, value: Any) -> None:
    assert ends.cross(value) == value
    assert ends.cross(lifted(value)) == value


NUMBERS = st.sampled_from([np.dtype(kind) for kind in "?bBhHiIqQefdFD"])
SHAPES = hnp.array_shapes(min_dims=0, min_side=0, max_dims=3, max_side=40)


@given(hnp.arrays(NUMBERS, SHAPES))
def test_an_array_comes_as_it_was_sent(ends: Ends, array: np.ndarray[Any, Any]) -> None:
    for each in (array, array.T, array[..., ::2] if array.ndim else array):
        crossed = ends.cross(each)
        assert (crossed.dtype, crossed.shape) == (each.dtype, each.shape)
        assert crossed.tobytes() == each.tobytes()


@given(st.lists(st.integers(0, 3 * LARGE), min_size=1, max_size=4))
def test_parts_of_any_number_and_size_keep_their_places(ends: Ends, sizes: list[int]) -> None:
    arrays = [np.arange(size, dtype="u1") for size in sizes]
    for sent, crossed in zip(arrays, ends.cross(arrays), strict=True):
        assert np.array_equal(sent, crossed)


def test_large_parts_do_not_go_through_the_socket(ends: Ends) -> None:
    before = ends.here.sent
    ends.cross(np.zeros(FLOATS))
    ends.cross(lifted({"body": bytes(10 * LARGE)}))
    ends.cross([float(n) for n in range(FLOATS)])
    assert ends.here.sent - before < 2048


def test_what_was_received_owns_its_memory_and_may_be_written_to(ends: Ends) -> None:
    first = ends.cross(np.full(FLOATS, 1.0))
    ends.cross(np.full(FLOATS, 2.0))
    assert first.sum() == FLOATS
    first += 1
    assert first.sum() == 2 * FLOATS


def test_what_must_not_be_written_to_stays_so(ends: Ends) -> None:
    array = np.zeros(FLOATS)
    array.flags.writeable = False
    assert not ends.cross(array).flags.writeable


def test_an_arena_is_reused_and_gives_back_what_only_a_huge_message_needed(ends: Ends) -> None:
    def size() -> int:
        return os.fstat(ends.here._outgoing.descriptor).st_size

    ends.cross(np.zeros(FLOATS, "u1"))
    ends.cross(np.zeros(2 * FLOATS, "u1"))
    assert size() < 65 * 2**20
    ends.cross(np.zeros(65 * 2**20, "u1"))
    ends.cross(np.zeros(FLOATS, "u1"))
    assert size() < 2**20


def test_what_cannot_be_pickled_is_refused_and_the_next_message_crosses(ends: Ends) -> None:
    with pytest.raises(Uncrossable, match="lock"):
        ends.here.send({"lock": threading.Lock()})
    assert ends.cross(1) == 1


class Unmade:
    def __reduce__(self) -> Any:
        return int, ("no number",)


def test_what_cannot_be_made_there_is_an_error_there_and_the_next_message_crosses(
    ends: Ends,
) -> None:
    with pytest.raises(Uncrossable, match="no number"):
        ends.cross([Unmade(), np.zeros(FLOATS)])
    assert ends.cross(1) == 1


def test_an_end_that_is_gone_is_the_end_of_the_file() -> None:
    ends = Ends()
    ends.there.close()
    with pytest.raises(EOFError):
        ends.here.receive()
    with pytest.raises(EOFError):
        ends.here.send(1)
    ends.here.close()


def test_a_request_crosses_without_what_only_the_server_has(ends: Ends) -> None:
    request = Request(b"x" * LARGE, {"accept": "a/b"}, path="/p", query="q=1", request_id="r1")
    request.data, request.state = {"n": 1}, {"kept": [1]}
    request.when_sent.append(Work(request, lambda: None))
    crossed = ends.cross({"request": request})["request"]
    assert isinstance(crossed, Request)
    assert (crossed.id, crossed.path, crossed.query, crossed.body) == (
        "r1",
        "/p",
        "q=1",
        request.body,
    )
    assert (crossed.data, crossed.state, crossed.headers) == (
        {"n": 1},
        {"kept": [1]},
        request.headers,
    )
    assert crossed.accepts("a/b")
    assert not crossed.cancelled


def test_a_crossed_request_asks_whether_it_is_cancelled() -> None:
    request = CrossedRequest()
    answers = iter([False, True])
    request.asks = lambda: next(answers)
    assert [request.cancelled, request.cancelled] == [False, True]


def test_a_reply_crosses(ends: Ends) -> None:
    reply = ends.cross(Reply(b"x" * LARGE, status=201, content_type="a/b", headers={"X-A": "1"}))
    assert (reply.status, reply.body) == (201, b"x" * LARGE)
    assert reply.headers == {"Content-Type": "a/b", "X-A": "1"}


class Demanding(Exception):
    def __init__(self, one: int, *, two: int) -> None:
        super().__init__(f"{one} {two}")


def _raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as raised:
        return raised


def test_an_exception_keeps_its_name_text_and_traceback_whatever_its_class(ends: Ends) -> None:
    crossed = ends.cross(_raised(Demanding(1, two=2)))
    assert (type(crossed).__name__, str(crossed)) == ("Demanding", "1 2")
    assert "in _raised\n    raise error" in user_traceback(crossed)
    assert user_traceback(ends.cross(crossed)) == user_traceback(crossed)


def test_a_problem_keeps_all_that_it_says(ends: Ends) -> None:
    crossed = ends.cross(Problem(429, "slow", field="n", headers={"Retry-After": "9"}))
    assert type(crossed) is Problem
    assert (crossed.status, crossed.detail, crossed.field) == (429, "slow", "n")
    assert crossed.headers == {"Retry-After": "9"}


@pytest.mark.parametrize("kind", [StartupError, SettingsError])
def test_a_startup_error_keeps_its_hint_exit_code_and_cause(
    ends: Ends, kind: type[StartupError]
) -> None:
    error = kind("no", "do that")
    error.__cause__ = _raised(ValueError("why"))
    crossed = ends.cross(error)
    assert (type(crossed), str(crossed), crossed.hint) == (kind, "no", "do that")
    assert user_traceback(crossed.__cause__).endswith("ValueError: why\n")


def test_an_exception_whose_text_fails_is_told_nevertheless() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert tell(Mute()).text == "(its text cannot be made: ValueError)"
