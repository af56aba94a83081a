"""The routes that describe a function."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mlfunc_runtime import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlfunc_runtime.testing import Client

    Serve = Callable[..., Client]

TYPED = '''
    from dataclasses import dataclass

    @dataclass
    class Answer:
        label: str
        score: float

    class P:
        """Classify a text.

        With care.
        """
        example = {"text": "a"}
        def predict(self, text: str, top: int = 1) -> list[Answer]: return [Answer("a", 1.0)] * top
'''


def test_the_description_tells_all_a_client_needs(serve: Serve) -> None:
    description = serve(TYPED, serve={"slots": 2}).get("/").json()
    startup = description.pop("startup")
    assert description == {
        "name": "sample",
        "version": __version__,
        "predictor": "predictor.py:P",
        "description": "Classify a text.\n\nWith care.",
        "ready": True,
        "slots": 2,
        "stuck": 0,
        "batch": 1,
        "streams": False,
        "needs_event": False,
        "events": {"reply_type": "dev.mlfunc.sample.result"},
        "content_type": "application/json",
        "example": {"content_type": "application/json", "data": {"text": "a"}},
        "input": {
            "title": "Input",
            "type": "object",
            "properties": {"text": {"type": "string"}, "top": {"type": "integer", "default": 1}},
            "required": ["text"],
            "additionalProperties": False,
        },
        "output": {
            "type": "array",
            "items": {"$ref": "#/$defs/Answer"},
            "$defs": {
                "Answer": {
                    "title": "Answer",
                    "type": "object",
                    "properties": {"label": {"type": "string"}, "score": {"type": "number"}},
                    "required": ["label", "score"],
                }
            },
        },
    }
    assert startup["total"] > 0


def test_a_file_as_example_is_described_as_base64(serve: Serve) -> None:
    client = serve("""
        from pathlib import Path
        Path(__file__).with_name("a.png").write_bytes(b"png")
        class P:
            example = Path(__file__).with_name("a.png")
            def predict(self, image: bytes) -> int: return len(image)
    """)
    description = client.get("/").json()
    assert description["example"] == {"content_type": "image/png", "base64": "cG5n"}
    assert description["content_type"] == "image/png"
    assert client.post(client.example).json() == 3
    assert client.post(files={"photo": b"12345"}).json() == 5
    assert client.post(files={"a": b"1", "b": b"2"}).status == 400


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("*/*", "application/json"),
        ("", "application/json"),
        ("application/json", "application/json"),
    ],
)
def test_a_browser_gets_the_playground_and_a_program_the_description(
    serve: Serve, accept: str, content_type: str
) -> None:
    reply = serve(TYPED).get("/", headers={"Accept": accept})
    assert (reply.status, reply.headers["Content-Type"]) == (200, content_type)
    assert reply.headers["X-Request-Id"]


def test_the_pages_may_load_nothing_from_elsewhere(serve: Serve) -> None:
    client = serve(TYPED)
    for path in ("/docs", "/_mlfunc/playground.html"):
        assert "default-src 'self'" in client.get(path).headers["Content-Security-Policy"]


def test_the_openapi_document_is_valid(serve: Serve) -> None:
    from openapi_spec_validator import OpenAPIV31SpecValidator

    for source in (
        TYPED,
        "class P:\n    def predict(self, image: bytes) -> bytes: return image",
        "class P:\n    def predict(self, n: int): yield n",
        "class P:\n    def before_predict(self, request): ...\n    def predict(self, n): return n",
    ):
        document = serve(source).get("/openapi.json").json()
        OpenAPIV31SpecValidator(document).validate()
        assert set(document["paths"]["/"]) == {"get", "post"}


def test_the_openapi_document_tells_content_types(serve: Serve) -> None:
    def post(source: str) -> tuple[list[str], list[str]]:
        operation = serve(source).get("/openapi.json").json()["paths"]["/"]["post"]
        request, response = operation["requestBody"], operation["responses"]["200"]
        return list(request["content"]), list(response["content"])

    assert post(TYPED) == (["application/json"], ["application/json"])
    image = "class P:\n    def predict(self, image: bytes) -> bytes: return image"
    assert post(image) == (
        ["application/octet-stream", "multipart/form-data"],
        ["application/octet-stream"],
    )
    stream = "class P:\n    def predict(self, n: int): yield n"
    assert post(stream)[1] == ["text/event-stream"]


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/_mlfunc/none.js", 404)])
def test_a_wrong_path_is_a_problem(serve: Serve, path: str, status: int) -> None:
    reply = serve(TYPED).get(path)
    assert (reply.status, reply.json()["status"]) == (status, status)
    assert reply.json()["request_id"] == reply.headers["X-Request-Id"]
