"""Who gets the requests when a new revision comes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from mlfunc.knative import rollout

NEWEST = {"latestRevision": True, "percent": 100}


def target(revision: str, percent: int | None = None, tag: str | None = None) -> dict[str, Any]:
    told = {"percent": percent, "tag": tag}
    return {"revisionName": revision, **{key: value for key, value in told.items() if value}}


def test_a_new_revision_gets_all() -> None:
    assert rollout.traffic([target("x-1", 100)], None, None) == [NEWEST]


def test_a_share_leaves_the_rest_to_those_before() -> None:
    routed = rollout.traffic([target("x-1", 100)], 10, "canary")

    assert routed == [
        {"latestRevision": True, "percent": 10, "tag": "canary"},
        {"revisionName": "x-1", "latestRevision": False, "percent": 90},
    ]


def test_the_first_revision_gets_all_whatever_is_asked_for() -> None:
    assert rollout.traffic([], 10, None) == [NEWEST]


def test_tags_stay_where_they_are_save_the_one_that_moves() -> None:
    live = [target("x-1", 100, "stable"), target("x-2", tag="canary")]

    routed = rollout.traffic(live, None, "canary")

    assert routed == [
        {"latestRevision": True, "percent": 100, "tag": "canary"},
        {"revisionName": "x-1", "latestRevision": False, "percent": 0, "tag": "stable"},
    ]


@given(st.lists(st.integers(1, 100), min_size=1, max_size=8), st.integers(0, 100))
def test_no_request_is_left_without_a_revision(shares: list[int], percent: int) -> None:
    live = [target(f"x-{n}", share) for n, share in enumerate(shares)]

    routed = rollout.traffic(live, percent, None)

    assert sum(each["percent"] for each in routed) == 100
    assert routed[0]["percent"] == percent


def test_a_share_for_a_revision_that_is_there_is_its_whole_share() -> None:
    live = [target("x-2", 10, "canary"), target("x-1", 90)]

    assert rollout.traffic(live, 50, None, newest="x-2") == [
        {"latestRevision": True, "percent": 50, "tag": "canary"},
        {"revisionName": "x-1", "latestRevision": False, "percent": 50},
    ]


def test_a_tag_for_a_revision_that_is_there_moves_no_request() -> None:
    live = [target("x-1", 100), target("x-2", tag="blue")]

    assert rollout.traffic(live, None, "green", newest="x-2") == [
        {"latestRevision": True, "percent": 0, "tag": "green"},
        {"revisionName": "x-1", "latestRevision": False, "percent": 100},
        {"revisionName": "x-2", "latestRevision": False, "percent": 0, "tag": "blue"},
    ]


def test_a_tag_brings_no_request_to_a_revision_that_has_none() -> None:
    assert rollout.traffic([target("x-1", 100)], None, "green", newest="x-2") == [
        {"latestRevision": True, "percent": 0, "tag": "green"},
        {"revisionName": "x-1", "latestRevision": False, "percent": 100},
    ]


def test_the_only_revision_there_is_gets_all() -> None:
    assert rollout.traffic([target("x-1", 100)], 10, None, newest="x-1") == [NEWEST]


def test_a_revision_that_had_shares_by_two_names_is_named_once() -> None:
    live = [target("x-1", 50, "stable"), target("x-1", 40), target("x-0", 10)]

    assert rollout.traffic(live, 10, None) == [
        {"latestRevision": True, "percent": 10},
        {"revisionName": "x-1", "latestRevision": False, "percent": 81},
        {"revisionName": "x-0", "latestRevision": False, "percent": 9},
        {"revisionName": "x-1", "latestRevision": False, "percent": 0, "tag": "stable"},
    ]
