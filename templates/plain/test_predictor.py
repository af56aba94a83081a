"""Run with `mlfunc test`. The client serves the function in this process, just as `run` does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mlfunc_runtime.testing import Client


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client(Path(__file__).parent) as client:
        yield client


def test_the_example_is_positive(client: Client) -> None:
    reply = client.post(client.example)

    assert reply.status == 200
    assert reply.json() == {"label": "positive", "score": 1.0, "words": 7}


def test_bad_words_make_it_negative(client: Client) -> None:
    assert client.post({"text": "late, slow and broken"}).json()["label"] == "negative"


def test_no_words_are_neutral(client: Client) -> None:
    assert client.post({"text": ""}).json() == {"label": "neutral", "score": 0.0, "words": 0}


def test_a_request_without_text_is_refused(client: Client) -> None:
    reply = client.post({})

    assert reply.status == 400
    assert reply.json()["field"] == "text"
