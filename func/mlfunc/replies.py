"""What came back, for a person to read: JSON, events, streams, problems, where time went."""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from mlfunc import events
from mlfunc.client import EVENT_STREAM, server_timing
from mlfunc.errors import FunctionFailed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mlfunc.client import Reply, ServerSentEvent, Stream
    from mlfunc.ui import Ui

_WIDTH = 100
_SAID_AT_MOST = 500
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
# How the runtime's sentence ends; which id is meant stands beside it in the problem.
_THIS_ID = "this request_id"


def show(ui: Ui, stream: Stream) -> None:
    """Print a reply as it comes.

    Raises:
        FunctionFailed: the function answered with an error, or the stream ended with one.

    """
    if ui.verbose:
        _show_head(ui, stream.reply)
    try:
        if ui.format != "human":
            _show_data(ui, stream)
        elif not stream.reply.ok:
            raise failure(stream.reply, b"".join(stream.chunks()))
        elif stream.reply.media_type == EVENT_STREAM:
            _show_stream(ui, stream.events())
        else:
            _show_event_attributes(ui, stream.reply.headers)
            _show_body(ui, stream)
    finally:
        if ui.verbose:
            ui.note("\n" + "\n".join(timing_lines(stream.reply)))


def _show_data(ui: Ui, stream: Stream) -> None:
    """A whole reply for a program: an error's too, before it is raised."""
    items, body, error = [], b"", None
    if stream.reply.ok and stream.reply.media_type == EVENT_STREAM:
        try:
            for item in _until_end(stream.events()):
                items.append(_json(item, otherwise=item))  # noqa: PERF401 - what came before an error counts
        except StreamFailed as raised:
            error = raised
        data: Any = items
    else:
        body = b"".join(stream.chunks())
        data = _data(stream.reply.media_type, body)
    ui.show(as_data(stream.reply, data, error.problem if error else None), lambda: None)
    if not stream.reply.ok:
        raise failure(stream.reply, body)
    if error:
        raise error


def as_data(reply: Reply, data: Any, error: Any = None) -> dict[str, Any]:
    """A reply for a program; `error` is the problem that a stream ended with."""
    return {
        "status": reply.status,
        "first_byte": round(reply.first_byte, 6),
        "seconds": round(reply.seconds, 6),
        "timing": server_timing(reply.headers),
        "headers": dict(reply.headers),
        "event": events.attributes(reply.headers) or None,
        "data": data,
        "error": error,
    }


class StreamFailed(FunctionFailed):
    """A stream that began well and ended with a problem."""

    def __init__(self, text: str) -> None:
        problem = _problem(text)
        detail, hint = _with_id(str(problem.get("detail") or text), problem.get("request_id"))
        super().__init__(f"the stream ended with an error: {detail}", hint)
        self.problem = problem


def failure(reply: Reply, body: bytes) -> FunctionFailed:
    """An error reply as ours: the problem's own words, and the id to look for in the log."""
    problem = _problem(body)
    title = problem.get("title") or reply.reason
    detail, hint = str(problem.get("detail") or _words(reply, body)), _elsewhere(reply)
    if reply.status >= 500:
        # A caller's mistake is told in full; only for the function's own does the log say more.
        request_id = problem.get("request_id") or reply.headers.get("x-request-id")
        detail, hint = _with_id(detail, request_id)
    message = f"{reply.status} {title}"
    if detail and detail not in message:
        message += f": {detail}"
    if (field := problem.get("field")) and str(field) not in detail:
        message += f" (field {field})"
    return FunctionFailed(message, hint)


def _words(reply: Reply, body: bytes) -> str:
    """What an error says that is no problem; of a page for browsers only its title."""
    text = body.decode(errors="replace").strip()
    if reply.media_type == "text/html":
        title = _TITLE.search(text)
        return " ".join(html.unescape(title[1]).split()) if title else ""
    return text[:_SAID_AT_MOST]


def _elsewhere(reply: Reply) -> str:
    place = reply.headers.get("location") if reply.status < 400 else None
    return f"it is at {place}" if place else ""


def _with_id(detail: str, request_id: str | None) -> tuple[str, str]:
    """A sentence that names the id of the request, or itself and where the id leads."""
    if not request_id:
        return detail, ""
    if _THIS_ID in detail:
        return detail.replace(_THIS_ID, f"request_id {request_id}"), ""
    return detail, f"the function's log has more under request_id {request_id}"


def pretty(value: Any, indent: str = "") -> str:
    """JSON on several lines, save what fits on one; lists of plain values stay on one."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or len(indent) + len(line) <= _WIDTH or _is_flat(value):
        return line
    inner = indent + "  "
    if isinstance(value, dict):
        items = [
            f"{json.dumps(k, ensure_ascii=False)}: {pretty(v, inner)}" for k, v in value.items()
        ]
        opening, closing = "{", "}"
    else:
        items = [pretty(item, inner) for item in value]
        opening, closing = "[", "]"
    body = ",\n".join(inner + item for item in items)
    return f"{opening}\n{body}\n{indent}{closing}"


def _show_head(ui: Ui, reply: Reply) -> None:
    ui.note(f"{reply.status} {reply.reason}")
    for name, value in reply.headers.items():
        if name != "server-timing":
            ui.note(ui.paint(f"{name}: {value}", "dim", error=True))
    ui.note("")


def timing_lines(reply: Reply) -> list[str]:
    """Where the time went: the function's phases, what they leave to the network and the server
    before the reply began, and when it began and had come.
    """
    timing = server_timing(reply.headers)
    first_byte = reply.first_byte * 1000
    rows = [
        *timing.items(),
        ("other", max(first_byte - sum(timing.values()), 0.0)),
        ("first byte", first_byte),
        ("last byte", reply.seconds * 1000),
    ]
    return [f"  {name:<10} {milliseconds:>9.2f} ms" for name, milliseconds in rows]


def _show_stream(ui: Ui, items: Iterable[ServerSentEvent]) -> None:
    """Strings flow as text; anything else gets a line of its own."""
    at_line_start = True
    try:
        for data in _until_end(items):
            value = _json(data)
            text = value if isinstance(value, str) else f"{data}\n"
            ui.write(text)
            at_line_start = text.endswith("\n") if text else at_line_start
    finally:
        ui.write("" if at_line_start else "\n")


def _until_end(items: Iterable[ServerSentEvent]) -> Iterator[str]:
    """The data of a stream's items."""
    for item in items:
        if item.event == "error":
            raise StreamFailed(item.data)
        if item.event == "end":
            return
        yield item.data


def _show_event_attributes(ui: Ui, headers: Mapping[str, str]) -> None:
    attributes = events.attributes(headers)
    for name, value in attributes.items():
        ui.note(f"{ui.paint(f'{name:<12}', 'cyan', error=True)} {value}")


def _show_body(ui: Ui, stream: Stream) -> None:
    kind = stream.reply.media_type
    if kind and not _is_text(kind):
        _show_bytes(ui, stream, kind)
        return
    body = b"".join(stream.chunks())
    if not body:
        ui.note(f"{stream.reply.status} {stream.reply.reason}: nothing came back")
    elif ui.terminal:
        text = body.decode(errors="replace").rstrip("\n")
        value = _json(text) if "json" in kind else None
        ui.say(text if value is None else pretty(value))
    else:
        # Only what is known to be text gets a line end: more than none would break other things.
        ui.write_bytes(body + b"\n" if kind and not body.endswith(b"\n") else body)


def _show_bytes(ui: Ui, stream: Stream, kind: str) -> None:
    """Bytes go to a file or a program as they come; a terminal would only be upset."""
    length = 0
    for chunk in stream.chunks():
        length += len(chunk)
        if not ui.terminal:
            ui.write_bytes(chunk)
    if ui.terminal:
        ui.note(f"{length} bytes of {kind}: send them to a file with `> reply`")


def _is_text(kind: str) -> bool:
    return kind.startswith("text/") or kind.endswith(("json", "/xml", "+xml", "yaml"))


def _data(kind: str, body: bytes) -> Any:
    """A body as its content type says what it is; what is neither JSON nor text is in base64."""
    if not body:
        return None
    if not _is_text(kind):
        return {"base64": b64encode(body).decode()}
    text = body.decode(errors="replace")
    return _json(text, otherwise=text) if "json" in kind else text


def _problem(text: str | bytes) -> dict[str, Any]:
    """The members of a problem (RFC 9457); none where it is something else."""
    problem = _json(text)
    return problem if isinstance(problem, dict) else {}


def _json(text: str | bytes, otherwise: str | None = None) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return otherwise


def _is_flat(value: Any) -> bool:
    return isinstance(value, list) and not any(isinstance(item, dict | list) for item in value)
