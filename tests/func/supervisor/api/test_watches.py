"""What a watch says line by line: from where it was, in order, and when it has been too long."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from mlfunc.cluster import kinds
from mlfunc.supervisor.api import watches
from mlfunc.supervisor.api.watches import Watch
from mlfunc.supervisor.state import objects as module
from mlfunc.supervisor.state.objects import Objects

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

Object = dict[str, Any]


def service(name: str, **labels: str) -> Object:
    meta = {"name": name, "namespace": "default", "labels": labels}
    return {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": meta}


def watch(objects: Objects, version: int | None, seconds: float = 60) -> Watch:
    def is_chosen(found: Object) -> bool:
        return (found["metadata"].get("labels") or {}).get("app") == "x"

    return Watch(objects, kinds.SERVICE, is_chosen, version, seconds)


async def events(lines: AsyncIterator[bytes], count: int) -> list[tuple[str, str]]:
    """The next so many."""
    found: list[tuple[str, str]] = []
    async for text in lines:
        for line in text.splitlines():
            event = json.loads(line)
            meta = event["object"]["metadata"]
            found.append((event["type"], meta.get("name") or meta.get("resourceVersion", "")))
        if len(found) >= count:
            return found
    return found


def test_it_begins_with_all_that_is_there_where_no_version_is_named() -> None:
    async def run() -> list[tuple[str, str]]:
        objects = Objects()
        for each in ("a", "b"):
            objects.write(service(each, app="x"))
        objects.write(service("c"))
        lines = watch(objects, None).lines()
        found = await events(lines, 2)
        objects.write(service("c", app="x"))
        return found + await events(lines, 1)

    assert asyncio.run(run()) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]


def test_it_goes_on_from_a_version() -> None:
    async def run() -> list[tuple[str, str]]:
        objects = Objects()
        objects.write(service("a", app="x"))
        version = objects.version
        objects.write(service("b", app="x"))
        objects.write(service("a", app="x", more="y"))
        objects.write(service("a", app="y"))
        objects.remove(kinds.SERVICE, "default", "b")
        return await events(watch(objects, version).lines(), 4)

    assert asyncio.run(run()) == [
        ("ADDED", "b"),
        ("MODIFIED", "a"),
        ("DELETED", "a"),
        ("DELETED", "b"),
    ]


def test_what_is_changed_while_a_line_is_read_comes_next() -> None:
    async def run() -> list[str]:
        objects = Objects()
        found: list[str] = []
        async for text in watch(objects, objects.version).lines():
            told = [json.loads(line) for line in text.splitlines()]
            found += [each["object"]["metadata"]["name"] for each in told]
            if len(found) == 5:
                return found
            objects.write(service(f"a{len(found)}", app="x"))
        return found

    assert asyncio.run(run()) == ["a0", "a1", "a2", "a3", "a4"]


def test_silence_is_filled_with_bookmarks_that_tell_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watches, "_BOOKMARK_SECONDS", 0.01)

    async def run() -> tuple[list[tuple[str, str]], int]:
        objects = Objects()
        lines = watch(objects, objects.version).lines()
        first = await events(lines, 1)
        objects.write(service("other"))
        return first + await events(lines, 1), objects.version

    found, version = asyncio.run(run())
    assert found == [("BOOKMARK", str(version - 1)), ("BOOKMARK", str(version))]


def test_it_ends_when_its_time_is_over_and_says_how_far_it_was() -> None:
    async def run() -> tuple[list[tuple[str, str]], Objects]:
        objects = Objects()
        return await events(watch(objects, 1, seconds=0.01).lines(), 9), objects

    found, objects = asyncio.run(run())
    assert found == [("BOOKMARK", "1")]
    assert objects._listeners == []


def test_a_version_that_is_forgotten_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 2)

    async def run() -> list[Any]:
        objects = Objects()
        for number in range(9):
            objects.write(service(f"a{number}"))
        return [json.loads(line) async for line in watch(objects, 2).lines() if line]

    ((event),) = asyncio.run(run())
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
