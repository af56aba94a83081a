"""The logs of all instances: of this start and the one before; of those that ended, not too many."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from mlfunc.supervisor.fleet import logs as module
from mlfunc.supervisor.fleet.logs import Logs, NoLog
from mlfunc.supervisor.fleet.reading import Query
from mlfunc.supervisor.parts import Key

if TYPE_CHECKING:
    from pathlib import Path

REVISION = Key("default", "x-00001")


def said(logs: Logs, pod: str, query: Query) -> bytes:
    async def gather() -> bytes:
        return b"".join([block async for block in logs.read("default", pod, query)])

    return asyncio.run(gather())


def run(logs: Logs, instance: str, line: bytes) -> None:
    """A process that says a line and ends."""
    journal = logs.begin(REVISION, instance)
    journal.write([line])
    journal.close()


def test_what_ran_before_in_an_instance_is_kept_and_what_ran_before_that_is_not(
    tmp_path: Path,
) -> None:
    logs = Logs(tmp_path)
    for line in (b"one", b"two", b"three"):
        run(logs, "x-1", line)

    assert said(logs, "x-1", Query()) == b"three\n"
    assert said(logs, "x-1", Query(previous=True)) == b"two\n"


def test_a_pod_that_is_not_there_and_one_that_never_ended_have_no_log(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    run(logs, "x-1", b"one")

    with pytest.raises(NoLog, match="previous"):
        logs.read("default", "x-1", Query(previous=True))
    with pytest.raises(NoLog, match='pods "x-2" not found'):
        logs.read("default", "x-2", Query())
    logs.end(REVISION, "x-1")
    with pytest.raises(NoLog):
        logs.read("default", "x-1", Query())


def test_of_instances_that_ended_the_newest_files_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_KEPT_FILES", 3)
    logs = Logs(tmp_path)
    run(logs, "lives", b"still")
    for number in range(6):
        run(logs, f"x-{number}", b"said")
        logs.end(REVISION, f"x-{number}")

    left = sorted(path.name for path in (tmp_path / "default" / "x-00001").iterdir())
    assert left == ["lives.log", "x-3.log", "x-4.log", "x-5.log"]


def test_and_no_more_bytes_than_a_revision_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_KEPT_BYTES", 250)
    logs = Logs(tmp_path)
    for number in range(4):
        run(logs, f"x-{number}", b"y" * 69)
        logs.end(REVISION, f"x-{number}")

    left = sorted(path.name for path in (tmp_path / "default" / "x-00001").iterdir())
    assert left == ["x-2.log", "x-3.log"]


def test_logs_of_revisions_that_are_no_more_are_forgotten(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    run(logs, "x-1", b"one")
    logs.begin(Key("default", "x-00002"), "x-2").close()
    logs.forget({REVISION})

    assert [path.name for path in (tmp_path / "default").iterdir()] == ["x-00001"]
