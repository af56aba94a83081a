"""Who gets the requests, changed by hand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlfunc.errors import ClusterFailed, NotFound, UsageError
from mlfunc.knative import traffic
from mlfunc.knative.traffic import Wish

from tests.func.knative.objects import revision, service

REVISIONS = [revision(1), revision(2), revision(3, ready="False", message="it crashed")]
CANARY = [
    {"revisionName": "greeter-00001", "latestRevision": False, "percent": 90},
    {"revisionName": "greeter-00002", "latestRevision": True, "percent": 10, "tag": "canary"},
]


def split(wish: Wish, live: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    return traffic.change(service(traffic=live), REVISIONS, wish)


def test_shares_are_given_by_name_and_to_whichever_is_the_newest() -> None:
    assert split(Wish({"greeter-00001": 90, "latest": 10})) == [
        {"latestRevision": False, "revisionName": "greeter-00001", "percent": 90},
        {"latestRevision": True, "percent": 10},
    ]


def test_a_tag_stands_for_its_revision_and_stays() -> None:
    assert split(Wish({"canary": 20, "greeter-00001": 80}), CANARY) == [
        {"latestRevision": True, "percent": 20, "tag": "canary"},
        {"latestRevision": False, "revisionName": "greeter-00001", "percent": 80},
    ]


def test_tags_change_and_shares_stay() -> None:
    changed = split(Wish(tags={"old": "greeter-00001", "canary": "greeter-00001"}), CANARY)

    assert changed == [
        {
            "latestRevision": False,
            "revisionName": "greeter-00001",
            "percent": 90,
            "tag": "canary",
        },
        {"latestRevision": False, "revisionName": "greeter-00001", "percent": 0, "tag": "old"},
        {"latestRevision": True, "percent": 10},
    ]


def test_a_tag_is_taken_away() -> None:
    assert [each.get("tag") for each in split(Wish(untag=["canary"]), CANARY)] == [None, None]
    with pytest.raises(NotFound, match="no revision has the tag canari") as raised:
        split(Wish(untag=["canari"]), CANARY)
    assert raised.value.hint == "did you mean canary?"


@pytest.mark.parametrize(
    ("shares", "message", "hint"),
    [
        ({"latest": 20}, "sum up to 20, not to 100", "add greeter-00001=80"),
        ({"latest": 60, "greeter-00001": 60}, "sum up to 120, not to 100", "give less"),
        ({"latest": 0}, "sum up to 0", "add greeter-00001=100"),
        ({"greeter-00001": 20, "latest": 30}, "sum up to 50", "latest=80"),
    ],
)
def test_shares_that_do_not_sum_up_are_refused(
    shares: dict[str, int], message: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        split(Wish(shares), CANARY)
    assert hint in raised.value.hint


def test_one_revision_by_two_names_counts_twice() -> None:
    assert split(Wish({"greeter-00001": 40, "old": 60}), [*CANARY, tagged("old", 1)]) == [
        {"latestRevision": False, "revisionName": "greeter-00001", "percent": 100, "tag": "old"},
        {"latestRevision": True, "percent": 0, "tag": "canary"},
    ]


def test_an_unknown_revision_is_told_with_the_likely_one() -> None:
    with pytest.raises(NotFound, match="greeter has no revision greeter-0001") as raised:
        split(Wish({"greeter-0001": 100}))
    assert raised.value.hint == "did you mean greeter-00001?"


def test_a_revision_that_is_not_ready_gets_no_requests_but_may_have_a_tag() -> None:
    with pytest.raises(ClusterFailed, match="greeter-00003 is not ready: it crashed"):
        split(Wish({"greeter-00003": 100}))
    assert split(Wish(tags={"bad": "greeter-00003"}))[-1]["revisionName"] == "greeter-00003"


def test_before_the_first_revision_is_ready_nothing_can_be_promoted() -> None:
    young = service(traffic=[])
    del young["status"]["latestReadyRevisionName"]
    with pytest.raises(ClusterFailed, match="no revision of greeter has been ready yet"):
        traffic.change(young, REVISIONS, Wish({"latest": 100}))


def test_going_back_is_to_the_newest_ready_one_before_what_serves() -> None:
    three = [revision(1), revision(2, ready="False"), revision(3)]
    live = service(newest="greeter-00003")

    found = traffic.previous(live, three)

    assert found["metadata"]["name"] == "greeter-00001"
    assert traffic.back_to(live, three, found) == [
        {"latestRevision": False, "revisionName": "greeter-00001", "percent": 100}
    ]


def test_going_back_from_a_canary_is_to_what_it_replaces() -> None:
    found = traffic.previous(service(traffic=CANARY), REVISIONS)
    assert found["metadata"]["name"] == "greeter-00001"


def test_where_there_is_nothing_to_go_back_to_the_way_forward_is_told() -> None:
    back = service(traffic=[{"revisionName": "greeter-00001", "percent": 100}])
    with pytest.raises(NotFound, match="no revision that was ready before") as raised:
        traffic.previous(back, REVISIONS)
    assert raised.value.hint == "--to greeter-00002"
    with pytest.raises(ClusterFailed, match="greeter-00003 is not ready"):
        traffic.previous(back, REVISIONS, to="greeter-00003")


@given(
    st.dictionaries(
        st.sampled_from(["greeter-00001", "greeter-00002", "latest", "canary"]),
        st.integers(0, 100),
    ),
    st.dictionaries(
        st.sampled_from(["canary", "old", "new"]),
        st.sampled_from(["greeter-00001", "greeter-00003", "latest"]),
    ),
    st.sampled_from([[], ["canary"]]),
)
def test_what_is_written_is_what_knative_takes(
    shares: dict[str, int], tags: dict[str, str], untag: list[str]
) -> None:
    wish = Wish(shares, tags, untag)
    if shares and sum(shares.values()) != 100:
        with pytest.raises(UsageError):
            split(wish, CANARY)
        return

    targets = split(wish, CANARY)

    assert sum(each["percent"] for each in targets) == 100
    named = [each["tag"] for each in targets if "tag" in each]
    assert len(set(named)) == len(named)
    assert set(named) == {*tags, *({"canary"} - set(untag))}
    assert all(each["latestRevision"] != ("revisionName" in each) for each in targets)
    assert all(each["percent"] or "tag" in each for each in targets)


def tagged(tag: str, number: int) -> dict[str, Any]:
    return {"revisionName": f"greeter-{number:05}", "percent": 0, "tag": tag}
