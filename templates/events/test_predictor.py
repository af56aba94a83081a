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


def test_an_event_is_answered_by_an_event(client: Client) -> None:
    reply = client.event(client.example, type="com.example.reading.taken")

    assert reply.status == 200
    assert reply.headers["ce-type"] == "com.example.reading.scored"
    assert reply.json()["anomaly"] is True


def test_the_answer_names_the_sensor(client: Client) -> None:
    reply = client.event({"value": 21.0}, source="/sensors/hall")

    assert reply.json() == {"sensor": "/sensors/hall", "deviations": 0.0, "anomaly": False}


def test_a_plain_request_is_answered_too(client: Client) -> None:
    assert client.post({"value": 21.5}).json()["anomaly"] is False


def test_an_event_without_a_value_is_refused(client: Client) -> None:
    assert client.event({"reading": 3}).status == 400
