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


def test_small_petals_are_a_setosa(client: Client) -> None:
    reply = client.post(client.example)

    assert reply.status == 200
    assert reply.json()["kind"] == "setosa"
    assert reply.json()["score"] > 0.9


def test_large_petals_are_a_virginica(client: Client) -> None:
    flower = {"sepal_length": 6.7, "sepal_width": 3.3, "petal_length": 5.7, "petal_width": 2.5}

    assert client.post(flower).json()["kind"] == "virginica"


def test_a_size_that_is_no_number_is_refused(client: Client) -> None:
    reply = client.post(client.example | {"petal_width": "wide"})

    assert reply.status == 400
    assert reply.json()["field"] == "petal_width"
