"""Coroutines of user code, in a patched process as the server is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mlfunc_runtime.asyncloop import AsyncLoop
from mlfunc_runtime.executor import Mailbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .conftest import Process

    Start = Callable[..., Process]


@pytest.fixture
def loop() -> Iterator[AsyncLoop]:
    mailbox = Mailbox()
    made = AsyncLoop(mailbox)
    yield made
    made.close()
    mailbox.close()


async def add(a: int, b: int) -> int:
    return a + b


async def leave() -> None:
    raise SystemExit(3)


def test_a_started_loop_and_one_that_was_not_run_coroutines(loop: AsyncLoop) -> None:
    assert loop.run(add(1, 2)) == 3
    loop.start()
    assert loop.run_blocking(add(2, 2)) == 4


@pytest.mark.parametrize("run", ["run", "run_blocking"])
def test_a_coroutine_that_leaves_does_not_take_the_loop_with_it(loop: AsyncLoop, run: str) -> None:
    with pytest.raises(RuntimeError, match="leave raised SystemExit") as raised:
        getattr(loop, run)(leave())
    assert isinstance(raised.value.__cause__, SystemExit)
    assert loop.run(add(1, 1)) == 2


def test_a_task_that_leaves_does_not_take_the_loop_with_it(
    loop: AsyncLoop, caplog: pytest.LogCaptureFixture
) -> None:
    async def spawn() -> object:
        import asyncio

        task = asyncio.get_running_loop().create_task(leave())
        await asyncio.sleep(0.05)
        return task.exception()

    assert isinstance(loop.run(spawn()), SystemExit)
    assert "a task raised SystemExit" in caplog.messages
    assert loop.run(add(1, 1)) == 2


def test_async_libraries_work_in_a_patched_process(start: Start) -> None:
    """Name resolution, executors and threads of their own are what async clients are made of."""
    process = start("""
        import asyncio, queue, threading, time

        class P:
            async def load(self): self.server = await asyncio.start_server(self.echo, "127.0.0.1", 0)

            async def echo(self, reader, writer):
                writer.write((await reader.readline()).upper())
                await writer.drain()
                writer.close()

            async def before_predict(self, request):
                loop = asyncio.get_running_loop()
                port = self.server.sockets[0].getsockname()[1]
                reader, writer = await asyncio.open_connection("localhost", port)
                writer.write(b"hello\\n")
                answer = await reader.readline()
                writer.close()
                await asyncio.to_thread(time.sleep, 0.01)
                from_thread = loop.create_future()
                threading.Thread(
                    target=lambda: loop.call_soon_threadsafe(from_thread.set_result, "thread")
                ).start()
                return [answer.decode(), await from_thread]

            def predict(self, words: list[str]) -> list[str]: return words
    """)
    assert process.json(b"{}") == (200, ["HELLO\n", "thread"])


def test_a_request_that_is_out_of_time_cancels_its_coroutine(start: Start) -> None:
    process = start(
        """
        import asyncio

        class P:
            async def before_predict(self, request):
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    print("cancelled", flush=True)
                    raise
            def predict(self, n: int) -> int: return n
        """,
        serve={"timeout": "200ms"},
    )
    assert process.json(b"{}")[0] == 504
    assert process.child.stdout is not None
    assert process.child.stdout.readline() == "cancelled\n"


def test_an_exception_of_a_coroutine_is_logged_with_its_line(start: Start) -> None:
    process = start("""
        class P:
            async def before_predict(self, request): raise ValueError("here")
            def predict(self, n: int) -> int: return n
    """)
    assert process.json(b"{}")[0] == 500
    process.stop()
    (error,) = [line for line in process.lines if line["level"] == "error"]
    assert 'raise ValueError("here")' in error["traceback"]


def test_hooks_that_leave_fail_their_request_alone(start: Start) -> None:
    process = start("""
        class P:
            async def before_predict(self, request):
                if request.headers.get("x-leave"): raise SystemExit(3)
            def predict(self, n: int) -> int: return n
    """)
    assert process.call(b'{"n": 1}', content_type="application/json", x_leave="1").status == 500
    assert process.json(b'{"n": 1}') == (200, 1)
