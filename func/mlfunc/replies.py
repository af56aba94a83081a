"""What came back, for a person to read: JSON, events, streams, problems, where time went."""

from __future__ import annotations

import json
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


def show(ui: Ui, stream: Stream) -> None:
    """Print a reply as it comes.

    Raises:
        FunctionFailed: the function answered with an error, or the stream ended with one.

    """
    if ui.verbose:
        _show_head(ui, stream.reply)
    if not stream.reply.ok:
        raise failure(stream.reply, b"".join(stream.chunks()))
    if ui.format != "human":
        ui.show(as_data(stream), lambda: None)
    elif stream.reply.media_type == EVENT_STREAM:
        _show_stream(ui, stream.events())
    else:
        _show_event_attributes(ui, stream.reply.headers)
        _show_body(ui, stream)


def as_data(stream: Stream) -> dict[str, Any]:
    """A whole reply for a program."""
    headers = stream.reply.headers
    return {
        "status": stream.reply.status,
        "seconds": round(stream.reply.seconds, 6),
        "timing": server_timing(headers),
        "headers": dict(headers),
        "event": events.attributes(headers) or None,
        "data": _data(stream),
    }


def failure(reply: Reply, body: bytes) -> FunctionFailed:
    """An error reply as ours: the problem's own words, and the id to look for in the log."""
    problem = _problem(body)
    detail = problem.get("detail") or body.decode(errors="replace").strip()[:500]
    message = f"{reply.status} {problem.get('title') or reply.reason}"
    if detail:
        message += f": {detail}"
    if field := problem.get("field"):
        message += f" (field {field})"
    return FunctionFailed(message, _hint(reply, problem))


def _hint(reply: Reply, problem: Mapping[str, Any]) -> str:
    # A caller's mistake is told in full; only for the function's own does the log say more.
    if reply.status >= 500:
        return _look_for(problem.get("request_id") or reply.headers.get("x-request-id"))
    if reply.status < 400 and (elsewhere := reply.headers.get("location")):
        return f"it is at {elsewhere}"
    return ""


def _look_for(request_id: str | None) -> str:
    return f"the function's log has more under request_id {request_id}" if request_id else ""


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
    ui.note(f"{reply.status} {reply.reason}  {reply.seconds * 1000:.1f} ms")
    for name, value in reply.headers.items():
        ui.note(ui.paint(f"{name}: {value}", "dim", error=True))
    for line in timing_lines(reply):
        ui.note(line)
    ui.note("")


def timing_lines(reply: Reply) -> list[str]:
    """Where the time went, phase by phase; what the phases leave is the network and the server."""
    timing = server_timing(reply.headers)
    if not timing:
        return []
    rest = reply.seconds * 1000 - sum(timing.values())
    rows = [*timing.items(), ("other", max(rest, 0.0)), ("total", reply.seconds * 1000)]
    return [f"  {name:<8} {milliseconds:>9.2f} ms" for name, milliseconds in rows]


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
            problem = _problem(item.data)
            message = f"the stream ended with an error: {problem.get('detail') or item.data}"
            raise FunctionFailed(message, _look_for(problem.get("request_id")))
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


def _data(stream: Stream) -> Any:
    if stream.reply.media_type == EVENT_STREAM:
        return [_json(data, otherwise=data) for data in _until_end(stream.events())]
    body = b"".join(stream.chunks())
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(body).decode()}
    return _json(text, otherwise=text or None)


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
