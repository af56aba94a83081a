"""What the page shows, out of objects, instances and counters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlfunc.supervisor.dashboard import snapshot
from mlfunc.supervisor.dashboard.chronicle import Chronicle
from mlfunc.supervisor.dashboard.measures import Measures
from mlfunc.supervisor.dashboard.scraping import Scraped
from mlfunc.supervisor.dashboard.sources import Counted
from mlfunc.supervisor.dashboard.timeline import Sample
from mlfunc.supervisor.parts import Key
from mlfunc.supervisor.state.objects import Objects

from tests.rig.platformpage import instance, revision, service, trigger

if TYPE_CHECKING:
    from mlfunc.supervisor.parts import InstancePhase

HELLO = Key("default", "hello-00001")


def objects(*all_of_them: dict[str, Any]) -> Objects:
    found = Objects()
    for each in all_of_them:
        found.write(each)
    return found


def test_revisions_have_their_share_their_tags_and_their_processes() -> None:
    there = objects(
        revision("hello", "hello-00001"),
        revision("hello", "hello-00002"),
        revision("other", "other-00001"),
        service("hello", {"hello-00001": 90, "hello-00002": 10}, tags={"next": "hello-00002"}),
    )
    processes = [instance("a", "hello-00001"), instance("b", "hello-00001", "loading")]

    (function,) = snapshot.functions(there, processes, Chronicle(), {HELLO: Counted(held=3)})

    newest, oldest = function.revisions
    assert (newest.name, newest.percent, [tag.name for tag in newest.tags]) == (
        "hello-00002",
        10,
        ["next"],
    )
    assert (oldest.percent, [each.name for each in oldest.instances], oldest.held) == (
        90,
        ["a", "b"],
        3,
    )
    assert newest.tags[0].url == "http://next-hello.default.localhost:8088"


def test_a_function_of_another_namespace_has_nothing_of_this_one() -> None:
    elsewhere = service("hello", {})
    elsewhere["metadata"]["namespace"] = "team"
    there = objects(revision("hello", "hello-00001"), trigger("on-x", "hello", "x"), elsewhere)

    (function,) = snapshot.functions(there, [], Chronicle(), {})

    assert (function.namespace, function.revisions, function.subscriptions) == ("team", (), ())


def test_triggers_and_schedules_say_what_it_gets() -> None:
    ping = {
        "apiVersion": "sources.knative.dev/v1",
        "kind": "PingSource",
        "metadata": {"name": "hello-0", "namespace": "default"},
        "spec": {
            "schedule": "*/5 * * * *",
            "timezone": "Europe/Berlin",
            "sink": {"ref": {"kind": "Service", "name": "hello"}},
        },
    }
    there = objects(
        service("hello", {}), trigger("on-x", "hello", "x"), trigger("on-y", "other", "y"), ping
    )

    (function,) = snapshot.functions(there, [], Chronicle(), {})

    assert [(each.trigger, each.takes) for each in function.subscriptions] == [("on-x", "type=x")]
    assert function.schedules == ("*/5 * * * * Europe/Berlin",)


def test_a_service_that_was_just_made_is_shown() -> None:
    made = service("hello", {})
    del made["status"]

    (function,) = snapshot.functions(objects(made), [], Chronicle(), {})

    assert (function.url, function.ready, function.revisions) == ("", "Unknown", ())


def test_what_starts_is_told_from_what_is_ready_and_what_ends_is_neither() -> None:
    phases: tuple[InstancePhase, ...] = (
        "starting",
        "importing",
        "warming",
        "ready",
        "draining",
        "backoff",
    )
    processes = [instance(phase, "hello-00001", phase) for phase in phases]

    found = snapshot.samples(processes, {HELLO: Counted(in_flight=2, waiting=1)}, {})

    assert found == {HELLO: Sample(starting=3, ready=1, in_flight=2, waiting=1)}


def test_revisions_without_anything_are_not_told_of() -> None:
    assert snapshot.live([], {HELLO: Counted(held=5)}, {}, {}) == {}


def test_instances_have_what_they_said_of_themselves() -> None:
    said = {"a": Scraped(slots=2, busy=0.5, backlog=3), "gone": Scraped()}

    found = snapshot.live([instance("a", "hello-00001")], {}, {HELLO: Measures({}, 0.1, 0.2)}, said)

    assert found["default/hello-00001"].instances == {"a": said["a"]}
    assert found["default/hello-00001"].p99 == 0.2
