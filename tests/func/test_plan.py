"""The plan: what differs between what is there and what would be."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from mlfunc import plan
from mlfunc.plan import Difference

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.", max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


def manifest(spec: Any, **meta: Any) -> dict[str, Any]:
    return {"kind": "Service", "metadata": {"name": "x", **meta}, "spec": spec}


def test_what_is_not_there_is_created() -> None:
    change = plan.change(manifest({}), None, manifest({}))

    assert (change.action, change.name) == ("create", "x")


def test_what_only_the_server_writes_is_no_difference() -> None:
    live = {**manifest({"a": 1}, generation=1, uid="u"), "status": {"ready": True}}
    after = manifest({"a": 1}, generation=2, uid="u", managedFields=[])

    assert plan.change(manifest({}), live, after).action == "keep"


def test_a_difference_has_its_path_and_both_values() -> None:
    before = {"a": {"b": 1, "gone": 2}, "x/y.z": 1}
    after = {"a": {"b": 3, "new": 4}, "x/y.z": 2}

    assert list(plan.differences(before, after, "spec")) == [
        Difference("spec.a.b", 1, 3),
        Difference("spec.a.gone", 2, None),
        Difference("spec.a.new", None, 4),
        Difference("spec[x/y.z]", 1, 2),
    ]


def test_items_with_names_are_compared_by_them() -> None:
    before = [{"name": "a", "value": 1}, {"name": "b", "value": 2}]
    after = [{"name": "b", "value": 2}, {"name": "a", "value": 3}]

    assert list(plan.differences(before, after, "env")) == [Difference("env[a].value", 1, 3)]


@given(JSON)
def test_nothing_differs_from_itself(value: Any) -> None:
    assert list(plan.differences(value, value)) == []


@given(JSON, JSON)
def test_what_is_not_equal_differs_somewhere(before: Any, after: Any) -> None:
    if before != after:
        assert list(plan.differences(before, after))


def test_a_plan_of_what_is_there_changes_nothing() -> None:
    kept = plan.change(manifest({}), manifest({}), manifest({}))

    assert plan.Plan((kept,)).changes_nothing
    assert not plan.Plan((kept, plan.removal(manifest({})))).changes_nothing
