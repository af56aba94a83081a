"""Objects are kept as a cluster keeps them: over kills, in order, with versions that only grow."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc.cluster import kinds
from mlfunc.errors import MlfuncError
from mlfunc.supervisor.state import keeping
from mlfunc.supervisor.state import objects as module
from mlfunc.supervisor.state.objects import Forgotten, Gone, Objects

from tests.rig.objects import Machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlfunc.cluster.kinds import Kind
    from mlfunc.supervisor.state.objects import Change

Object = dict[str, Any]


def made(kind: Kind, name: str, *, owner: Object | None = None, **body: Any) -> Object:
    owners = [{"uid": owner["metadata"]["uid"]}] if owner else []
    meta = {"name": name, "namespace": "default", "ownerReferences": owners}
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": meta, **body}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    found = Machine(tmp_path / "state.db")
    yield found
    found.close()


@pytest.fixture
def objects(machine: Machine) -> Objects:
    return machine.opened.objects


def versions(changes: list[Change]) -> list[tuple[int, str, str]]:
    return [(each.version, each.happening, each.object["metadata"]["name"]) for each in changes]


def test_generation_grows_with_the_spec_alone(objects: Objects) -> None:
    first = objects.write(made(kinds.SERVICE, "a", spec={"x": 1}))
    labelled = objects.write({**first, "metadata": {**first["metadata"], "labels": {"a": "b"}}})
    changed = objects.write({**labelled, "spec": {"x": 2}})
    said = objects.write_status(kinds.SERVICE, "default", "a", {"ready": True})

    assert said is not None
    found = [first, labelled, changed, said]
    assert [each["metadata"]["generation"] for each in found] == [1, 1, 2, 2]
    assert len({each["metadata"]["uid"] for each in found}) == 1
    assert objects.write(said) is said
    assert objects.preview({**said, "spec": {"x": 3}})["metadata"]["generation"] == 3
    assert objects.get(kinds.SERVICE, "default", "a") is said


def test_what_is_owned_goes_with_its_owner(objects: Objects, machine: Machine) -> None:
    service = objects.write(made(kinds.SERVICE, "a"))
    revision = objects.write(made(kinds.REVISION, "a-00001", owner=service))
    objects.write(made(kinds.POD, "a-00001-x", owner=revision))
    objects.write(made(kinds.REVISION, "b-00001"))
    told: list[Change] = []
    objects.listen(told.append)

    objects.remove(kinds.SERVICE, "default", "a")

    gone = [("a", "DELETED"), ("a-00001", "DELETED"), ("a-00001-x", "DELETED")]
    assert [(each.object["metadata"]["name"], each.happening) for each in told] == gone
    assert [int(each.object["metadata"]["resourceVersion"]) for each in told] == [
        each.version for each in told
    ]
    objects = machine.again()
    assert [each["metadata"]["name"] for each in objects.list(kinds.REVISION)] == ["b-00001"]


def test_all_hear_of_changes_in_their_order(objects: Objects) -> None:
    """Also of those that one of them makes while it hears."""
    told: list[Change] = []

    def answer(change: Change) -> None:
        if change.happening == "ADDED":
            objects.write_status(kinds.SERVICE, "default", "a", {"ready": True})

    objects.listen(answer)
    objects.listen(told.append)
    objects.write(made(kinds.SERVICE, "a"))

    assert [each.happening for each in told] == ["ADDED", "MODIFIED"]
    assert told[0].version < told[1].version
    assert told[1].before is told[0].object


def test_after_a_start_they_are_as_they_were_but_for_what_passes(
    objects: Objects, machine: Machine
) -> None:
    kept = [objects.write(made(kind, "a", spec={})) for kind in (kinds.SERVICE, kinds.SECRET)]
    passing = (kinds.POD, kinds.AUTOSCALER)
    for kind in passing:
        objects.write(made(kind, "a"))

    objects = machine.again()

    assert [objects.get(kind, "default", "a") for kind in (kinds.SERVICE, kinds.SECRET)] == kept
    assert [objects.list(kind) for kind in passing] == [[], []]


def test_versions_never_go_back(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though most changes are of what is not kept."""
    monkeypatch.setattr(keeping, "_TAKEN_AT_ONCE", 2000)
    objects = machine.again()
    highest = 0
    for count in (1, 1500, 3):
        for number in range(count):
            written = objects.write(made(kinds.POD, "a", status={"is": random.random()}))
            assert int(written["metadata"]["resourceVersion"]) > highest, number
            highest = int(written["metadata"]["resourceVersion"])
        objects = machine.again()
        assert objects.version >= highest


def test_a_version_of_before_a_start_is_forgotten(objects: Objects, machine: Machine) -> None:
    objects.write(made(kinds.SERVICE, "a"))
    before = objects.version - 1
    assert len(objects.since(before)) == 1

    objects = machine.again()

    with pytest.raises(Forgotten):
        objects.since(before)
    assert objects.since(objects.version) == []
    with pytest.raises(Forgotten):
        objects.since(objects.version + 1)


def test_only_the_last_changes_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 3)
    objects = Objects()
    assert objects.since(objects.version) == []
    for name in "abcde":
        objects.write(made(kinds.SERVICE, name))

    assert versions([*objects.since(objects.version - 3)]) == [
        (4, "ADDED", "c"),
        (5, "ADDED", "d"),
        (6, "ADDED", "e"),
    ]
    with pytest.raises(Forgotten):
        objects.since(objects.version - 4)


def test_what_cannot_be_kept_is_not_done(objects: Objects, machine: Machine) -> None:
    objects.write(made(kinds.SERVICE, "a"))
    told: list[Change] = []
    objects.listen(told.append)
    version = objects.version
    machine.do(machine.opened.bound())

    with pytest.raises(MlfuncError, match="no space left"):
        machine.do(objects.commit(made(kinds.SECRET, "b", data={"key": "x" * 100_000})))

    assert objects.get(kinds.SECRET, "default", "b") is None
    assert (objects.version, told) == (version, [])
    objects = machine.again()
    assert [each["metadata"]["name"] for each in objects.list(kinds.SERVICE)] == ["a"]


def test_nobody_sees_what_is_asked_for_before_it_is_kept(
    objects: Objects, machine: Machine
) -> None:
    told: list[Change] = []
    objects.listen(told.append)

    async def ask() -> Object:
        asked = asyncio.ensure_future(objects.commit(made(kinds.SERVICE, "a", spec={"x": 1})))
        await asyncio.sleep(0)
        assert (objects.get(kinds.SERVICE, "default", "a"), told) == (None, [])
        return await asked

    kept = machine.do(ask())

    assert objects.get(kinds.SERVICE, "default", "a") is kept
    assert [each.object for each in told] == [kept]
    assert machine.do(objects.commit(kept)) is kept


def test_what_is_said_of_an_object_while_it_is_changed_stays_said(
    objects: Objects, machine: Machine
) -> None:
    first = objects.write(made(kinds.SERVICE, "a", spec={"x": 1}))

    async def ask() -> Object:
        asked = asyncio.ensure_future(objects.commit({**first, "spec": {"x": 2}}))
        await asyncio.sleep(0)
        objects.write_status(kinds.SERVICE, "default", "a", {"ready": True})
        return await asked

    changed = machine.do(ask())

    assert (changed["spec"], changed["status"]) == ({"x": 2}, {"ready": True})
    assert changed["metadata"]["generation"] == 2
    assert machine.again().get(kinds.SERVICE, "default", "a") == changed


def test_what_goes_while_it_is_changed_stays_gone(objects: Objects, machine: Machine) -> None:
    first = objects.write(made(kinds.REVISION, "a-00001"))

    async def ask() -> None:
        changed = {**first, "metadata": {**first["metadata"], "labels": {"a": "b"}}}
        asked = asyncio.ensure_future(objects.commit(changed))
        await asyncio.sleep(0)
        objects.remove(kinds.REVISION, "default", "a-00001")
        await asked

    with pytest.raises(Gone):
        machine.do(ask())

    assert machine.again().list(kinds.REVISION) == []


def test_what_could_not_be_written_is_written_once_there_is_room(
    objects: Objects, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_AGAIN_SECONDS", 0.005)
    big = {"text": "x" * 100_000}

    async def go_on() -> None:
        await machine.opened.bound()
        objects.write(made(kinds.REVISION, "a", status=big))
        with pytest.raises(MlfuncError, match="no space left"):
            await objects.commit(made(kinds.SERVICE, "b"))  # that would be of later
        await machine.opened.bound(2**30)
        await objects.commit(made(kinds.SERVICE, "b"))

    machine.do(go_on())
    objects = machine.again()

    assert [each["status"] for each in objects.list(kinds.REVISION)] == [big]
    assert len(objects.list(kinds.SERVICE)) == 1


WRITER = """
import asyncio, pathlib, sys
from mlfunc.cluster import kinds
from tests.rig.objects import Opened

async def write(path, number):
    found = Opened(path).objects
    while True:
        number += 1
        name = f"a{number % 7}"
        if number % 5 == 0:
            await found.commit_removal(kinds.SERVICE, "default", name)
            print(number, name, "-", found.version, flush=True)
            continue
        meta = {"name": name, "namespace": "default"}
        head = {"apiVersion": "serving.knative.dev/v1", "kind": "Service"}
        kept = await found.commit({**head, "metadata": meta, "spec": {"number": number}})
        print(number, name, "+", kept["metadata"]["resourceVersion"], flush=True)
        found.write_status(kinds.SERVICE, "default", name, {"number": number})

asyncio.run(write(pathlib.Path(sys.argv[1]), int(sys.argv[2])))
"""


def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path, number, version = tmp_path / "state.db", 0, 0
    expected: dict[str, int] = {}
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(number)],
            cwd=Path(__file__).parents[4],  # where `tests` is found
            stdout=subprocess.PIPE,
        ) as writer:
            assert writer.stdout is not None
            lines = [writer.stdout.readline() for _ in range(random.randrange(1, 120))]
            writer.kill()
            lines += writer.stdout.readlines()
        for line in lines:
            if not line.endswith(b"\n"):
                continue
            text, name, sign, at = line.decode().split()
            assert int(at) >= version, "a version has gone back"
            number, version = int(text), int(at)
            expected.pop(name, None)
            if sign == "+":
                expected[name] = number
        found = keeping.load(path)[0].values()
        there = {each["metadata"]["name"]: each["spec"]["number"] for each in found}
        # What was said of one is lost, or of before; it is never of what is not there.
        assert all(
            each["status"]["number"] <= each["spec"]["number"] for each in found if "status" in each
        )
        # The one that was under way when it was killed may have been kept, and not been told.
        last = f"a{(number + 1) % 7}"
        assert {name: at for name, at in there.items() if name != last} == {
            name: at for name, at in expected.items() if name != last
        }
        expected, number = there, number + 1
