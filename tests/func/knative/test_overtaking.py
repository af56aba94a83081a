"""Whose revision is whose, where two deploy at once."""

from __future__ import annotations

from typing import Any

from mlfunc.knative import overtaking

Object = dict[str, Any]


def asking(generation: int, image: str, **annotations: str) -> Object:
    template = {
        "metadata": {"annotations": annotations},
        "spec": {"containers": [{"image": image}]},
    }
    return {"metadata": {"generation": generation}, "spec": {"template": template}}


def revision(number: int, image: str) -> Object:
    meta = {"name": f"f-{number:05}", "creationTimestamp": f"2026-11-26T10:00:{number:02}Z"}
    return {"metadata": meta, "spec": {"containers": [{"image": image}]}}


def test_another_function_in_a_later_generation_has_overtaken_what_was_applied() -> None:
    assert overtaking.is_overtaken(asking(6, "theirs"), asking(5, "mine"))


def test_a_later_generation_with_other_traffic_has_not() -> None:
    routed = asking(6, "mine")
    routed["spec"]["traffic"] = [{"revisionName": "f-00001", "percent": 100}]

    assert not overtaking.is_overtaken(routed, asking(5, "mine"))


def test_scaling_by_hand_has_not() -> None:
    assert not overtaking.is_overtaken(asking(6, "mine", scale="2"), asking(5, "mine"))


def test_what_was_seen_before_it_was_applied_has_not() -> None:
    assert not overtaking.is_overtaken(asking(4, "before"), asking(5, "mine"))


def test_the_revision_of_what_was_applied_is_the_newest_with_its_spec() -> None:
    there = [revision(3, "mine"), revision(1, "mine"), revision(4, "theirs"), revision(2, "old")]

    assert overtaking.revision_of(asking(7, "mine"), there) == "f-00003"


def test_there_is_none_before_knative_has_made_it() -> None:
    assert overtaking.revision_of(asking(7, "mine"), [revision(1, "old")]) == ""
