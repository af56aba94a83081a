"""Server-side apply, as Kubernetes does it: whose a field is, what goes, what is a conflict."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.supervisor.api import applying, owning
from mlfunc.supervisor.api.applying import Manager
from mlfunc.supervisor.api.refusals import Refused

Object = dict[str, Any]

KNATIVE = "serving.knative.dev/v1"
FIRST, SECOND = (Manager(each, "Apply", KNATIVE, "2026-11-26T07:00:00Z") for each in "ab")
LATER = Manager("a", "Apply", KNATIVE, "2026-11-26T08:00:00Z")
PATCHER = Manager("kubectl-edit", "Update", KNATIVE, "2026-11-26T07:30:00Z")


def manifest(**body: Any) -> Object:
    meta = body.pop("metadata", {})
    return {"metadata": {"name": "x", "namespace": "default", **meta}, **body}


def apply(
    live: Object | None, wanted: Object, manager: Manager = FIRST, *, force: bool = False
) -> Object:
    return applying.apply(live, wanted, manager, force=force)


def body(found: Object) -> Object:
    """Without who owns what."""
    meta = {key: each for key, each in found["metadata"].items() if key != "managedFields"}
    return {**found, "metadata": meta}


def owned(found: Object, manager: Manager) -> set[str]:
    entry = next((each for each in found["metadata"]["managedFields"] if manager.is_of(each)), None)
    return {owning.shown(each) for each in owning.decode(entry["fieldsV1"])} if entry else set()


def conflicts(raised: pytest.ExceptionInfo[Refused]) -> list[tuple[str, str]]:
    causes = raised.value.status["details"]["causes"]
    return [(each["field"], each["message"]) for each in causes]


def test_who_owns_what_is_written_as_the_api_server_writes_it() -> None:
    wanted = manifest(
        metadata={"labels": {"a": "b"}},
        spec={"broker": "default", "volumes": [{"name": "v", "emptyDir": {}}], "args": ["x"]},
    )

    (entry,) = apply(None, wanted)["metadata"]["managedFields"]

    assert entry == {
        "manager": "a",
        "operation": "Apply",
        "apiVersion": KNATIVE,
        "time": "2026-11-26T07:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:metadata": {"f:labels": {"f:a": {}}},
            "f:spec": {
                "f:broker": {},
                "f:args": {},
                "f:volumes": {'k:{"name":"v"}': {".": {}, "f:name": {}, "f:emptyDir": {}}},
            },
        },
    }


def test_what_a_manager_names_no_more_goes() -> None:
    live = apply(None, manifest(metadata={"labels": {"a": "1", "b": "2"}}, spec={"x": {"y": 1}}))

    after = apply(live, manifest(metadata={"labels": {"b": "2"}}, spec={"z": 1}))

    assert body(after) == manifest(metadata={"labels": {"b": "2"}}, spec={"z": 1})


def test_what_others_name_too_stays() -> None:
    live = apply(None, manifest(spec={"x": 1, "y": 2}))
    live = apply(live, manifest(spec={"x": 1}), SECOND)

    after = apply(live, manifest(spec={"z": 3}))

    assert after["spec"] == {"x": 1, "z": 3}
    assert owned(after, FIRST) == {".spec.z"}
    assert owned(after, SECOND) == {".spec.x"}


def test_what_nobody_named_stays() -> None:
    """Such as what defaults have filled in, or a status."""
    live = apply(None, manifest(spec={"x": {"y": 1}}))
    live = {**live, "spec": {"x": {"y": 1, "filled": 2}}, "status": {"ready": True}}

    after = apply(live, manifest(spec={"other": 1}, status={"ready": False}))

    assert after["spec"] == {"x": {"filled": 2}, "other": 1}
    assert after["status"] == {"ready": True}


def test_items_with_a_key_are_fields_of_their_own() -> None:
    live = apply(None, manifest(spec={"volumes": [{"name": "a", "x": 1}, {"name": "b"}]}))
    live = apply(live, manifest(spec={"volumes": [{"name": "c"}, {"name": "a", "y": 1}]}), SECOND)
    assert live["spec"]["volumes"] == [{"name": "c"}, {"name": "a", "x": 1, "y": 1}, {"name": "b"}]

    after = apply(live, manifest(spec={}))

    assert after["spec"]["volumes"] == [{"name": "c"}, {"name": "a", "y": 1}]
    with pytest.raises(Refused) as raised:
        apply(after, manifest(spec={"volumes": [{"name": "a", "y": 2}]}))
    assert conflicts(raised) == [('.spec.volumes[name="a"].y', 'conflict with "b"')]


@pytest.mark.parametrize(
    ("theirs", "mine", "field"),
    [
        ({"x": 1}, {"x": 2}, ".spec.x"),
        ({"x": [1, 2]}, {"x": [1]}, ".spec.x"),
        ({"nodeSelector": {"a": "b"}}, {"nodeSelector": {"c": "d"}}, ".spec.nodeSelector"),
        ({"x": {"y": 1}}, {"x": 1}, ".spec.x.y"),
        ({"x": 1}, {"x": {"y": 1}}, ".spec.x"),
        ({"secret": {"secretName": "a"}}, {"secret": {"secretName": "b"}}, ".spec.secret"),
    ],
    ids=["a value", "a list", "a map that is whole", "a map by a value", "a value by a map", "ref"],
)
def test_what_differs_is_a_conflict_and_force_takes_it_over(
    theirs: Object, mine: Object, field: str
) -> None:
    live = apply(None, manifest(spec=theirs))

    with pytest.raises(Refused, match="Apply failed with 1 conflict") as raised:
        apply(live, manifest(spec=mine), SECOND)
    after = apply(live, manifest(spec=mine), SECOND, force=True)

    assert conflicts(raised) == [(field, 'conflict with "a"')]
    assert after["spec"] == mine
    assert owned(after, FIRST) == set()
    assert len(after["metadata"]["managedFields"]) == 1
    # Who has lost a field takes it away no more.
    assert apply(after, manifest(spec={"own": 1}))["spec"] == {**mine, "own": 1}


@pytest.mark.parametrize(
    ("theirs", "mine"),
    [
        ({"x": {}}, {"x": {"y": 1}}),
        ({"volumes": []}, {"volumes": [{"name": "a"}]}),
        ({"x": [1]}, {"x": [1]}),
        ({"nodeSelector": {"a": "b"}}, {"nodeSelector": {"a": "b"}}),
    ],
)
def test_what_is_the_same_or_within_is_none(theirs: Object, mine: Object) -> None:
    live = apply(None, manifest(spec=theirs))

    assert apply(live, manifest(spec=mine), SECOND)["spec"] == mine


def test_who_changes_by_a_patch_owns_it_then() -> None:
    live = apply(None, manifest(spec={"x": 1, "y": 2, "z": 3}))
    patched = {**live, "spec": {"x": 5, "y": 2}}

    live = applying.update(live, patched, PATCHER)

    assert owned(live, PATCHER) == {".spec.x"}
    assert owned(live, FIRST) == {".spec.y"}
    assert applying.update(live, live, PATCHER) == live
    with pytest.raises(Refused) as raised:
        apply(live, manifest(spec={"x": 1}))
    told = f'conflict with "kubectl-edit" using {KNATIVE} at 2026-11-26T07:30:00Z'
    assert conflicts(raised) == [(".spec.x", told)]


def test_who_names_nothing_owns_nothing() -> None:
    live = apply(None, manifest(spec={"x": 1}))

    assert apply(live, manifest())["metadata"]["managedFields"] == []


def test_nulls_are_nothing() -> None:
    assert apply(None, manifest(spec={"x": None, "y": {"z": None}}))["spec"] == {"y": {}}


NAMES = st.sampled_from(["a", "b", "volumes", "nodeSelector", "x.y/z"])
LEAVES = st.one_of(st.integers(0, 2), st.text(max_size=2), st.lists(st.integers(0, 2), max_size=2))
ITEMS = st.dictionaries(st.sampled_from("pq"), LEAVES, max_size=2)


@st.composite
def _bodies(draw: st.DrawFn) -> Object:
    tree = st.recursive(
        LEAVES, lambda inner: st.dictionaries(NAMES, inner, max_size=3), max_leaves=9
    )
    found: Object = draw(st.dictionaries(NAMES, tree, max_size=4))
    found.pop("volumes", None)
    if draw(st.booleans()):
        names = draw(st.lists(st.sampled_from("mno"), unique=True, max_size=3))
        found["volumes"] = [{"name": each, **draw(ITEMS)} for each in names]
    return found


BODIES = _bodies()


@given(BODIES)
def test_the_same_once_more_is_no_change(spec: Object) -> None:
    once = apply(None, manifest(spec=spec))

    assert apply(once, manifest(spec=spec), LATER) == once


@given(BODIES)
def test_fields_read_as_they_were_written(spec: Object) -> None:
    fields = owning.of({"spec": spec})

    assert owning.decode(owning.encode(fields)) == fields


@given(BODIES, BODIES)
def test_alone_it_is_what_was_applied_last(first: Object, second: Object) -> None:
    """But for a map or a list that is empty: it may be one of both."""
    live = apply(None, manifest(spec=first))

    after = apply(live, manifest(spec=second))

    assert _full(after["spec"]) == _full(second)
    assert owned(after, FIRST) == {owning.shown(each) for each in owning.of({"spec": second})}


def _full(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _full(each) for key, each in value.items()}
    return {key: each for key, each in inner.items() if each not in ({}, [])}


@given(BODIES, BODIES)
def test_managers_of_different_fields_never_conflict(first: Object, second: Object) -> None:
    mine = manifest(spec={"mine": first})
    theirs = manifest(spec={"theirs": second})

    live = apply(apply(None, mine), theirs, SECOND)
    after = apply(live, manifest(spec={}))

    assert live["spec"] == {"mine": first, "theirs": second}
    assert after["spec"] == {"theirs": second}


@given(BODIES, BODIES)
def test_by_force_each_has_its_way(first: Object, second: Object) -> None:
    live = apply(apply(None, manifest(spec=first)), manifest(spec=second), SECOND, force=True)

    for path in owning.of({"spec": second}):
        there, wanted = owning.value(live, path), owning.value({"spec": second}, path)
        assert there == wanted or isinstance(wanted, dict | list)
    assert apply(live, manifest(spec=second), SECOND) == live
