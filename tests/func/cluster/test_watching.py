"""Watches survive what is not for good, and end at once when they are not needed any more."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc.cluster import follower, kinds, watching
from mlfunc.cluster.failures import Absent, Forbidden, Unavailable
from mlfunc.cluster.watching import Topic

from tests.rig.apiserver import Reply, in_turn, status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlfunc.cluster.watching import Changes, Seen

    from tests.func.cluster.conftest import Serve

PODS = Topic(kinds.POD)
HANGS = Reply(ends="hang")
FORGOTTEN = status(410, "Expired", "too old resource version: 5 (9)")
MAY_NOT_WATCH = status(403, "Forbidden", "pods is forbidden: no watch", kind="pods")
DOWN = status(503, "ServiceUnavailable", "shutting down")


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in a hundredth of the time."""
    monkeypatch.setattr(follower, "_BACKOFF_SECONDS", (0.005, 0.05))
    monkeypatch.setattr(follower, "_POLL_SECONDS", 0.02)


def pod(name: str, version: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "resourceVersion": str(version)},
    }


def listed(version: int, *names: str) -> Reply:
    items = [pod(name, version) for name in names]
    return Reply(body={"metadata": {"resourceVersion": str(version)}, "items": items})


def added(name: str, version: int) -> dict[str, Any]:
    return {"type": "ADDED", "object": pod(name, version)}


def bookmark(version: int) -> dict[str, Any]:
    meta = {"resourceVersion": str(version)}
    return {"type": "BOOKMARK", "object": {"kind": "Pod", "metadata": meta}}


def names(seen: Seen | None) -> list[str]:
    assert seen is not None, "nothing was seen in time"
    return [each["metadata"]["name"] for each in seen.objects]


def seen(changes: Changes) -> Iterator[list[str]]:
    while True:
        yield names(changes.next(5))


def test_it_lists_and_then_watches_from_there(serve: Serve) -> None:
    server, cluster = serve(
        in_turn(listed(5, "a"), Reply(lines=(added("b", 6), bookmark(7)), ends="hang"))
    )
    topic = Topic(kinds.POD, labels="app=x", fields="status.phase=Running")

    with watching.follow(cluster, topic) as changes:
        first, second = changes.next(5), changes.next(5)
        assert changes.next(0.05) is None, "a bookmark is nothing to be seen"

    assert (names(first), names(second)) == (["a"], ["a", "b"])
    assert first is not None
    assert first.topic is topic
    listing, watch = server.asked
    assert listing.query == {"labelSelector": "app=x", "fieldSelector": "status.phase=Running"}
    assert watch.query["resourceVersion"] == "5"
    assert watch.query["allowWatchBookmarks"] == "true"
    assert 240 <= int(watch.query["timeoutSeconds"]) <= 300
    assert watch.path == "/api/v1/namespaces/team/pods"


def test_a_watch_that_ends_goes_on_from_the_last_bookmark(serve: Serve) -> None:
    server, cluster = serve(
        in_turn(
            listed(5),
            Reply(lines=(added("a", 6), bookmark(9))),
            Reply(lines=(added("b", 10),), ends="hang"),
        )
    )

    with watching.follow(cluster, PODS) as changes:
        told = seen(changes)
        assert [next(told) for _ in range(3)] == [[], ["a"], ["a", "b"]]

    assert [each.query.get("resourceVersion") for each in server.asked] == [None, "5", "9"]


@pytest.mark.parametrize(
    "forgotten",
    [FORGOTTEN, Reply(lines=({"type": "ERROR", "object": FORGOTTEN.body},))],
    ids=["as a status", "as an event"],
)
def test_a_version_that_is_forgotten_is_made_up_for_by_a_list(
    serve: Serve, forgotten: Reply
) -> None:
    server, cluster = serve(
        in_turn(
            listed(5, "a"), forgotten, listed(20, "b"), Reply(lines=(added("c", 21),), ends="hang")
        )
    )

    with watching.follow(cluster, PODS) as changes:
        told = seen(changes)
        assert [next(told) for _ in range(3)] == [["a"], ["b"], ["b", "c"]]

    assert [each.query.get("resourceVersion") for each in server.asked] == [None, "5", None, "20"]


@pytest.mark.parametrize(
    "broken",
    [
        Reply(lines=(added("b", 6), b'{"type":"ADDED","object":{"meta'), ends="cut"),
        Reply(lines=(added("b", 6), b'{"type":"ADDED","object":{"meta')),
        Reply(lines=(added("b", 6), b"<html>504</html>\n")),
        Reply(lines=(added("b", 6), b'{"type":"ADDED","object":{}}\n')),
        Reply(lines=(added("b", 6), b"[]\n")),
        Reply(lines=(added("b", 6), {"type": "ERROR", "object": DOWN.body})),
    ],
    ids=["cut in a line", "ended in a line", "not JSON", "no object", "no event", "an error"],
)
def test_what_breaks_off_goes_on_where_it_was(serve: Serve, broken: Reply) -> None:
    server, cluster = serve(
        in_turn(listed(5, "a"), broken, Reply(lines=(added("c", 7),), ends="hang"))
    )

    with watching.follow(cluster, PODS) as changes:
        told = seen(changes)
        assert [next(told) for _ in range(3)] == [["a"], ["a", "b"], ["a", "b", "c"]]

    assert [each.query.get("resourceVersion") for each in server.asked] == [None, "5", "6"]


def test_an_api_server_that_is_away_for_a_while_is_waited_for(serve: Serve) -> None:
    """As one that starts: it is busy, knows no rights, and no kinds but its own."""
    refuses = status(403, "Forbidden", "pods is forbidden: RBAC knows no roles yet", kind="pods")
    knows_not = Reply(404, b"404 page not found\n")
    _, cluster = serve(
        in_turn(
            listed(5, "a"),
            Reply(lines=(bookmark(6),)),
            DOWN,
            refuses,
            knows_not,
            Reply(lines=(added("b", 7),), ends="hang"),
        )
    )

    with watching.follow(cluster, PODS) as changes:
        told = seen(changes)
        assert [next(told) for _ in range(2)] == [["a"], ["a", "b"]]


def test_one_that_stays_away_is_told_in_the_end(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "_AWAY_SECONDS", 0.2)
    _, cluster = serve(in_turn(listed(5, "a"), DOWN))

    with watching.follow(cluster, PODS) as changes:
        changes.next(5)
        with pytest.raises(Unavailable, match="cannot answer now: shutting down"):
            changes.next(5)


def test_a_silent_connection_is_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "_SILENCE_SECONDS", 0.1)
    _, cluster = serve(in_turn(listed(5), HANGS, Reply(lines=(added("a", 6),), ends="hang")))

    with watching.follow(cluster, PODS) as changes:
        told = seen(changes)
        assert [next(told) for _ in range(2)] == [[], ["a"]]


def test_where_watching_is_forbidden_it_lists_again_and_again(serve: Serve) -> None:
    server, cluster = serve(
        in_turn(listed(5, "a"), MAY_NOT_WATCH, listed(5, "a"), listed(6, "a", "b"), listed(7, "b"))
    )

    with watching.follow(cluster, PODS) as changes:
        told = seen(changes)
        assert [next(told) for _ in range(3)] == [["a"], ["a", "b"], ["b"]]

    assert [each.watches for each in server.asked[:5]] == [False, True, False, False, False]


def test_what_is_refused_at_first_is_refused(serve: Serve) -> None:
    message = 'pods is forbidden: User "ada" cannot list resource "pods" in API group "" in the namespace "team"'
    _, cluster = serve(in_turn(status(403, "Forbidden", message, kind="pods")))

    with watching.follow(cluster, PODS) as changes, pytest.raises(Forbidden) as raised:
        changes.next(5)

    assert raised.value.message == "ada may not list pods in namespace team"


def test_an_optional_topic_that_may_not_be_read_has_nothing(serve: Serve) -> None:
    _, cluster = serve(in_turn(status(403, "Forbidden", "no", kind="pods")))

    with watching.follow(cluster, Topic(kinds.POD, optional=True)) as changes:
        assert names(changes.next(5)) == []


def test_a_kind_that_is_not_there_is_told_unless_it_is_optional(serve: Serve) -> None:
    missing = Reply(404, b"404 page not found\n")
    _, cluster = serve(lambda _: missing)

    with watching.follow(cluster, Topic(kinds.SERVICE)) as changes, pytest.raises(Absent):
        changes.next(5)
    with watching.follow(cluster, Topic(kinds.SERVICE, optional=True)) as changes:
        assert names(changes.next(5)) == []


def test_several_topics_come_in_one_stream(serve: Serve) -> None:
    server, cluster = serve(lambda asked: HANGS if asked.watches else listed(5, asked.path[-4:]))

    with watching.follow(cluster, PODS, Topic(kinds.EVENT, namespace="other")) as changes:
        first = {names(changes.next(5))[0] for _ in range(2)}
        changes.add(Topic(kinds.NODE, everywhere=True))
        first |= set(names(changes.next(5)))

    assert first == {"pods", "ents", "odes"}
    paths = {each.path for each in server.asked}
    assert paths >= {"/api/v1/namespaces/other/events", "/api/v1/nodes"}


def test_the_end_waits_for_no_connection(serve: Serve) -> None:
    server, cluster = serve(lambda asked: HANGS if asked.watches else listed(5))

    with watching.follow(cluster, PODS) as changes:
        changes.next(5)
        while not any(each.watches for each in server.asked):
            assert changes.next(0.01) is None

    server.left.get(timeout=5)  # the watch is closed, not left open until its time is over
    deadline = time.monotonic() + 5
    while any(thread.name == "follow pods" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_ctrl_c_ends_it_at_once(serve: Serve) -> None:
    serve(lambda asked: HANGS if asked.watches else listed(5, "a"))
    code = (
        "from mlfunc.cluster import client, kinds, watching\n"
        "with watching.follow(client.connect(), watching.Topic(kinds.POD)) as changes:\n"
        "    for seen in changes.until(None): print(len(seen.objects), flush=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)

    assert process.returncode == -signal.SIGINT
    assert said.strip().endswith(b"KeyboardInterrupt")


def test_until_ends_at_its_deadline(serve: Serve) -> None:
    _, cluster = serve(lambda asked: HANGS if asked.watches else listed(5, "a"))

    with watching.follow(cluster, PODS) as changes:
        found = [names(each) for each in changes.until(time.monotonic() + 0.3)]

    assert found == [["a"]]
