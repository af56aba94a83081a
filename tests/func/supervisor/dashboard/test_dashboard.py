"""The dashboard as a handler: pages, feed, logs. Time is told, and passes as fast as it can."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc.supervisor.dashboard import dashboard as module
from mlfunc.supervisor.dashboard import following
from mlfunc.supervisor.http.messages import Reply, Request

from tests.rig.platformpage import Made, instance, revision, service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 20))


async def get(
    dashboard: module.Dashboard, target: str, method: str = "GET", **headers: str
) -> Reply:
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return await dashboard.handle(Request(method, target, named))


async def messages(reply: Reply) -> AsyncIterator[Any]:
    """The data of a stream's events."""
    assert not isinstance(reply.body, bytes)
    async for piece in reply.body:
        for line in piece.decode().splitlines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECOND", 0.01)
    monkeypatch.setattr(following, "_GATHER", 0.0)


# Files


@pytest.mark.parametrize(
    "target", ["/", "/-/dashboard/", "/-/dashboard/main.js", "/-/dashboard/page.css"]
)
def test_the_page_is_its_own_files_and_lets_nothing_else_in(target: str) -> None:
    async def ask() -> Reply:
        return await get(Made().dashboard(), target)

    reply = run(ask())
    headers = dict(reply.headers)
    assert reply.status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert b"http" not in reply.body.replace(b"http://www.w3.org/2000/svg", b"").replace(
        b"https?:", b""
    )


@pytest.mark.parametrize(
    "target",
    ["/-/dashboard/nothing.js", "/-/dashboard/../dashboard.py", "/-/dashboard/pages/main.js"],
)
def test_there_is_nothing_else(target: str) -> None:
    async def ask() -> Reply:
        return await get(Made().dashboard(), target)

    assert run(ask()).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(method: str) -> None:
    async def ask() -> Reply:
        return await get(Made().dashboard(), "/-/dashboard/snapshot", method)

    assert run(ask()).status == 405


@pytest.mark.parametrize(
    ("site", "mode", "target", "status"),
    [
        ("cross-site", "no-cors", "/-/dashboard/feed", 403),
        ("same-site", "cors", "/-/dashboard/logs", 403),  # a function's own page, on its own name
        ("cross-site", "navigate", "/", 200),  # a link to it
        ("cross-site", "navigate", "/-/dashboard/snapshot", 403),
        ("same-origin", "cors", "/-/dashboard/snapshot", 200),
        ("none", "navigate", "/-/dashboard/snapshot", 200),
    ],
)
def test_pages_of_other_sites_get_nothing(site: str, mode: str, target: str, status: int) -> None:
    async def ask() -> Reply:
        headers = {"sec_fetch_site": site, "sec_fetch_mode": mode}
        return await get(Made().dashboard(), target, **headers)

    assert run(ask()).status == status


# Feed


def test_a_page_gets_everything_first_and_then_what_has_changed() -> None:
    async def ask() -> list[Any]:
        made = Made()
        dashboard = made.dashboard()
        stream = messages(await get(dashboard, "/-/dashboard/feed"))
        history, first, second = [await anext(stream) for _ in range(3)]
        made.objects.write(revision("hello", "hello-00001"))
        made.objects.write(service("hello", {"hello-00001": 100}))
        third = await anext(stream)
        while "functions" not in third:
            third = await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        await dashboard.close()
        return [history, first, second, third]

    history, first, second, third = run(ask())
    assert history == {}
    assert first.keys() == {"at", "platform", "functions", "live", "events"}
    assert second.keys() == {"at"}
    assert third.keys() == {"at", "functions"}
    assert [each["name"] for each in third["functions"]] == ["hello"]


def test_a_page_that_opens_later_sees_what_came_and_went() -> None:
    async def ask() -> Any:
        made = Made()
        now = [1000.0]
        dashboard = made.dashboard(lambda: now[0])
        for at, name, phase in (
            (1001, "a", "loading"),
            (1002, "a", "ready"),
            (1003, "b", "ready"),
            (1004, "a", "ended"),
            (1005, "b", "ended"),
        ):
            now[0] = float(at)
            made.fleet.put(instance(name, "hello-00001", phase))  # type: ignore[arg-type]
        stream = messages(await get(dashboard, "/-/dashboard/feed"))
        history = await anext(stream)
        await dashboard.close()
        return history

    history = run(ask())
    assert [row[:3] for row in history["default/hello-00001"]] == [
        [1001, 1, 0],
        [1002, 0, 1],
        [1003, 0, 2],
        [1004, 0, 1],
        [1005, 0, 0],
    ]


def test_nothing_is_looked_at_while_nobody_looks_and_nothing_runs() -> None:
    async def ask() -> tuple[bool, bool, bool]:
        made = Made()
        dashboard = made.dashboard()
        at_first = dashboard.is_looking
        made.fleet.put(instance("a", "hello-00001"))
        await asyncio.sleep(0.05)
        meanwhile = dashboard.is_looking
        made.fleet.put(instance("a", "hello-00001", "ended"))
        while dashboard.is_looking:
            await asyncio.sleep(0.01)
        await dashboard.close()
        return at_first, meanwhile, dashboard.is_looking

    assert run(ask()) == (False, True, False)


def test_a_page_that_leaves_is_looked_after_no_more() -> None:
    async def ask() -> None:
        dashboard = Made().dashboard()
        stream = messages(await get(dashboard, "/-/dashboard/feed"))
        await anext(stream)
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        while dashboard.is_looking:
            await asyncio.sleep(0.01)
        await dashboard.close()

    run(ask())


def test_a_broker_that_does_not_answer_does_not_hold_up_the_feed() -> None:
    async def ask() -> int:
        made = Made()

        async def never(limit: int) -> Any:
            await asyncio.Event().wait()

        made.events.recent = never  # type: ignore[method-assign]
        dashboard = made.dashboard()
        stream = messages(await get(dashboard, "/-/dashboard/feed"))
        got = [await anext(stream) for _ in range(5)]
        await dashboard.close()
        return len(got)

    assert run(ask()) == 5


def test_after_a_mistake_of_ours_pages_end_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def ask() -> tuple[list[Any], list[Any]]:
        made = Made()
        dashboard = made.dashboard()
        stream = messages(await get(dashboard, "/-/dashboard/feed"))
        got = [await anext(stream) for _ in range(2)]
        stats = made.counters.stats
        made.counters.stats = None  # type: ignore[assignment, method-assign]
        got += await _all(stream)
        made.counters.stats = stats  # type: ignore[method-assign]
        again = messages(await get(dashboard, "/-/dashboard/feed"))
        second = [await anext(again) for _ in range(3)]
        await dashboard.close()
        return got, second

    first, second = run(ask())
    assert first[1].keys() >= {"functions"}
    assert second[1].keys() >= {"functions"}
    assert "the dashboard has made a mistake" in caplog.text


@pytest.mark.parametrize("target", ["/", "/-/dashboard/feed", "/-/dashboard/snapshot"])
def test_a_head_has_no_body_and_opens_nothing(target: str) -> None:
    async def ask() -> tuple[Reply, bool]:
        dashboard = Made().dashboard()
        reply = await get(dashboard, target, "HEAD")
        return reply, dashboard.is_looking

    reply, looks = run(ask())
    assert (reply.status, reply.body, looks) == (200, b"", False)


def test_so_many_pages_may_be_open_and_no_more() -> None:
    async def ask() -> list[int]:
        dashboard = Made().dashboard()
        replies = []
        streams = []
        for _ in range(26):
            reply = await get(dashboard, "/-/dashboard/feed")
            replies.append(reply.status)
            if reply.status == 200:
                streams.append(messages(reply))
                await anext(streams[-1])
        await dashboard.close()
        return replies

    assert run(ask()) == [200] * 24 + [503] * 2


def test_the_whole_is_to_be_had_as_json() -> None:
    async def ask() -> Reply:
        made = Made()
        made.objects.write(service("hello", {}))
        made.fleet.put(instance("a", "hello-00001"))
        dashboard = made.dashboard()
        reply = await get(dashboard, "/-/dashboard/snapshot")
        await dashboard.close()
        return reply

    found = json.loads(run(ask()).body)
    assert [each["name"] for each in found["functions"]] == ["hello"]
    assert found["live"]["default/hello-00001"]["ready"] == 1


# Logs


def test_logs_are_of_all_instances_of_a_function_those_to_come_included() -> None:
    async def ask() -> list[tuple[str, str]]:
        made = Made()
        made.objects.write(revision("hello", "hello-00001"))
        made.objects.write(revision("other", "other-00001"))
        dashboard = made.dashboard()
        for name, of in (("a", "hello-00001"), ("x", "other-00001")):
            made.fleet.put(instance(name, of))
            await made.logs.say(name, f"{name} was here")
        stream = messages(
            await get(dashboard, "/-/dashboard/logs?namespace=default&function=hello")
        )
        lines = [*await anext(stream)]
        made.fleet.put(instance("b", "hello-00001"))
        await made.logs.say("b", "b came later")
        lines += await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        await dashboard.close()
        return [(line["instance"], line["text"]) for line in lines]

    assert run(ask()) == [("a", "a was here"), ("b", "b came later")]


def test_a_flood_comes_in_bounded_batches_and_a_long_line_without_its_end() -> None:
    async def ask() -> tuple[list[int], int]:
        made = Made()
        made.objects.write(revision("hello", "hello-00001"))
        dashboard = made.dashboard()
        made.fleet.put(instance("a", "hello-00001"))
        stream = messages(
            await get(dashboard, "/-/dashboard/logs?namespace=default&function=hello")
        )
        flood = asyncio.create_task(made.logs.say("a", "x" * 1_000_000, *(["flood"] * 5000)))
        sizes, longest = list[int](), 0
        while sum(sizes) < 200:
            lines = await anext(stream)
            sizes.append(len(lines))
            longest = max(longest, *(len(line["text"]) for line in lines))
        await flood
        await stream.aclose()  # type: ignore[attr-defined]
        await dashboard.close()
        return sizes, longest

    sizes, longest = run(ask())
    assert max(sizes) <= 501
    assert longest < 4100


def test_what_pages_read_ends_with_the_dashboard_and_does_not_begin_again() -> None:
    async def ask() -> int:
        made = Made()
        made.objects.write(revision("hello", "hello-00001"))
        made.fleet.put(instance("a", "hello-00001"))
        dashboard = made.dashboard()
        logs = "/-/dashboard/logs?namespace=default&function=hello"
        streams = [messages(await get(dashboard, target)) for target in ("/-/dashboard/feed", logs)]
        reading = [asyncio.create_task(_all(stream)) for stream in streams]
        while not dashboard.is_looking:
            await asyncio.sleep(0.01)
        await dashboard.close()
        await asyncio.gather(*reading)
        return (await get(dashboard, "/-/dashboard/feed")).status

    assert run(ask()) == 503


async def _all(stream: AsyncIterator[Any]) -> list[Any]:
    return [each async for each in stream]
