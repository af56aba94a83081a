"""Requests that the API server passes on to the ingress."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest
from mlfunc.client import Connection, Request, ServerSentEvent
from mlfunc.cluster import client
from mlfunc.cluster.failures import Forbidden
from mlfunc.errors import ClusterFailed, FunctionFailed, NotFound, UsageError
from mlfunc.knative.ingress import Entrance
from mlfunc.platforms.knative.proxying import Proxy

from tests.rig import apiserver
from tests.rig.apiserver import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rig.apiserver import ApiServer

_HOST = "greeter.team.example.com"
_PATH = "/api/v1/namespaces/edge/services/http:door:80/proxy/"


@contextlib.contextmanager
def proxied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *replies: Reply, timeout: float = 5
) -> Iterator[tuple[Connection, ApiServer]]:
    """A connection to a function by way of an API server that has these replies."""
    with apiserver.serving(apiserver.in_turn(*replies)) as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "config")))
        wire = Proxy(client.connect(), Entrance("edge", "door", _HOST, open=True), timeout)
        with Connection(f"http://{_HOST}", timeout, host=_HOST, wire=wire) as connection:
            yield connection, server


def test_a_request_has_the_function_s_host_our_login_and_nothing_else_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Reply(201, b"\x00\xff", headers={"content-type": "application/octet-stream"})
    with proxied(tmp_path, monkeypatch, answer) as (connection, server):
        reply = connection.send(Request("POST", {"content-type": "image/png"}, b"\xff\x00"))

    (asked,) = server.asked
    assert (asked.method, asked.path, asked.body) == ("POST", _PATH, b"\xff\x00")
    sent = {name.lower(): value for name, value in asked.headers.items()}
    assert (sent["host"], sent["authorization"]) == (_HOST, "Bearer sesame")
    assert (sent["content-type"], sent.get("accept")) == ("image/png", None)
    assert (reply.status, reply.body, reply.media_type) == (
        201,
        b"\x00\xff",
        "application/octet-stream",
    )


def test_a_stream_comes_as_it_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = {"content-type": "text/event-stream"}
    answer = Reply(lines=(b"data: 1\n\n",), ends="hang", headers=kind)
    with (
        proxied(tmp_path, monkeypatch, answer) as (connection, _),
        connection.open(Request()) as stream,
    ):
        assert next(stream.events()) == ServerSentEvent("message", "1")


@pytest.mark.parametrize(
    "answer",
    [
        Reply(503, {"title": "Busy"}, headers={"retry-after": "1"}),
        Reply(401, {"title": "Who?"}),
        Reply(403, {"kind": "Status"}),
    ],
    ids=["busy", "unauthorized", "forbidden"],
)
def test_what_the_function_refuses_is_its_answer_and_is_sent_once(
    answer: Reply, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxied(tmp_path, monkeypatch, answer) as (connection, server):
        assert connection.send(Request(body=b"{}")).status == answer.status
    assert len(server.asked) == 1


def test_without_the_right_it_is_told_which_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = 'User "ada" cannot create resource "services/proxy" in API group "" in the namespace "e"'
    answer = apiserver.status(403, "Forbidden", said)
    with (
        proxied(tmp_path, monkeypatch, answer) as (connection, _),
        pytest.raises(Forbidden, match="ada may not create services/proxy") as no,
    ):
        connection.send(Request())
    assert "get and create services/proxy in namespace edge" in no.value.hint


def test_a_login_that_ended_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = apiserver.status(401, "Unauthorized", "Unauthorized")
    with (
        proxied(tmp_path, monkeypatch, answer) as (connection, _),
        pytest.raises(ClusterFailed, match="does not know who you are"),
    ):
        connection.send(Request())


def test_an_ingress_without_a_pod_is_told_with_another_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = apiserver.status(503, "ServiceUnavailable", "no endpoints available for service")
    with (
        proxied(tmp_path, monkeypatch, answer) as (connection, _),
        pytest.raises(ClusterFailed, match="Service door in namespace edge: no endpoints") as no,
    ):
        connection.send(Request())
    assert "kubectl port-forward -n edge service/door 8080:80" in no.value.hint


@pytest.mark.parametrize("name", ["Authorization", "impersonate-user"])
def test_a_header_that_cannot_get_through_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        proxied(tmp_path, monkeypatch, Reply()) as (connection, server),
        pytest.raises(UsageError, match=f"keeps the header {name}"),
    ):
        connection.send(Request("POST", {name: "x"}))
    assert not server.asked


def test_a_reply_that_breaks_off_is_told_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        proxied(tmp_path, monkeypatch, Reply(lines=(b"a",), ends="cut")) as (connection, _),
        pytest.raises(FunctionFailed, match="broke off"),
    ):
        connection.send(Request())


def test_a_body_that_is_not_read_to_its_end_is_told_with_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reset(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        connection.recv(100)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = apiserver.ApiServer(url, lambda _: Reply()).kubeconfig(tmp_path / "config")
        monkeypatch.setenv("KUBECONFIG", str(config))
        wire = Proxy(client.connect(), Entrance("edge", "door", _HOST, open=True), 5)
        thread = threading.Thread(target=reset, args=(listener,))
        thread.start()
        with pytest.raises(ClusterFailed, match="ended the connection") as no:
            Connection(f"http://{_HOST}", 5, host=_HOST, wire=wire).send(
                Request(body=bytes(16 << 20))
            )
        thread.join()
    assert "serve.max_body? it has 16777216 bytes" in no.value.hint


def test_a_function_that_takes_its_time_is_told_with_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Reply(lines=(b"a",), ends="hang")
    with (
        proxied(tmp_path, monkeypatch, slow, timeout=0.2) as (connection, _),
        pytest.raises(NotFound, match=r"within 0\.2 s") as no,
    ):
        connection.send(Request())
    assert "--timeout" in no.value.hint
