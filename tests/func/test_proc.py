"""Processes are started, heard, and never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from mlfunc import proc

if TYPE_CHECKING:
    from pathlib import Path

ORPHAN = """
import os, sys
from pathlib import Path
from mlfunc import proc
sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
child = proc.start(sleep, cwd=Path("."), env=os.environ)
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_lines_come_as_they_are_written_and_the_tail_is_kept() -> None:
    lines: list[str] = []
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"

    finished = proc.run([sys.executable, "-u", "-c", code], on_line=lines.append)

    assert lines == ["out", "err"]
    assert finished == proc.Finished(7, "out\nerr")


def test_only_the_last_lines_are_kept() -> None:
    code = "for i in range(100): print(i)"

    finished = proc.run([sys.executable, "-c", code], on_line=lambda _: None)

    assert finished.tail.splitlines() == [str(i) for i in range(80, 100)]


@pytest.mark.skipif(sys.platform != "linux", reason="only its kernel ends orphans")
def test_a_server_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.run([sys.executable, "-c", ORPHAN], capture_output=True, check=False)

    assert parent.returncode == -signal.SIGKILL
    descriptor = _pidfd(int(parent.stdout))
    if descriptor is not None:
        import select

        ended, _, _ = select.select([descriptor], [], [], 10)
        os.close(descriptor)
        assert ended


@pytest.mark.skipif(sys.platform != "linux", reason="only its kernel ends orphans")
def test_a_program_that_is_not_there_is_told_by_its_name() -> None:
    finished = proc.run(["/no/such/program"], on_line=lambda _: None)

    assert finished == proc.Finished(1, "/no/such/program: No such file or directory")


def test_starting_a_program_beside_threads_forks_no_python(tmp_path: Path) -> None:
    with mock.patch.object(subprocess, "Popen", wraps=subprocess.Popen) as popen:
        proc.start([sys.executable, "-c", ""], cwd=tmp_path, env=os.environ).communicate()

    assert popen.call_args.kwargs.get("preexec_fn") is None


def test_what_nobody_listens_to_any_more_is_ended() -> None:
    pids: list[int] = []

    def leave(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        proc.run([sys.executable, "-c", code], on_line=leave)

    assert time.monotonic() - began < 30
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_output_that_is_no_text_is_shown_as_well_as_it_can_be() -> None:
    code = r"import sys; sys.stdout.buffer.write(b'caf\xe9\n\x00\n')"

    assert proc.run([sys.executable, "-c", code], on_line=lambda _: None).tail == "caf\ufffd\n\x00"


def _pidfd(pid: int) -> int | None:
    """A descriptor that is readable when the process ends; None when it has ended already."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def test_a_server_is_deaf_to_the_interrupts_of_our_terminal(tmp_path: Path) -> None:
    child = proc.start([sys.executable, "-c", ""], cwd=tmp_path, env=os.environ)
    group = os.getpgid(child.pid)
    child.communicate()

    assert group == child.pid != os.getpgid(0)


def test_signalling_a_group_that_has_ended_is_no_error(tmp_path: Path) -> None:
    child = proc.start([sys.executable, "-c", ""], cwd=tmp_path, env=os.environ)
    child.communicate()

    proc.signal_group(child, signal.SIGTERM)


def test_a_cancellation_ends_all_that_run_under_it() -> None:
    cancellation = proc.Cancellation()
    running = threading.Barrier(3)

    def meet() -> None:
        running.wait()

    def sleep() -> None:
        argv = [sys.executable, "-uc", "import time; print(); time.sleep(60)"]
        with pytest.raises(proc.Cancelled):
            proc.run(argv, on_line=lambda _: meet(), cancellation=cancellation)

    with ThreadPoolExecutor() as pool:
        ended = [pool.submit(sleep) for _ in range(2)]
        running.wait()
        cancellation.cancel()

    assert [each.result() for each in ended] == [None, None]


@pytest.fixture(params=["pidfd", "thread"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of being told: as on Linux, and as where there are no descriptors of processes."""
    if request.param == "thread":
        monkeypatch.delattr(os, "pidfd_open")


def told_exit(argv: list[str], folder: Path, signum: signal.Signals | None = None) -> int:
    async def wait() -> int:
        loop = asyncio.get_running_loop()
        code: asyncio.Future[int] = loop.create_future()
        child = proc.start(argv, cwd=folder, env=os.environ)
        proc.tell_exit(child, loop, code.set_result)
        if signum is not None:
            proc.signal_process(child, signum)
        try:
            return await code
        finally:
            assert child.stderr
            with child.stderr:
                assert child.stderr.read() == b""

    return asyncio.run(wait())


@pytest.mark.usefixtures("way")
def test_an_event_loop_is_told_how_a_server_ended(tmp_path: Path) -> None:
    assert told_exit([sys.executable, "-c", "exit(3)"], tmp_path) == 3
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert told_exit(sleep, tmp_path, signal.SIGKILL) == -9


@pytest.mark.usefixtures("way")
def test_what_a_server_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    code = "import subprocess; subprocess.Popen(['sleep', '10000'])"

    # The end of what both could write to is the end of both.
    assert told_exit([sys.executable, "-c", code], tmp_path) == 0
