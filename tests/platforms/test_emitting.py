"""Events that the command line sends, and those that come at times."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.rig.cluster import eventually
from tests.rig.stage import ALONE, COLLECTOR

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rig.places import Place


@pytest.fixture(scope="module")
def collector(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place.make_broker()
    folder = place.project(
        tmp_path_factory.mktemp("projects") / "collector",
        COLLECTOR,
        **ALONE,
        events={"subscriptions": [{"filter": {"type": "order"}}]},
        schedule=[{"cron": "* * * * *", "data": {"job": "report"}}],
    )
    place.mlfunc("deploy", "--path", folder)
    return folder


def _events(place: Place, type_: str) -> list[dict[str, Any]]:
    found = json.loads(place.request("collector", {}).data)
    return [each for each in found if each["type"] == type_]


def _overview(place: Place, collector: Path) -> dict[str, Any]:
    found: dict[str, Any] = place.mlfunc("events", "--path", collector, "-o", "json").data
    return found


def test_what_is_emitted_comes_to_who_is_subscribed(place: Place, collector: Path) -> None:
    eventually(
        lambda: all(each["ready"] for each in _overview(place, collector)["subscriptions"]),
        "the collector gets its events",
    )
    data = json.dumps({"n": 1})
    sent = place.mlfunc(
        *("emit", "--type", "order", "--data", data, "--subject", "shop/1", "--ext", "tier=gold"),
        *("--count", "3", "--path", collector, "-o", "json"),
    ).data

    eventually(lambda: len(_events(place, "order")) == 3, "three events")
    found = _events(place, "order")
    assert [each["id"] for each in sorted(found, key=lambda each: len(each["id"]))][:1] == [
        sent["ids"][0]
    ]
    assert {each["id"] for each in found} == set(sent["ids"])
    assert {(each["subject"], each["tier"], each["data"]["n"]) for each in found} == {
        ("shop/1", "gold", 1)
    }


def test_a_broker_that_is_not_there_is_told(place: Place, collector: Path) -> None:
    ended = place.mlfunc(
        *("emit", "--type", "order", "--broker", "absent", "--path", collector), code=5
    )
    assert "there is no broker absent" in ended.err


def test_a_schedule_comes_each_minute(place: Place, collector: Path) -> None:
    (shown,) = _overview(place, collector)["schedules"]
    assert (shown["cron"], shown["timezone"]) == ("* * * * *", "UTC")

    kind = "dev.knative.sources.ping"
    eventually(lambda: _events(place, kind), "the first minute", seconds=90)
    event = _events(place, kind)[0]
    assert event["data"] == {"job": "report"}
    assert event["source"].endswith(f"/pingsources/{shown['source']}")
    eventually(lambda: _overview(place, collector)["schedules"][0]["ready"], "it is ready")
    described = place.mlfunc("describe", "--path", collector, "-o", "json").data
    assert described["schedules"] == _overview(place, collector)["schedules"]


def test_a_schedule_that_is_gone_from_the_file_is_taken_away(place: Place, collector: Path) -> None:
    path = collector / "mlfunc.yaml"
    path.write_text(path.read_text().replace("* * * * *", "0 5 * * 1-5"))
    plan = place.mlfunc("deploy", "--path", collector, "--dry-run", "-o", "json").data
    changed = {each["action"] for each in plan["changes"] if each["kind"] == "PingSource"}
    assert changed == {"create", "delete"}

    place.mlfunc("deploy", "--path", collector)
    (shown,) = _overview(place, collector)["schedules"]
    assert shown["cron"] == "0 5 * * 1-5"
