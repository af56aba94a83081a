"""What others have changed, of what they only own."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from mlfunc import plan
from mlfunc.knative import remembering

Object = dict[str, Any]

MANIFEST = {"kind": "Service", "metadata": {"name": "f", "annotations": {"a": "b"}}, "spec": {}}
TEMPLATE: Object = {"spec": {"containers": [{"image": "one", "cpu": "1", "env": []}]}}


def deployed(template: Object = TEMPLATE) -> Object:
    """A Service as a deployment leaves it."""
    service = remembering.kept(MANIFEST, template)
    return {**service, "spec": {"template": copy.deepcopy(template)}}


def changed(**fields: Any) -> Object:
    """The template with other fields of its container."""
    return {"spec": {"containers": [{**TEMPLATE["spec"]["containers"][0], **fields}]}}


def touched(live: Object, template: Object) -> list[str]:
    """The paths, where `template` is what shall be."""
    wanted = list(plan.differences(live["spec"]["template"], template, "spec.template"))
    return [each.path for each in remembering.touched(live, wanted)]


def test_what_is_as_it_was_applied_nobody_has_touched() -> None:
    assert touched(deployed(), changed(image="two", cpu="50m", memory="1Gi")) == []


@pytest.mark.parametrize(
    ("theirs", "path"),
    [
        ({"image": "theirs"}, "spec.template.spec.containers[0].image"),
        (
            {"env": [{"name": "MOOD", "value": "good"}]},
            "spec.template.spec.containers[0].env[MOOD]",
        ),
        ({"probe": {"port": 1}}, "spec.template.spec.containers[0].probe"),
    ],
    ids=["value", "item", "field"],
)
def test_only_what_others_have_changed_is_told(theirs: Object, path: str) -> None:
    live = deployed()
    live["spec"]["template"] = changed(**theirs)

    assert touched(live, changed(image="two", cpu="50m"))[-1] == path
    assert not any("cpu" in each for each in touched(live, changed(image="two", cpu="50m")))


def test_where_it_is_not_known_all_counts_as_touched() -> None:
    live = remembering.without(deployed())

    assert touched(live, changed(cpu="2")) == ["spec.template.spec.containers[0].cpu"]


def test_what_is_outside_the_template_is_never_known() -> None:
    wanted = [plan.Difference("spec.traffic", 1, 2), plan.Difference("metadata.labels.a", 1, 2)]

    assert remembering.touched(deployed(), wanted) == wanted


def test_what_is_kept_is_nothing_that_people_wrote() -> None:
    assert remembering.without(remembering.kept(MANIFEST, TEMPLATE)) == MANIFEST
