"""Brokers are there where somebody may want them, and say where events come in now."""

from __future__ import annotations

from typing import Any

import pytest
from mlfunc.cluster import kinds
from mlfunc.supervisor.api.brokers import Brokers
from mlfunc.supervisor.state.objects import Objects

Object = dict[str, Any]

HERE = "http://127.0.0.1:8088"


def made(kind: kinds.Kind, name: str) -> Object:
    meta = {"name": name, "namespace": "shop"}
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": meta, "spec": {}}


def address(objects: Objects, name: str = "default") -> str | None:
    found = objects.get(kinds.BROKER, "shop", name)
    return found["status"]["address"]["url"] if found else None


@pytest.mark.parametrize("kind", [kinds.SERVICE, kinds.TRIGGER, kinds.PING_SOURCE])
@pytest.mark.parametrize("before", [True, False], ids=["there before", "made later"])
def test_a_namespace_with_events_has_one(kind: kinds.Kind, *, before: bool) -> None:
    objects = Objects()
    if before:
        objects.write(made(kind, "x"))
    Brokers(objects, HERE)
    if not before:
        assert address(objects) is None
        objects.write(made(kind, "x"))

    assert address(objects) == f"{HERE}/-/broker/shop/default"


def test_one_that_somebody_makes_is_ready_at_once() -> None:
    objects = Objects()
    Brokers(objects, HERE)

    objects.write(made(kinds.BROKER, "orders"))

    found = objects.get(kinds.BROKER, "shop", "orders")
    assert found is not None
    told = {each["type"]: each["status"] for each in found["status"]["conditions"]}
    assert told["Ready"] == "True"
    assert address(objects, "orders") == f"{HERE}/-/broker/shop/orders"


def test_another_gateway_is_told_by_all_of_them() -> None:
    objects = Objects()
    Brokers(objects, HERE)
    for each in ("default", "orders"):
        objects.write(made(kinds.BROKER, each))
    elsewhere = Objects()
    for found in objects.list(kinds.BROKER):
        elsewhere.write(found)

    Brokers(elsewhere, "http://127.0.0.1:9000")

    for each in ("default", "orders"):
        assert address(elsewhere, each) == f"http://127.0.0.1:9000/-/broker/shop/{each}"


def test_other_changes_of_one_leave_its_status_alone() -> None:
    objects = Objects()
    Brokers(objects, HERE)
    first = objects.write(made(kinds.BROKER, "orders"))
    said = objects.get(kinds.BROKER, "shop", "orders")
    assert said is not None
    labelled = {**first["metadata"], "labels": {"a": "b"}}

    objects.write({**said, "metadata": labelled})

    after = objects.get(kinds.BROKER, "shop", "orders")
    assert after is not None
    assert after["status"] == said["status"]
