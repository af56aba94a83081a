"""Requests say what kubectl's would, and replies that go on can be ended from another thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from mlfunc.cluster import kinds
from mlfunc.cluster.failures import Absent, Unavailable
from mlfunc.errors import ClusterFailed

from tests.rig.apiserver import Reply, in_turn, status

if TYPE_CHECKING:
    from tests.func.cluster.conftest import Serve

MANIFEST = {
    "apiVersion": "serving.knative.dev/v1",
    "kind": "Service",
    "metadata": {"name": "greeter", "namespace": "shop"},
}
LOG = "/api/v1/namespaces/team/pods/p/log"


def test_an_object_is_applied_by_its_manager(serve: Serve) -> None:
    server, cluster = serve(in_turn(Reply(body=MANIFEST)))

    assert cluster.apply(MANIFEST) == MANIFEST
    cluster.apply(MANIFEST, manager="mlfunc-traffic", dry_run=True, force=True)

    first, second = server.asked
    assert (first.method, first.path) == (
        "PATCH",
        "/apis/serving.knative.dev/v1/namespaces/shop/services/greeter",
    )
    assert first.headers["content-type"] == "application/apply-patch+yaml"
    assert first.query == {"fieldManager": "mlfunc"}
    assert second.query == {"fieldManager": "mlfunc-traffic", "dryRun": "All", "force": "true"}


def test_objects_are_listed_where_they_are(serve: Serve) -> None:
    found = Reply(body={"metadata": {}, "items": [{"metadata": {"name": "a"}}]})
    server, cluster = serve(in_turn(found))

    told = cluster.list(kinds.SERVICE, labels="a=b,c!=d")
    cluster.list(kinds.SERVICE, namespace="shop")
    cluster.list(kinds.SERVICE, everywhere=True)

    assert told == [
        {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "a"}}
    ]
    root = "/apis/serving.knative.dev/v1"
    assert [each.path for each in server.asked] == [
        f"{root}/namespaces/team/services",
        f"{root}/namespaces/shop/services",
        f"{root}/services",
    ]
    assert server.asked[0].query == {"labelSelector": "a=b,c!=d"}


def test_lines_come_one_by_one(serve: Serve) -> None:
    _, cluster = serve(in_turn(Reply(lines=(b"one\ntw", b"o\n", b"thr", b"ee"))))

    with cluster.lines(LOG, {"follow": "true"}) as lines:
        assert list(lines) == [b"one\n", b"two\n", b"three"]


def test_lines_that_are_not_there_are_an_error(serve: Serve) -> None:
    missing = status(404, "NotFound", 'pods "p" not found', name="p", kind="pods")
    _, cluster = serve(in_turn(missing))

    with pytest.raises(Absent, match='pods "p" not found'):
        cluster.lines(LOG, {})


def test_lines_that_break_off_are_an_error(serve: Serve) -> None:
    _, cluster = serve(in_turn(Reply(lines=(b"one\n",), ends="cut")))

    with cluster.lines(LOG, {}) as lines:
        found = iter(lines)
        assert next(found) == b"one\n"
        with pytest.raises(Unavailable, match="broke off"):
            next(found)


def test_lines_are_ended_from_another_thread(serve: Serve) -> None:
    _, cluster = serve(in_turn(Reply(lines=(b"one\n",), ends="hang")))

    with cluster.lines(LOG, {"follow": "true"}) as lines:
        found = iter(lines)
        assert next(found) == b"one\n"
        threading.Timer(0.05, lines.stop).start()
        assert list(found) == []
    lines.stop()  # once more does no harm


def test_what_answers_may_be_no_api_server(serve: Serve) -> None:
    _, cluster = serve(in_turn(Reply(body=b"<html>Welcome to the hotel</html>")))

    with pytest.raises(ClusterFailed, match="is no API server") as raised:
        cluster.list(kinds.POD)

    assert raised.value.evidence == "<html>Welcome to the hotel</html>"
