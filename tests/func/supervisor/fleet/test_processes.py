"""So many instances of a revision: started, heard, restarted, ended. The processes are real ones."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import ANY

from mlfunc.knative import crashes
from mlfunc.supervisor.fleet import journal, liveness, memory
from mlfunc.supervisor.fleet.allocation import Allocation
from mlfunc.supervisor.fleet.logs import Logs
from mlfunc.supervisor.fleet.processes import Processes
from mlfunc.supervisor.fleet.reading import Query
from mlfunc.supervisor.parts import Blueprint, Fleet, Instance, Key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    import pytest

FAKE = Path(__file__).parents[2] / "fake_runtime.py"
REVISION = Key("default", "greeter-00001")


def blueprint(folder: Path, *argv: str, **env: str) -> Blueprint:
    """Of the fake runtime, if no program is named."""
    return Blueprint(
        revision=REVISION,
        service="greeter",
        argv=(sys.executable, *(argv or (str(FAKE),))),
        folder=str(folder),
        env={**os.environ, **env},
        concurrency=0,
        timeout=60.0,
        drain=30.0,
        progress=60.0,
    )


@dataclass
class Witness:
    """Sees all that becomes of instances."""

    seen: list[Instance] = field(default_factory=list)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, instance: Instance) -> None:
        """What a fleet calls."""
        self.seen.append(instance)
        self._more.set()

    async def until(self, is_so: Callable[[Instance], bool], count: int = 1) -> Instance:
        """The instance, once so many were seen of which this is so."""
        while len(found := [each for each in self.seen if is_so(each)]) < count:
            self._more.clear()
            await self._more.wait()
        return found[-1]

    async def phase(self, name: str, count: int = 1) -> Instance:
        """Once so many have come to it."""
        return await self.until(lambda each: each.phase == name, count)

    def phases(self, instance: str | None = None) -> list[str]:
        """In order."""
        return [each.phase for each in self.seen if instance in (None, each.name)]


@dataclass
class Scene:
    fleet: Processes
    witness: Witness
    logs: Logs

    async def log(self, instance: Instance, **query: object) -> list[str]:
        """What an instance said so far."""
        blocks = self.logs.read("default", instance.name, Query(**query))  # type: ignore[arg-type]
        return b"".join([block async for block in blocks]).decode().splitlines()


def on_a_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A test that is a coroutine, as one that pytest runs."""

    @functools.wraps(test)
    def run(**fixtures: object) -> None:
        asyncio.run(test(**fixtures))  # type: ignore[arg-type]

    return run


@contextlib.asynccontextmanager
async def scene(
    folder: Path, pause: float = 0.001, devices: Sequence[str] = ()
) -> AsyncIterator[Scene]:
    """A fleet that starts again so soon, at once if nothing is said, what has failed."""
    logs = Logs(folder / "logs")
    allocation = Allocation(lambda kind: devices)
    fleet, witness = Processes(logs, pause=lambda _: pause, allocation=allocation), Witness()
    fleet.listen(witness)
    async with asyncio.timeout(60):
        try:
            yield Scene(fleet, witness, logs)
        finally:
            await fleet.close()


@on_a_loop
async def test_an_instance_starts_is_ready_and_drains(project: Path) -> None:
    async with scene(project) as it:
        it.fleet.scale(blueprint(project), 1)
        ready = await it.witness.phase("ready")
        it.fleet.scale(blueprint(project), 0)
        ended = await it.witness.phase("ended")

    assert it.witness.phases() == [
        "starting", "listening", "importing", "loading", "ready", "draining", "ended",
    ]  # fmt: skip
    assert ready.port
    assert ready.startup == {"import": 0.2, "load": 0.5, "total": 0.7}
    assert (ended.exit_code, ended.failure, ended.pid, it.fleet.instances()) == (0, "", None, [])


@on_a_loop
async def test_what_it_says_is_in_its_log_with_progress_bars_apart(project: Path) -> None:
    async with scene(project) as it:
        it.fleet.scale(blueprint(project), 1)
        ready = await it.witness.phase("ready")
        said: list[str] = []
        while "a line" not in "".join(said):
            said = await it.log(ready)

    assert "progress 50%" in said
    assert json.loads(said[said.index("progress 50%") + 1])["phase"] == "ready"
    assert Path(ready.log).parent == project / "logs" / "default" / "greeter-00001"


@on_a_loop
async def test_the_runtime_itself_answers_on_the_port_it_told(project: Path) -> None:
    real = blueprint(project, "-m", "mlfunc_runtime", MLFUNC_FUNCTION=str(project / "mlfunc.yaml"))
    async with scene(project) as it:
        it.fleet.scale(replace(real, env={**real.env, "PORT": "1", "MLFUNC_HOST": "0.0.0.0"}), 1)
        ready = await it.witness.phase("ready")
        answer = await asyncio.to_thread(ask, f"http://127.0.0.1:{ready.port}", b'{"name": "Bob"}')
        metrics = await asyncio.to_thread(ask, f"http://127.0.0.1:{ready.metrics_port}/metrics")

    assert answer == b'"Hello Bob"'
    assert b"mlfunc_requests_total" in metrics
    assert it.witness.seen[-1].exit_code == 0


def ask(url: str, body: bytes | None = None) -> bytes:
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        return bytes(reply.read())


@on_a_loop
async def test_of_those_that_are_too_many_the_newest_go(project: Path) -> None:
    async with scene(project) as it:
        it.fleet.scale(blueprint(project), 3)
        await it.witness.phase("ready", 3)
        first, *others = it.fleet.instances(REVISION)
        it.fleet.scale(blueprint(project), 1)
        await it.witness.phase("ended", 2)

        assert [each.name for each in it.fleet.instances()] == [first.name]
        assert {each.name for each in it.witness.seen if each.phase == "ended"} == {
            each.name for each in others
        }


@on_a_loop
async def test_one_that_goes_is_none_of_those_that_shall_be(project: Path) -> None:
    deaf = replace(blueprint(project, FAKE="deaf"), drain=1000.0)
    async with scene(project) as it:
        it.fleet.scale(deaf, 1)
        old = await it.witness.phase("ready")
        it.fleet.scale(deaf, 0)
        it.fleet.scale(replace(deaf, env=os.environ), 1)
        new = await it.witness.phase("ready", 2)
        assert {each.phase for each in it.fleet.instances()} == {"draining", "ready"}
        os.kill(old.pid or 0, signal.SIGKILL)

    assert new.name != old.name


@on_a_loop
async def test_a_crash_is_started_again_with_the_words_of_its_end(project: Path) -> None:
    (project / "predictor.py").write_text("broken")
    async with scene(project) as it:
        it.fleet.scale(blueprint(project), 1)
        failed = await it.witness.phase("backoff")
        await it.witness.until(lambda each: each.restarts == 2)
        (project / "predictor.py").write_text("mended")
        ready = await it.witness.phase("ready")

    assert (failed.exit_code, failed.pid, failed.port) == (1, None, None)
    assert failed.failure == "NameError: x\nTraceback: predictor.py, line 1"
    assert (ready.name, ready.restarts >= 2, ready.exit_code) == (failed.name, True, 1)


@on_a_loop
async def test_one_that_is_killed_shows_the_signal_and_the_log_of_before(project: Path) -> None:
    async with scene(project) as it:
        it.fleet.scale(blueprint(project), 1)
        ready = await it.witness.phase("ready")
        os.kill(ready.pid or 0, signal.SIGKILL)
        again = await it.witness.phase("ready", 2)
        before = await it.log(again, previous=True)

    assert (again.exit_code, again.restarts, again.pid != ready.pid) == (-9, 1, True)
    assert "progress 50%" in before
    told = json.loads(before[-1])
    assert (told["level"], told["message"]) == (
        "error",
        "it was ended by SIGKILL; it is started again",
    )


@on_a_loop
async def test_a_start_that_takes_too_long_is_ended_and_told(project: Path) -> None:
    slow = "import os, time; print('slow', flush=True); time.sleep(1000)"
    async with scene(project) as it:
        it.fleet.scale(replace(blueprint(project, "-c", slow), progress=0.2), 1)
        failed = await it.witness.phase("backoff")

    assert failed.failure == "it was not ready after 0.2 s, and was ended: it was starting"
    assert failed.exit_code == -9


@on_a_loop
async def test_one_that_hangs_is_ended_and_started_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, float]] = []
    hangs = asyncio.Event()

    async def lost(port: int, patience: float) -> None:
        asked.append((port, patience))
        await hangs.wait()
        hangs.clear()

    monkeypatch.setattr(liveness, "lost", lost)
    async with scene(project) as it:
        it.fleet.scale(replace(blueprint(project), timeout=90.0), 1)
        ready = await it.witness.phase("ready")
        hangs.set()
        failed = await it.witness.phase("backoff")
        again = await it.witness.phase("ready", 2)

    assert asked == [(ready.port, 90.0), (again.port, 90.0)]
    assert (failed.exit_code, failed.failure) == (-9, "it did not answer for 90 s, and was ended")


@on_a_loop
async def test_one_whose_slots_are_all_stuck_drains_and_is_started_again(project: Path) -> None:
    async with scene(project) as it:
        it.fleet.scale(blueprint(project, FAKE="stuck"), 1)
        failed = await it.witness.phase("backoff")
        await it.witness.phase("ready", 2)
        said = await it.log(failed, previous=True)

    assert it.witness.phases()[4:7] == ["ready", "draining", "backoff"]
    assert (failed.exit_code, failed.failure) == (3, f"{crashes.STUCK}\nStack: x")
    assert any(f"{crashes.STUCK}; it is started again" in line for line in said)


@on_a_loop
async def test_one_that_does_not_drain_is_killed_with_all_that_it_started(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlfunc.supervisor.fleet.member._GRACE", 0.1)
    async with scene(project) as it:
        it.fleet.scale(replace(blueprint(project, FAKE="deaf"), drain=0.1), 1)
        await it.witness.phase("ready")
        await it.fleet.close()

    assert it.witness.seen[-1].phase == "ended"
    assert it.witness.seen[-1].exit_code == -9


@on_a_loop
async def test_where_a_port_was_taken_it_is_started_again_at_once_but_once(project: Path) -> None:
    async with scene(project, pause=1000.0) as it:
        it.fleet.scale(blueprint(project, FAKE="port-taken"), 1)
        await it.witness.until(lambda each: each.phase == "backoff" and each.restarts == 1)

        assert it.witness.phases() == ["starting", "backoff", "starting", "backoff"]


@on_a_loop
async def test_each_instance_has_accelerators_of_its_own_and_who_finds_none_waits(
    project: Path,
) -> None:
    one_each = replace(blueprint(project), accelerator="nvidia", devices=1)
    async with scene(project, devices=["0", "GPU-1"]) as it:
        it.fleet.scale(one_each, 3)
        await it.witness.phase("ready", 2)
        first, second, waiting = it.fleet.instances()
        seen = [environment(each.pid)["CUDA_VISIBLE_DEVICES"] for each in (first, second)]
        # A crash keeps them, as a container's does.
        os.kill(first.pid or 0, signal.SIGKILL)
        again = await it.witness.until(lambda each: each.phase == "ready" and each.restarts == 1)
        kept = environment(again.pid)["CUDA_VISIBLE_DEVICES"]
        it.fleet.scale(one_each, 2)
        assert await it.witness.phase("ended") == replace(waiting, phase="ended", since=ANY)

    assert seen == ["0", "GPU-1"]
    assert kept == "0"
    assert (waiting.phase, waiting.pid) == ("pending", None)


@on_a_loop
async def test_an_accelerator_is_handed_on_when_its_process_has_ended(project: Path) -> None:
    old = replace(blueprint(project), accelerator="nvidia", devices=2)
    new = replace(old, revision=Key("default", "greeter-00002"), devices=1)
    async with scene(project, devices=["0", "1"]) as it:
        it.fleet.scale(old, 1)
        before = await it.witness.phase("ready")
        it.fleet.scale(new, 2)
        assert it.witness.phases()[-2:] == ["pending", "pending"]
        it.fleet.scale(old, 0)
        await it.witness.phase("ready", 3)

    phases = [(each.revision.name[-1], each.phase) for each in it.witness.seen]
    assert phases.index(("1", "ended")) < phases.index(("2", "starting"))
    assert not Path(f"/proc/{before.pid}").exists()


@on_a_loop
async def test_a_function_without_accelerator_waits_for_none_and_sees_none(project: Path) -> None:
    async with scene(project) as it:
        it.fleet.scale(blueprint(project, CUDA_VISIBLE_DEVICES="0"), 1)
        ready = await it.witness.phase("ready")
        seen = environment(ready.pid)["CUDA_VISIBLE_DEVICES"]

    assert seen == ""


def environment(pid: int | None) -> dict[str, str]:
    """Of a process."""
    told = Path(f"/proc/{pid}/environ").read_text(encoding="utf-8").split("\0")
    return dict(each.split("=", 1) for each in told if each)


@on_a_loop
async def test_one_that_takes_too_much_memory_is_ended_and_started_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_PERIOD", 0.01)
    async with scene(project, pause=1000.0) as it:
        it.fleet.scale(replace(blueprint(project), memory=2.0**20), 1)
        failed = await it.witness.phase("backoff")
        said = await it.log(failed)

    assert (failed.exit_code, failed.out_of_memory) == (-9, True)
    assert failed.last_phase in ("starting", "listening", "importing", "loading", "ready")
    assert re.fullmatch(
        r"it took \S+Mi of memory, more than its limit of 1Mi, and was ended", failed.failure
    )
    assert json.loads(said[-1])["message"] == f"{failed.failure}; it is started again"


CHILD = """
import os, subprocess, sys, time
child = subprocess.Popen(["sleep", "1000"])
print(child.pid, flush=True)
os._exit(1)
"""


@on_a_loop
async def test_what_a_process_leaves_behind_ends_with_it(project: Path) -> None:
    async with scene(project, pause=1000.0) as it:
        it.fleet.scale(blueprint(project, "-c", CHILD), 1)
        failed = await it.witness.phase("backoff")
        [pid, *_] = await it.log(failed)

    # Where there is no such process any more, somebody has waited for its end.
    with contextlib.suppress(FileNotFoundError):
        assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@on_a_loop
async def test_one_whose_folder_is_gone_waits_for_its_next_start(project: Path) -> None:
    async with scene(project) as it:
        it.fleet.scale(blueprint(project / "gone"), 1)
        failed = await it.witness.phase("backoff")
        (project / "gone").mkdir()
        (project / "gone" / "predictor.py").touch()
        await it.witness.phase("ready")

    gone = f"it cannot be started: {project / 'gone'} is gone; mlfunc deploy makes it anew"
    assert failed.failure == gone


@on_a_loop
async def test_one_with_a_variable_that_no_process_can_have_says_so(project: Path) -> None:
    async with scene(project) as it:
        it.fleet.scale(replace(blueprint(project), env={"A": "x\0y"}), 1)
        failed = await it.witness.phase("backoff")

    assert failed.failure == "it cannot be started: embedded null byte"


@on_a_loop
async def test_one_that_waits_to_be_started_again_goes_at_once(project: Path) -> None:
    (project / "predictor.py").write_text("broken")
    async with scene(project, pause=1000.0) as it:
        it.fleet.scale(blueprint(project), 1)
        await it.witness.phase("backoff")
        it.fleet.scale(blueprint(project), 0)

        assert it.witness.phases()[-1] == "ended"


@on_a_loop
async def test_all_end_side_by_side_and_none_is_started_then(project: Path) -> None:
    async with scene(project) as it:
        it.fleet.scale(blueprint(project), 4)
        await it.witness.phase("ready", 4)
        closing = asyncio.create_task(it.fleet.close())
        await it.witness.phase("draining", 4)
        it.fleet.scale(blueprint(project), 5)
        await closing

        assert it.fleet.instances() == []


FLOOD = """
import os, signal, sys, time
sys.stderr.write('{"time":"2026-01-02T03:04:05Z","level":"info","message":"","phase":"ready"}\\n')
line = b"x" * 99 + b"\\n"
while True:
    os.write(1, line * 1000)
"""


@on_a_loop
async def test_a_flood_of_output_holds_up_neither_the_loop_nor_fills_the_disk(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "FULL", 1_000_000)
    async with scene(project) as it:
        it.fleet.scale(blueprint(project, "-c", FLOOD), 1)
        ready = await it.witness.phase("ready")
        path = Path(ready.log)
        # The loop takes turns: enough of them for the files to be full many times.
        turned = 0
        inode = path.stat().st_ino
        while turned < 5:
            await asyncio.sleep(0)
            now = path.stat().st_ino
            turned, inode = turned + (now != inode), now
        sizes = [each.stat().st_size for each in path.parent.iterdir()]

    assert len(sizes) == 2
    assert sum(sizes) < 2 * 1_100_000


PARENT = """
import asyncio, sys
from pathlib import Path
from tests.func.supervisor.fleet.test_processes import Witness, blueprint
from mlfunc.supervisor.fleet.logs import Logs
from mlfunc.supervisor.fleet.processes import Processes

async def main():
    folder = Path(sys.argv[1])
    fleet, witness = Processes(Logs(folder / "logs")), Witness()
    fleet.listen(witness)
    fleet.scale(blueprint(folder), 2)
    await witness.phase("ready", 2)
    print(*(each.pid for each in fleet.instances()), flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


def test_when_their_parent_is_killed_they_end_with_it(project: Path) -> None:
    root = Path(__file__).parents[4]
    argv = [sys.executable, "-c", PARENT, str(project)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=root) as parent:
        assert parent.stdout
        handles = [os.pidfd_open(int(pid)) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(handles) == 2
    for handle in handles:
        with os.fdopen(handle) as ending:
            wait_for(ending.fileno())


def wait_for(handle: int) -> None:
    """Until a process has ended."""
    import select

    poll = select.poll()
    poll.register(handle, select.POLLIN)
    assert poll.poll(60_000)


def test_it_is_what_the_other_parts_ask_for(tmp_path: Path) -> None:
    async def made() -> Fleet:
        return Processes(Logs(tmp_path))

    asyncio.run(made())
