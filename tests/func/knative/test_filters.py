"""What passes a filter, against an oracle that knows the whole event; and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.knative import filters

# Few names and short values, so that filters and events meet.
_NAMES = st.sampled_from(["type", "source", "subject", "trace"])
_VALUES = st.text("ab", min_size=1, max_size=3)
_EVENTS = st.dictionaries(_NAMES, _VALUES)


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=1, max_size=3)
    return (
        st.builds(lambda found: {"all": found}, several)
        | st.builds(lambda found: {"any": found}, several)
        | st.builds(lambda found: {"not": found}, inner)
    )


_COMPARISONS = st.builds(
    lambda dialect, wanted: {dialect: wanted},
    st.sampled_from(["exact", "prefix", "suffix"]),
    st.dictionaries(_NAMES, _VALUES, min_size=1, max_size=2),
)
_DECIDABLE = st.lists(st.recursive(_COMPARISONS, _nested, max_leaves=6), max_size=3)
_WITH_CESQL = st.lists(
    st.recursive(_COMPARISONS | st.just({"cesql": "type = 'a'"}), _nested, max_leaves=6),
    max_size=3,
)


def oracle(given_: dict[str, Any], event: dict[str, str], *, cesql: bool) -> bool:
    """Of an event of which all is known: an attribute that is not there passes nothing."""
    ((dialect, value),) = given_.items()
    if dialect in ("all", "any"):
        found = [oracle(each, event, cesql=cesql) for each in value]
        return all(found) if dialect == "all" else any(found)
    if dialect == "not":
        return not oracle(value, event, cesql=cesql)
    if dialect == "cesql":
        return cesql
    for name, text in value.items():
        there = event.get(name)
        if there is None:
            return False
        if dialect == "exact" and there != text:
            return False
        if dialect == "prefix" and there[: len(text)] != text:
            return False
        if dialect == "suffix" and there[-len(text) :] != text:
            return False
    return True


@given(_DECIDABLE, _EVENTS)
def test_an_event_with_all_attributes_is_decided_as_the_cluster_does(
    given_: list[Any], event: dict[str, str]
) -> None:
    whole = {**dict.fromkeys(["type", "source", "subject", "trace"], "b"), **event}

    assert filters.matches(given_, whole) is all(
        oracle(each, whole, cesql=False) for each in given_
    )


@given(_WITH_CESQL, _EVENTS, _EVENTS, st.booleans())
def test_what_is_decided_of_part_of_an_event_holds_whatever_the_rest_is(
    given_: list[Any], known: dict[str, str], rest: dict[str, str], cesql: bool
) -> None:
    decided = filters.matches(given_, known)

    if decided is not None:
        event = {**rest, **known}
        assert decided is all(oracle(each, event, cesql=cesql) for each in given_)


@given(_WITH_CESQL)
def test_valid_filters_have_no_problem_and_are_shown_in_one_line(given_: list[Any]) -> None:
    assert not list(filters.problems(given_))
    assert "\n" not in filters.shown(given_)


@given(st.dictionaries(_NAMES, _VALUES | st.just("")), _EVENTS)
def test_the_old_filter_takes_any_value_for_an_empty_one(
    wanted: dict[str, str], event: dict[str, str]
) -> None:
    whole = {**dict.fromkeys(["type", "source", "subject", "trace"], "b"), **event}

    assert filters.attributes_match(wanted, whole) is all(
        text in ("", whole[name]) for name, text in wanted.items()
    )


def test_an_attribute_that_is_not_known_is_not_decided() -> None:
    assert filters.matches([{"exact": {"trace": "a"}}], {"type": "t"}) is None
    assert filters.matches([{"not": {"prefix": {"trace": "a"}}}], {"type": "t"}) is None
    assert filters.attributes_match({"trace": ""}, {"type": "t"}) is None


def test_what_fails_for_sure_is_decided_beside_what_is_not() -> None:
    given_: list[dict[str, Any]] = [{"cesql": "TRUE"}, {"exact": {"type": "other"}}]

    assert filters.matches(given_, {"type": "t"}) is False


@pytest.mark.parametrize(
    ("given_", "problem"),
    [
        ({}, "filters[0]: a filter is expected, such as {exact: {type: NAME}}"),
        ("type", "filters[0]: a filter is expected"),
        ({"exact": {"type": "a"}, "prefix": {"type": "a"}}, "here are exact, prefix"),
        ({"exat": {"type": "a"}}, "filters[0].exat: no such dialect; did you mean exact?"),
        (
            {"type": "a"},
            "filters[0].type: an attribute stands in a dialect: {exact: {type: VALUE}}",
        ),
        ({1: "a"}, "filters[0].1: no such dialect; use one of exact,"),
        ({"exact": {}}, "filters[0].exact: attributes with their values are expected"),
        ({"exact": "a"}, "filters[0].exact: attributes with their values are expected"),
        ({"exact": {"type": ""}}, "filters[0].exact.type: the value is empty"),
        ({"suffix": {"type": 5}}, "filters[0].suffix.type: 5 is no text: write it in quotes"),
        ({"prefix": {"Trace-Id": "a"}}, "did you mean traceid?"),
        ({"prefix": {"--": "a"}}, "a letter first"),
        ({"any": []}, "filters[0].any: a list of filters is expected"),
        ({"all": {"exact": {"type": "a"}}}, "filters[0].all: a list of filters is expected"),
        ({"any": [{"exact": {"type": "a"}}, {"not": {}}]}, "filters[0].any[1].not: a filter is"),
        ({"not": [{"exact": {"type": "a"}}]}, "filters[0].not: one filter is expected, not a list"),
        ({"cesql": " "}, "filters[0].cesql: a CESQL expression is expected"),
        ({"cesql": True}, "filters[0].cesql: a CESQL expression is expected"),
    ],
)
def test_a_wrong_filter_is_told_with_its_path_and_what_is_meant(
    given_: object, problem: str
) -> None:
    (found,) = filters.problems([given_])

    assert problem in found


def test_a_wrong_name_in_the_old_filter_is_told() -> None:
    (found,) = filters.attribute_problems({"ce-type": "a", "type": ""})

    assert found.startswith("filter.ce-type: the name of an attribute")
    assert found.endswith("did you mean cetype?")


def test_filters_are_shown_as_they_are_thought() -> None:
    given_: list[dict[str, Any]] = [
        {"exact": {"type": "order"}},
        {"prefix": {"source": "/shop"}},
        {"any": [{"suffix": {"subject": ".jpg"}}, {"not": {"cesql": "EXISTS trace"}}]},
    ]

    assert filters.shown(given_) == (
        "type=order, source=/shop*, (subject=*.jpg or not cesql: EXISTS trace)"
    )
