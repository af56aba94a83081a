"""What is known of a kind of objects is what the API server has, however it was told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.cluster import kinds
from mlfunc.cluster.mirror import Mirror

NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(st.tuples(st.sampled_from(["put", "delete", "bookmark", "cut", "forget"]), NAMES))


def pod(name: str, version: int) -> dict[str, Any]:
    meta = {"name": name, "namespace": "team", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta}


class Store:
    """What an API server does with objects: versions grow, and a log of events can be read on."""

    def __init__(self) -> None:
        self.version = 1
        self.objects: dict[str, dict[str, Any]] = {}
        self.log: list[tuple[int, dict[str, Any]]] = []

    def do(self, step: str, name: str) -> None:
        self.version += 1
        if step == "put":
            kind = "MODIFIED" if name in self.objects else "ADDED"
            self.objects[name] = pod(name, self.version)
            self.log.append((self.version, {"type": kind, "object": self.objects[name]}))
        elif step == "delete" and name in self.objects:
            del self.objects[name]
            gone = pod(name, self.version)
            self.log.append((self.version, {"type": "DELETED", "object": gone}))
        elif step == "bookmark":
            mark = {"metadata": {"resourceVersion": str(self.version)}}
            self.log.append((self.version, {"type": "BOOKMARK", "object": mark}))

    def listing(self) -> dict[str, Any]:
        items = [{"metadata": each["metadata"]} for each in self.objects.values()]
        return {"metadata": {"resourceVersion": str(self.version)}, "items": items}

    def after(self, version: str) -> list[dict[str, Any]]:
        return [event for at, event in self.log if at > int(version)]


@given(STEPS)
def test_a_watch_that_breaks_anywhere_loses_nothing(steps: list[tuple[str, str]]) -> None:
    """Events are taken late, after a "cut", or all forgotten, after which a list makes up for them."""
    store, mirror = Store(), Mirror(kinds.POD)
    mirror.replace(store.listing())
    for step, name in [*steps, ("cut", "a")]:
        store.do(step, name)
        if step == "forget":
            mirror.replace(store.listing())
        elif step == "cut":
            assert mirror.version is not None
            for event in store.after(mirror.version):
                mirror.change(event)

    by_name = {each["metadata"]["name"]: each for each in mirror.objects}
    assert by_name == store.objects


def test_items_of_a_list_are_told_their_kind() -> None:
    mirror = Mirror(kinds.POD)
    listing = {"metadata": {"resourceVersion": "5"}, "items": [{"metadata": {"name": "a"}}]}

    assert mirror.replace(listing)
    assert mirror.objects == ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}},)
    assert not mirror.replace(listing), "the same again is nothing new"


def test_what_is_no_event_changes_nothing() -> None:
    mirror = Mirror(kinds.POD)
    mirror.replace({"metadata": {"resourceVersion": "5"}, "items": []})

    with pytest.raises(KeyError):
        mirror.change({"type": "ADDED", "object": {"metadata": {"name": "a"}}})
    assert (mirror.version, mirror.objects) == ("5", ())
