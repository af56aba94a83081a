"""The PingSources of a function."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from mlfunc import function
from mlfunc.errors import UsageError
from mlfunc.knative import schedules


def _function(*schedule: dict[str, Any]) -> function.Function:
    return function.parse(yaml.safe_dump({"name": "report", "schedule": list(schedule)}).encode())


def test_a_schedule_is_a_source_that_sends_to_the_function() -> None:
    (made,) = schedules.manifests(
        _function({"cron": "0 5 * * *", "timezone": "Europe/Berlin", "data": {"n": 1}}),
        "team",
        None,
    )

    assert made["metadata"]["labels"]["mlfunc.dev/function"] == "report"
    assert made["spec"] == {
        "schedule": "0 5 * * *",
        "timezone": "Europe/Berlin",
        "contentType": "application/json",
        "data": '{"n": 1}',
        "sink": {
            "ref": {
                "apiVersion": "serving.knative.dev/v1",
                "kind": "Service",
                "name": "report",
                "namespace": "team",
            }
        },
    }
    assert schedules.of_function([made], "report") == [made]
    assert schedules.of_function([made], "other") == []


def test_it_goes_with_its_service() -> None:
    service = {"metadata": {"name": "report", "uid": "1"}}
    (made,) = schedules.manifests(_function({"cron": "@daily"}), "team", service)

    assert made["metadata"]["ownerReferences"][0]["uid"] == "1"
    assert "data" not in made["spec"]


def test_a_text_is_sent_as_text() -> None:
    (made,) = schedules.manifests(_function({"cron": "@daily", "data": "go"}), "team", None)
    assert (made["spec"]["contentType"], made["spec"]["data"]) == ("text/plain", "go")


def test_what_the_file_has_no_more_is_pruned() -> None:
    before = schedules.manifests(_function({"cron": "@daily"}, {"cron": "@hourly"}), "team", None)
    after = schedules.manifests(_function({"cron": "@hourly"}), "team", None)

    assert schedules.prune(after, before) == [before[0]["metadata"]["name"]]


def test_two_alike_are_refused() -> None:
    with pytest.raises(UsageError, match=r"schedule\[1\] is the same as \[0\]"):
        schedules.check(_function({"cron": "@daily"}, {"cron": "@daily"}))


def test_what_knative_would_refuse_is_told_with_its_line() -> None:
    text = b"name: report\nschedule:\n  - cron: '@daily'\n  - cron: '0 0 * * 7'\n"
    with pytest.raises(UsageError, match=r"mlfunc.yaml:4: .*7 is not from 0 to 6"):
        function.parse(text)


def test_a_list_is_no_data_as_knative_takes_objects_only() -> None:
    with pytest.raises(UsageError, match="data"):
        _function({"cron": "@daily", "data": [1]})


@pytest.mark.parametrize(
    ("status", "ready", "reason"),
    [
        ({}, False, "Knative has not come to it yet"),
        (
            {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]},
            True,
            "",
        ),
        (
            {
                "observedGeneration": 1,
                "conditions": [{"type": "Ready", "status": "False", "message": "no sink"}],
            },
            False,
            "no sink",
        ),
    ],
    ids=["not seen", "ready", "failing"],
)
def test_it_is_read(status: dict[str, Any], ready: bool, reason: str) -> None:
    (made,) = schedules.manifests(_function({"cron": "@daily"}), "team", None)
    found = schedules.read(
        {**made, "metadata": {**made["metadata"], "generation": 1}, "status": status}
    )
    assert (found.cron, found.timezone) == ("@daily", "UTC")
    assert (found.ready, found.reason) == (ready, reason)
