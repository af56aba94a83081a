"""Bad input over a real socket: a clear 4xx, nothing logged as an error of ours, the process unharmed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import Process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCE = '''
class P:
    """Repeats."""
    example = {"text": "a"}
    def predict(self, text: str, times: int = 1) -> str: return text * times
'''


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One server for all of it: what harms it fails the tests after."""
    folder: Path = tmp_path_factory.mktemp("http")
    (folder / "predictor.py").write_text(SOURCE)
    (folder / "mlfunc.yaml").write_text(
        "name: a\npredictor: predictor.py:P\nserve: {max_body: 1MiB}\n"
    )
    env = os.environ | {"PORT": "0", "MLFUNC_METRICS_PORT": "0", "MLFUNC_HOST": "127.0.0.1"}
    child = subprocess.Popen(
        [sys.executable, "-m", "mlfunc_runtime"],
        cwd=folder,
        env=env,
        stderr=subprocess.PIPE,
        text=True,
    )
    with Process(child) as process:
        process.until("ready")
        yield process
        assert process.json(b'{"text": "a", "times": 2}') == (200, "aa")
        assert process.stop() == 0
        # What the log has of refused events is their senders' fault.
        ours = [line for line in process.lines if "event" not in line]
        assert [line for line in ours if line["level"] in ("error", "warning")] == []


def request(body: bytes, *headers: str, line: str = "POST / HTTP/1.1") -> bytes:
    head = [line, "Host: a", "Connection: close", *headers]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


JSON = "Content-Type: application/json"


@pytest.mark.parametrize(
    ("sent", "status", "blamed"),
    [
        pytest.param(request(b"{", JSON, "Content-Length: 1"), 400, "JSON", id="broken JSON"),
        pytest.param(request(b'{"a":1}', JSON, "Content-Length: 7"), 400, "`a`", id="unknown field"),
        pytest.param(request(b"", JSON, "Content-Length: 0"), 400, "empty", id="no body"),
        pytest.param(request(b'"\xff\xfe"', JSON, "Content-Length: 4"), 400, "object", id="bad UTF-8"),
        pytest.param(request(b"a=1", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 3"), 415, "Content-Type", id="a web form"),
        pytest.param(request(b"<a/>", "Content-Type: text/xml", "Content-Length: 4"), 415, "text/xml", id="XML"),
        pytest.param(request(b"x" * 10, "Content-Type: multipart/form-data", "Content-Length: 10"), 400, "form", id="form without boundary"),
        pytest.param(request(b"\xff", "Content-Type: text/plain", "Content-Length: 1"), 400, "UTF-8", id="text that is not UTF-8"),
        pytest.param(request(b"", JSON, "Content-Length: 1048577"), 413, "Content-Length", id="too large, declared"),
        pytest.param(
            request(b"200000\r\n" + b"x" * 0x200000 + b"\r\n0\r\n\r\n", JSON, "Transfer-Encoding: chunked"),
            413, "max_body", id="too large, chunked"),
        pytest.param(request(b'{"tex', JSON, "Content-Length: 100"), 400, "instead of 100", id="truncated"),
        pytest.param(request(b"{}", JSON, "Content-Length: two"), 400, "Content-Length", id="length is no number"),
        pytest.param(request(b"{}", JSON, "Content-Length: 2", "Content-Length: 3"), 400, "Content-Length", id="two lengths"),
        pytest.param(request(b"0\r\n\r\n", JSON, "Content-Length: 5", "Transfer-Encoding: chunked"), 400, "", id="length and chunked"),
        pytest.param(request(b"zz\r\n", JSON, "Transfer-Encoding: chunked"), 400, "", id="chunk size is no number"),
        pytest.param(request(b"", "Transfer-Encoding: zstd"), 501, "zstd", id="unknown transfer coding"),
        pytest.param(request(b"", "X: " + "a" * 9000), 431, "", id="huge header"),
        pytest.param(request(b"", *[f"X-{n}: a" for n in range(200)]), 431, "", id="too many headers"),
        pytest.param(request(b"", line="POST /" + "a" * 9000 + " HTTP/1.1"), 414, "", id="huge path"),
        pytest.param(request(b"", "Bad Header: a"), 400, "Bad Header", id="space in a header's name"),
        pytest.param(request(b"", line="POST / HTTP/9.9"), 400, "", id="unknown version"),
        pytest.param(b"hello\r\n\r\n", 400, "hello", id="no HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, "", id="TLS"),
        pytest.param(request(b"{}", JSON, "Content-Length: 2", line="PUT / HTTP/1.1"), 405, "PUT", id="wrong method"),
        pytest.param(request(b"", line="GET /nothing HTTP/1.1"), 404, "/nothing", id="wrong path"),
        pytest.param(request(b"", line="GET /_mlfunc/../app.py HTTP/1.1"), 404, "", id="path traversal"),
        pytest.param(request(b"{}", JSON, "Content-Length: 2", "ce-id: 1"), 400, "ce-", id="half an event"),
        pytest.param(request(b"{}", "Content-Type: application/cloudevents+json", "Content-Length: 2"), 400, "specversion", id="empty structured event"),
        pytest.param(request(b"{", "Content-Type: application/cloudevents+json", "Content-Length: 1"), 400, "", id="broken structured event"),
        pytest.param(request(b"{}", "Content-Type: application/cloudevents-batch+json", "Content-Length: 2"), 400, "", id="a batch that is no array"),
    ],
)  # fmt: skip
def test_bad_input_gets_a_problem_that_names_it(
    process: Process, sent: bytes, status: int, blamed: str
) -> None:
    answer = process.raw(sent)
    head, _, body = answer.partition(b"\r\n\r\n")
    problem: dict[str, Any] = json.loads(body)
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"application/problem+json" in head
    assert problem["status"] == status
    assert problem["request_id"].encode() in head
    assert blamed in json.dumps(problem)


def test_a_connection_that_says_nothing_is_no_error(process: Process) -> None:
    assert process.raw(b"") == b""


def test_expect_continue_is_answered_before_the_body(process: Process) -> None:
    head = request(b"", JSON, "Content-Length: 13", "Expect: 100-continue")
    with socket.create_connection(("127.0.0.1", process.port), timeout=30) as connection:
        connection.sendall(head)
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b'{"text": "a"}')
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_chunked_body_is_a_body(process: Process) -> None:
    sent = request(b'd\r\n{"text": "a"}\r\n0\r\n\r\n', JSON, "Transfer-Encoding: chunked")
    assert process.raw(sent).endswith(b'"a"')


def test_head_has_no_body(process: Process) -> None:
    answer = process.raw(request(b"", line="HEAD /health/liveness HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"\r\n\r\n")


def test_http_1_0_is_answered_and_closed(process: Process) -> None:
    sent = b'POST / HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"text": "a"}'
    assert process.raw(sent).endswith(b'"a"')


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-123", True), ("a b", False), ("x" * 200, False), ("", False)]
)
def test_a_request_id_is_kept_if_it_fits_in_a_header(
    process: Process, given: str, kept: bool
) -> None:
    reply = process.call(b'{"text": "a"}', content_type="application/json", x_request_id=given)
    reply.read()
    assert (reply.headers["X-Request-Id"] == given) is kept
    assert reply.headers["X-Request-Id"]
    assert "predict;dur=" in reply.headers["Server-Timing"]


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/x+json"]
)
def test_json_is_known_by_its_media_type(process: Process, content_type: str) -> None:
    assert process.call(b'{"text": "a"}', content_type=content_type).status == 200


def test_plain_text_fills_the_only_text(process: Process) -> None:
    assert process.call("é".encode(), content_type="text/plain").read() == '"é"'.encode()


def test_a_form_is_read_by_its_fields(process: Process) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\nab\r\n--x\r\nContent-Disposition: form-data; name="times"\r\n\r\n2\r\n--x--\r\n'
    assert process.call(body, content_type="multipart/form-data; boundary=x").read() == b'"abab"'
