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


def test_the_example_is_a_three(client: Client) -> None:
    reply = client.post(client.example)

    assert reply.status == 200
    assert reply.json()["digit"] == 3
    assert reply.json()["score"] > 0.9


def test_an_image_of_another_size_is_refused(client: Client) -> None:
    reply = client.post({"pixels": [[0, 16], [16, 0]]})

    assert reply.status == 400
    assert reply.json()["field"].startswith("pixels")


def test_a_pixel_darker_than_ink_is_refused(client: Client) -> None:
    assert client.post({"pixels": [[99] * 8] * 8}).status == 400
