"""`mlfunc invoke`: what is sent, and how the answer is shown."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc import cli, replies, running

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Handler, Server

JSON = {"content_type": "application/json"}
PROBLEM = {
    "title": "Bad Request",
    "status": 400,
    "detail": "name: expected str",
    "request_id": "r-1",
    "field": "name",
}


def describe(server: Server, example: dict[str, Any] | None) -> None:
    body = json.dumps({"predictor": "predictor.py:Greeter", "example": example}).encode()
    server.answers["GET"] = lambda h: h.reply(200, body, **JSON)


def echo(handler: Handler) -> None:
    """Answer with the body that came."""
    _, headers, body = handler.state.requests[-1]
    handler.reply(200, body, content_type=headers.get("content-type", ""))


@pytest.fixture(autouse=True)
def _echoes(server: Server) -> None:
    server.answers["POST"] = echo


def test_without_a_body_the_function_s_own_example_is_sent(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    describe(server, {"content_type": "application/json", "data": {"name": "Ada"}})

    assert cli.main(["invoke", server.url]) == 0
    assert capsys.readouterr().out == '{"name": "Ada"}\n'


def test_an_example_of_bytes_is_sent_as_bytes(server: Server) -> None:
    describe(server, {"content_type": "application/octet-stream", "base64": "/wA="})

    assert cli.main(["invoke", server.url]) == 0
    assert server.requests[-1][2] == b"\xff\x00"


def test_a_function_without_an_example_needs_a_body(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    describe(server, None)

    assert cli.main(["invoke", server.url]) == 2
    assert "--data" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
def test_what_does_not_describe_itself_needs_a_body(
    kind: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers["GET"] = lambda h: h.reply(200, b"<html>", content_type=kind)

    assert cli.main(["invoke", server.url]) == 5
    assert f"is no function of mlfunc (200, {kind})" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ('{"a": 1}', "application/json"),
        ("[1, 2]", "application/json"),
        ('"text"', "application/json"),
        ("3", "application/json"),
        ('{"a": 1', "application/json"),
        ("a happy dog", "text/plain; charset=utf-8"),
        ("", "text/plain; charset=utf-8"),
    ],
)
def test_the_type_of_typed_data_is_guessed(data: str, kind: str, server: Server) -> None:
    assert cli.main(["invoke", server.url, "--data", data]) == 0

    _, headers, body = server.requests[-1]
    assert (headers["content-type"], body) == (kind, data.encode())


def test_who_names_a_file_as_curl_does_is_told_the_option_for_it(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "body.json").write_text("{}")

    assert cli.main(["invoke", server.url, "--data", "@body.json"]) == 2
    assert "try: send the file: --file body.json" in capsys.readouterr().err
    assert cli.main(["invoke", server.url, "--data", "@ada says hello"]) == 0


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("cat.png", b"\x89PNG", "image/png"),
        ("in.json", b"{}", "application/json"),
        ("noext", b"[1]", "application/json"),
        ("noext", b"hello", "text/plain; charset=utf-8"),
        ("noext", b"\xff\xfe", "application/octet-stream"),
        ("in.json.gz", b"\x1f\x8b", "application/octet-stream"),
        ("deep", b"[" * 100_000, "text/plain; charset=utf-8"),
    ],
)
def test_the_type_of_a_file_is_by_its_name_then_by_its_look(
    name: str, content: bytes, kind: str, server: Server, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)

    assert cli.main(["invoke", server.url, "-f", str(tmp_path / name)]) == 0
    assert server.requests[-1][1]["content-type"] == kind
    assert server.requests[-1][2] == content


def test_a_file_may_be_a_pipe(server: Server, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"[1]",))
    writer.start()

    assert cli.main(["invoke", server.url, "-f", str(tmp_path / "pipe")]) == 0
    writer.join()
    assert server.requests[-1][2] == b"[1]"


def test_a_dash_is_standard_input(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"piped": true}')))

    assert cli.main(["invoke", server.url, "-f", "-"]) == 0
    assert server.requests[-1][2] == b'{"piped": true}'


def test_options_win_over_guesses(server: Server) -> None:
    arguments = [
        "--data",
        "{}",
        "--content-type",
        "text/csv",
        "-H",
        "X-Tag: a: b",
        "-H",
        "Accept:x",
    ]

    assert cli.main(["invoke", server.url, *arguments]) == 0
    headers = server.requests[-1][1]
    assert (headers["content-type"], headers["x-tag"], headers["accept"]) == (
        "text/csv",
        "a: b",
        "x",
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--data", "x", "--file", "y"], 2),
        (["--file", "/no/such/file"], 5),
        (["--data", "x", "-H", "no-colon"], 2),
        (["--data", "x", "-H", "a name: x"], 2),
        (["--data", "x", "--ext", "novalue"], 2),
        (["--data", "x", "--timeout", "0"], 2),
        (["--data", "x", "-H", "x: ☃"], 2),
        (["--data", "x", "-H", "x: ☃", "-n", "5"], 2),
        (["--data", "x", "-c", "5"], 2),
        (["--data", "x", "--timeout", "inf"], 2),
        (["--data", "x", "--ext", "type=y"], 2),
        (["--data", "x", "--ext", "datacontenttype=y"], 2),
        (["--data", "x", "--ext", "zone="], 2),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_sent(
    arguments: list[str], code: int, server: Server
) -> None:
    assert cli.main(["invoke", server.url, *arguments]) == code
    assert not server.requests


def test_an_event_is_sent_with_its_attributes(server: Server) -> None:
    server.answers["POST"] = lambda h: h.reply(204)
    arguments = ["--event", "--type", "a.b", "--source", "/s", "--id", "7", "--ext", "zone=eu 1"]

    assert cli.main(["invoke", server.url, "--data", "{}", *arguments]) == 0
    headers = server.requests[-1][1]
    assert {name: value for name, value in headers.items() if name.startswith("ce-")} == {
        "ce-specversion": "1.0",
        "ce-type": "a.b",
        "ce-source": "/s",
        "ce-id": "7",
        "ce-zone": "eu%201",
    }


def test_an_event_s_option_alone_makes_it_an_event(server: Server) -> None:
    assert cli.main(["invoke", server.url, "--data", "{}", "--type", "a.b"]) == 0

    headers = server.requests[-1][1]
    assert (headers["ce-type"], headers["ce-source"]) == ("a.b", "/mlfunc/invoke")
    assert len(headers["ce-id"]) == 36


def test_an_event_s_reply_shows_its_attributes_beside_its_data(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    attributes = {"ce_specversion": "1.0", "ce_type": "done", "ce_id": "9", "ce_source": "/f%20x"}
    server.answers["POST"] = lambda h: h.reply(200, b"[1]", **attributes, **JSON)

    assert cli.main(["invoke", server.url, "--data", "{}", "--event"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "[1]\n"
    assert "type         done\n" in shown.err
    assert "source       /f x\n" in shown.err


def test_an_empty_reply_is_told(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.answers["POST"] = lambda h: h.reply(202)

    assert cli.main(["invoke", server.url, "--data", "{}"]) == 0
    assert capsys.readouterr().err == "202 Accepted: nothing came back\n"


def test_a_problem_is_told_in_its_own_words(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    body = json.dumps(PROBLEM).encode()
    server.answers["POST"] = lambda h: h.reply(400, body, content_type="application/problem+json")

    assert cli.main(["invoke", server.url, "--data", "{}"]) == 3
    shown = capsys.readouterr()
    assert shown.err == "error: 400 Bad Request: name: expected str\n"
    assert shown.out == ""


def test_a_program_gets_a_problem_as_data(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    body = json.dumps(PROBLEM).encode()
    server.answers["POST"] = lambda h: h.reply(400, body, content_type="application/problem+json")

    assert cli.main(["invoke", server.url, "--data", "{}", "-o", "json"]) == 3
    shown = capsys.readouterr()
    reply = json.loads(shown.out)
    assert (reply["status"], reply["data"], reply["error"]) == (400, PROBLEM, None)
    assert shown.err == "error: 400 Bad Request: name: expected str\n"


def test_a_program_gets_what_came_of_a_stream_before_its_error(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = json.dumps(PROBLEM).encode()
    server.answers["POST"] = lambda h: h.stream(b"data: 1\n\nevent: error\ndata: %b\n\n" % problem)

    assert cli.main(["invoke", server.url, "--data", "{}", "-o", "json"]) == 3
    reply = json.loads(capsys.readouterr().out)
    assert (reply["status"], reply["data"], reply["error"]) == (200, [1], PROBLEM)


def test_the_time_of_a_stream_is_that_of_its_last_byte(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    def slowly(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("content-length", "9")
        handler.end_headers()
        time.sleep(0.3)
        handler.wfile.write(b"data: 1\n\n")

    server.answers["POST"] = slowly

    assert cli.main(["invoke", server.url, "--data", "{}", "-o", "json"]) == 0
    reply = json.loads(capsys.readouterr().out)
    assert reply["first_byte"] < 0.3 <= reply["seconds"]


def test_where_the_log_is_to_be_searched_is_said_once(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    detail = "the function failed; its log tells why, under this request_id"
    body = json.dumps({"title": "T", "detail": detail, "request_id": "r-3"}).encode()
    server.answers["POST"] = lambda h: h.reply(500, body)

    assert cli.main(["invoke", server.url, "--data", "{}"]) == 3
    assert capsys.readouterr().err == (
        "error: 500 T: the function failed; its log tells why, under request_id r-3\n"
    )


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (b"<html><title>Not\n Found</title><p>long</p>", "404 Not Found"),
        (b"<TITLE>Lost &amp; found</TITLE>", "404 Not Found: Lost & found"),
        (b"<html>long</html>", "404 Not Found"),
    ],
)
def test_of_a_page_for_browsers_only_its_title_is_told(
    page: bytes, told: str, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers["POST"] = lambda h: h.reply(404, page, content_type="text/html; charset=utf-8")

    assert cli.main(["invoke", server.url, "--data", "{}"]) == 3
    assert capsys.readouterr().err == f"error: {told}\n"


def test_a_failure_of_the_function_names_the_request_in_its_log(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers["POST"] = lambda h: h.reply(500, b"oops", X_Request_Id="r-2")

    assert cli.main(["invoke", server.url, "--data", "{}"]) == 3
    assert "request_id r-2" in capsys.readouterr().err


def test_a_function_that_moved_is_told_with_its_new_place(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers["POST"] = lambda h: h.reply(308, location="https://x.example/")

    assert cli.main(["invoke", server.url, "--data", "{}"]) == 3
    assert capsys.readouterr().err == (
        "error: 308 Permanent Redirect\n  try: it is at https://x.example/\n"
    )


def test_a_stream_of_text_flows(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.answers["POST"] = lambda h: h.stream(
        b'data: "Hel"\n\n', b'data: "lo\\n"\n\ndata: "\xc3\xbc"\n\n', b"event: end\ndata: {}\n\n"
    )

    assert cli.main(["invoke", server.url, "--data", "{}"]) == 0
    assert capsys.readouterr().out == "Hello\nü\n"


def test_other_items_of_a_stream_get_a_line_each(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers["POST"] = lambda h: h.stream(b'data: {"a": 1}\n\ndata: 2\n\n')

    assert cli.main(["invoke", server.url, "--data", "{}"]) == 0
    assert capsys.readouterr().out == '{"a": 1}\n2\n'


def test_a_stream_that_ends_with_an_error_fails_after_what_came(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = json.dumps(PROBLEM).encode()
    server.answers["POST"] = lambda h: h.stream(
        b'data: "Hel"\n\n', b"event: error\ndata: " + problem + b"\n\n"
    )

    assert cli.main(["invoke", server.url, "--data", "{}"]) == 3
    shown = capsys.readouterr()
    assert shown.out == "Hel\n"
    assert shown.err == (
        "error: the stream ended with an error: name: expected str\n"
        "  try: the function's log has more under request_id r-1\n"
    )


def test_text_that_no_terminal_can_show_is_escaped(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers["POST"] = lambda h: h.stream(b'data: "half \\ud83d"\n\n')

    assert cli.main(["invoke", server.url, "--data", "{}"]) == 0
    assert capsys.readouterr().out == "half \\ud83d\n"


def test_an_error_after_a_stream_that_breaks_off_has_a_line_of_its_own(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    def break_off(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("content-length", "100")
        handler.end_headers()
        handler.wfile.write(b'data: "Hel"\n\n')
        handler.close_connection = True

    server.answers["POST"] = break_off

    assert cli.main(["invoke", server.url, "--data", "{}"]) == 3
    assert capsys.readouterr().out == "Hel\n"


@pytest.mark.parametrize(
    "kind", ["audio/wav", "application/vnd.openxmlformats-officedocument.wordprocessingml", ""]
)
def test_bytes_go_through_a_pipe_untouched(
    kind: str, server: Server, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    server.answers["POST"] = lambda h: h.stream(b"\xff\x00", b"\n\xfe", content_type=kind)

    assert cli.main(["invoke", server.url, "--data", "{}"]) == 0
    assert capsysbinary.readouterr().out == b"\xff\x00\n\xfe"


def test_verbose_shows_status_headers_and_where_the_time_went(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    timing = "queue;dur=0.10, predict;dur=0.25"
    server.answers["POST"] = lambda h: h.reply(200, b"1", Server_Timing=timing, **JSON)

    assert cli.main(["invoke", server.url, "--data", "{}", "-v"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "1\n"
    assert shown.err.startswith("200 OK\n")
    assert "server-timing" not in shown.err
    assert "content-type: application/json\n" in shown.err
    assert "  queue           0.10 ms\n  predict         0.25 ms\n  other " in shown.err


def test_a_reply_can_be_read_by_a_program(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers["POST"] = lambda h: h.stream(b'data: "a"\n\ndata: 2\n\nevent: end\ndata: {}\n\n')

    assert cli.main(["invoke", server.url, "--data", "{}", "-o", "json"]) == 0
    reply = json.loads(capsys.readouterr().out)
    assert (reply["status"], reply["data"], reply["event"]) == (200, ["a", 2], None)


def test_items_of_a_stream_that_are_no_json_reach_a_program_as_text(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers["POST"] = lambda h: h.stream(b"data: {}\n\ndata: [DONE]\n\n")

    assert cli.main(["invoke", server.url, "--data", "{}", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"] == [{}, "[DONE]"]


def test_a_host_and_port_are_a_url(server: Server) -> None:
    assert cli.main(["invoke", server.url.removeprefix("http://"), "--data", "{}"]) == 0
    assert len(server.requests) == 1


def test_many_requests_are_summed_up(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", "{}", "--event", "--id", "x", "-n", "20", "-c", "4", "-o", "json"]

    assert cli.main(["invoke", server.url, *arguments]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["requests"], summary["concurrency"], summary["errors"]) == (20, 4, {})
    assert len({headers["ce-id"] for _, headers, _ in server.requests}) == 20


def test_failures_among_many_are_counted_and_fail_the_command(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers["POST"] = lambda h: h.reply(503)

    assert cli.main(["invoke", server.url, "--data", "{}", "-n", "5"]) == 3
    shown = capsys.readouterr()
    assert "5 x 503\nthe first: 503 Service Unavailable\n" in shown.out
    assert "p50" not in shown.out
    assert "5 of 5 requests failed" in shown.err


def test_nothing_that_runs_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["invoke", "--data", "{}"]) == 5
    assert "no function runs here" in capsys.readouterr().err


def test_a_folder_without_a_project_means_no_function_that_happens_to_run(
    tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    publication = running.Publication()
    publication.tell("ocr", tmp_path / "ocr", server.url, serves=True)
    try:
        assert cli.main(["invoke", "--path", str(tmp_path), "--data", "{}"]) == 5
    finally:
        publication.close()
    assert "no function's project in" in capsys.readouterr().err
    assert not server.requests


def test_vectors_stay_on_one_line_and_the_rest_is_spread() -> None:
    value = {"vector": list(range(60)), "items": [{"a": "x" * 60}, {"b": "y" * 60}]}

    lines = replies.pretty(value).splitlines()
    assert lines[1] == f'  "vector": {json.dumps(list(range(60)))},'
    assert json.loads(replies.pretty(value)) == value
    assert len(lines) == 7


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


def test_on_a_terminal_json_is_spread_to_be_read(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_terminal(monkeypatch)
    body = json.dumps({"long": "x" * 90, "vector": [1, 2]})

    assert cli.main(["invoke", server.url, "--data", body]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        f'  "long": "{"x" * 90}",',
        '  "vector": [1, 2]',
        "}",
    ]


def test_on_a_terminal_bytes_are_told_and_not_shown(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_terminal(monkeypatch)
    server.answers["POST"] = lambda h: h.reply(200, b"\x89PNG", content_type="image/png")

    assert cli.main(["invoke", server.url, "--data", "{}"]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "4 bytes of image/png: send them to a file with `> reply`\n"


@pytest.mark.parametrize(
    ("body", "kind", "data"),
    [
        (b"null", "application/json", None),
        (b"{", "application/json", "{"),
        (b"", "application/json", None),
        (b"text", "text/plain", "text"),
        (b"1", "text/plain", "1"),
        (b"1", "application/octet-stream", {"base64": "MQ=="}),
        (b"\xff", "", {"base64": "/w=="}),
    ],
)
def test_any_body_can_be_read_by_a_program(
    body: bytes, kind: str, data: object, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers["POST"] = lambda h: h.reply(200, body, content_type=kind)

    assert cli.main(["invoke", server.url, "--data", "{}", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"] == data
