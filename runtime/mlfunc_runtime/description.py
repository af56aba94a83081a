"""What a function says of itself: the description of GET /, and its OpenAPI document."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from mlfunc_runtime import __version__, schema
from mlfunc_runtime.messages import BINARY, EVENT_STREAM, JSON, PROBLEM

if TYPE_CHECKING:
    from mlfunc_runtime.function import Function
    from mlfunc_runtime.loader import Example, Predictor

_PROBLEM_SCHEMA = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "field": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail", "request_id"],
}
_ERRORS = {
    "400": "The body or event does not fit; `field` names what is wrong",
    "413": "The body is larger than `serve.max_body`",
    "415": "The content type is not one this function takes",
    "500": "The predictor failed",
    "503": "Not ready, or too many requests are waiting; see Retry-After",
    "504": "No answer within `serve.timeout`",
}


def describe(function: Function) -> dict[str, Any]:
    """The JSON of GET /. While the function starts, what the predictor would tell is missing."""
    settings, predictor = function.settings, function.predictor
    about = {
        "name": settings.name,
        "version": __version__,
        "predictor": settings.predictor,
        "ready": function.state == "ready",
        "slots": settings.slots,
        "stuck": function.watch.count,
        "batch": settings.batch,
        "events": {"reply_type": settings.reply_type},
        "startup": function.startup.seconds,
    }
    return about | (
        _describe_predictor(predictor) if predictor else {"description": "", "example": None}
    )


def openapi(function: Function) -> dict[str, Any]:
    """OpenAPI 3.1, whose schemas are JSON Schema as msgspec writes it."""
    predictor = function.predictor
    root: dict[str, Any] = {}
    schemas: dict[str, Any] = {"Problem": _PROBLEM_SCHEMA}
    if predictor is not None:
        (wire, output), shared = schema.components([_wire_type(predictor), predictor.output])
        root["post"] = _predict(predictor, wire, output)
        schemas = shared | schemas
    return {
        "openapi": "3.1.0",
        "info": {
            "title": function.settings.name,
            "version": __version__,
            "description": predictor.description if predictor else "",
        },
        "paths": {"/": root | _DESCRIBE} | _HEALTH,
        "components": {"schemas": schemas},
    }


def _describe_predictor(predictor: Predictor) -> dict[str, Any]:
    return {
        "description": predictor.description,
        "streams": predictor.streams,
        "needs_event": predictor.needs_event,
        "input": schema.json_schema(_wire_type(predictor)),
        "output": schema.json_schema(predictor.output),
        "content_type": _content_type(predictor),
        "example": _example(predictor.example),
    }


def _wire_type(predictor: Predictor) -> Any:
    """Nothing is known of it when before_predict takes the whole request and nothing else."""
    return Any if predictor.trusts_before else predictor.wire.type


def _content_type(predictor: Predictor) -> str:
    if predictor.wire.kind == "bytes":
        example = predictor.example
        return example.content_type if example else BINARY
    return JSON


def _example(example: Example | None) -> dict[str, Any] | None:
    if example is None:
        return None
    if example.content_type == JSON:
        return {"content_type": JSON, "data": example.data}
    return {"content_type": example.content_type, "base64": base64.b64encode(example.body).decode()}


def _predict(predictor: Predictor, wire: dict[str, Any], output: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": "predict",
        "summary": predictor.description.partition("\n")[0] or "Predict",
        "requestBody": {"required": True, "content": _request_content(predictor, wire)},
        "responses": {
            "200": {
                "description": "The prediction",
                "content": {_reply_type(predictor): {"schema": output}},
            },
            **{code: _error(text) for code, text in _ERRORS.items()},
        },
    }


def _request_content(predictor: Predictor, wire: dict[str, Any]) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": wire}
    if predictor.example is not None and predictor.example.content_type == JSON:
        media["example"] = predictor.example.data
    content = {_content_type(predictor): media}
    if predictor.wire.kind == "bytes":
        file = {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
        content["multipart/form-data"] = {"schema": file}
    return content


def _reply_type(predictor: Predictor) -> str:
    if predictor.output is bytes:
        return BINARY
    return EVENT_STREAM if predictor.streams else JSON


def _error(text: str) -> dict[str, Any]:
    return {
        "description": text,
        "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _plain_get(name: str, summary: str, *, unready: bool = False) -> dict[str, Any]:
    unavailable = {"503": {"description": "Not yet, or no longer"}}
    responses = {"200": {"description": "Yes"}} | (unavailable if unready else {})
    return {"operationId": name, "summary": summary, "responses": responses}


_DESCRIBE = {
    "get": {
        "operationId": "describe",
        "summary": "What this function is; the playground for a browser",
        "responses": {"200": {"description": "The description", "content": {JSON: {}}}},
    }
}
_HEALTH = {
    "/health/liveness": {
        "get": _plain_get("liveness", "Whether the process is alive", unready=True)
    },
    "/health/readiness": {
        "get": _plain_get("readiness", "Whether predictions are served", unready=True)
    },
}
