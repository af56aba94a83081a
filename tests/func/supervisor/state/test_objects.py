"""Objects are kept as a cluster keeps them: over kills, in order, with versions that only grow."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc.cluster import kinds
from mlfunc.errors import MlfuncError
from mlfunc.supervisor.state import objects as module
from mlfunc.supervisor.state.keeping import Kept
from mlfunc.supervisor.state.objects import Forgotten, Objects

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlfunc.cluster.kinds import Kind
    from mlfunc.supervisor.state.objects import Change

Object = dict[str, Any]


def made(kind: Kind, name: str, *, owner: Object | None = None, **body: Any) -> Object:
    owners = [{"uid": owner["metadata"]["uid"]}] if owner else []
    meta = {"name": name, "namespace": "default", "ownerReferences": owners}
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": meta, **body}


class Opened:
    """Objects of a file, which may be closed and opened anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.kept = Kept(path)

    def again(self) -> Objects:
        """As after a start."""
        self.kept.close()
        self.kept = Kept(self._path)
        return Objects(self.kept)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    found = Opened(tmp_path / "state.db")
    yield found
    found.kept.close()


@pytest.fixture
def objects(opened: Opened) -> Objects:
    return Objects(opened.kept)


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


def test_what_is_owned_goes_with_its_owner(objects: Objects, opened: Opened) -> None:
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
    objects = opened.again()
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
    objects: Objects, opened: Opened
) -> None:
    kept = [objects.write(made(kind, "a", spec={})) for kind in (kinds.SERVICE, kinds.SECRET)]
    passing = (kinds.POD, kinds.AUTOSCALER)
    for kind in passing:
        objects.write(made(kind, "a"))

    objects = opened.again()

    assert [objects.get(kind, "default", "a") for kind in (kinds.SERVICE, kinds.SECRET)] == kept
    assert [objects.list(kind) for kind in passing] == [[], []]


def test_versions_never_go_back(objects: Objects, opened: Opened) -> None:
    """Though most changes are of what is not kept."""
    highest = 0
    for count in (1, 1500, 3):
        for number in range(count):
            written = objects.write(made(kinds.POD, "a", status={"is": random.random()}))
            assert int(written["metadata"]["resourceVersion"]) > highest, number
            highest = int(written["metadata"]["resourceVersion"])
        objects = opened.again()
        assert objects.version >= highest


def test_a_version_of_before_a_start_is_forgotten(objects: Objects, opened: Opened) -> None:
    objects.write(made(kinds.SERVICE, "a"))
    before = objects.version - 1
    assert len(objects.since(before)) == 1

    objects = opened.again()

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


def test_what_cannot_be_kept_is_not_done(objects: Objects, opened: Opened) -> None:
    objects.write(made(kinds.SERVICE, "a"))
    told: list[Change] = []
    objects.listen(told.append)
    version = objects.version
    opened.kept._database.rows("PRAGMA max_page_count = 1")

    with pytest.raises(MlfuncError, match="no space left"):
        objects.write(made(kinds.SECRET, "b", data={"key": "x" * 100_000}))

    assert objects.get(kinds.SECRET, "default", "b") is None
    assert (objects.version, told) == (version, [])
    objects = opened.again()
    assert [each["metadata"]["name"] for each in objects.list(kinds.SERVICE)] == ["a"]


WRITER = """
import pathlib, sys
from mlfunc.supervisor.state import keeping, objects
found = objects.Objects(keeping.Kept(pathlib.Path(sys.argv[1])))
number = int(sys.argv[2])
while True:
    number += 1
    name = f"a{number % 7}"
    if number % 5 == 0:
        found.remove(objects.kinds.SERVICE, "default", name)
        print(number, name, "-", found.version, flush=True)
        continue
    meta = {"name": name, "namespace": "default"}
    head = {"apiVersion": "serving.knative.dev/v1", "kind": "Service"}
    kept = found.write({**head, "metadata": meta, "spec": {"number": number}})
    print(number, name, "+", kept["metadata"]["resourceVersion"], flush=True)
"""


def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path, number, version = tmp_path / "state.db", 0, 0
    expected: dict[str, int] = {}
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(number)], stdout=subprocess.PIPE
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
        with contextlib.closing(Kept(path)) as kept:
            found = Objects(kept).list(kinds.SERVICE)
        there = {each["metadata"]["name"]: each["spec"]["number"] for each in found}
        # The one that was under way when it was killed may have been kept, and not been told.
        last = f"a{(number + 1) % 7}"
        assert {name: at for name, at in there.items() if name != last} == {
            name: at for name, at in expected.items() if name != last
        }
        expected, number = there, number + 1
