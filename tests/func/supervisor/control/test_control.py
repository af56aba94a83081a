"""Objects that say what there shall be, and what comes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlfunc.cluster import kinds
from mlfunc.knative import diagnosis, names, overview, rescaling, traffic
from mlfunc.knative.progress import Snapshot
from mlfunc.supervisor.parts import Key, Load, Route, Target

from tests.func.supervisor.control.rig import Rig, function, played

if TYPE_CHECKING:
    import pytest
    from mlfunc.knative.progress import Progress

Object = dict[str, Any]
LATEST = {"latestRevision": True, "percent": 100}


def summary(rig: Rig) -> overview.Summary:
    """As `mlfunc list` has it."""
    made = rig.objects.list(kinds.REVISION)
    return overview.summary(rig.service("f"), made, rig.pods)


def progress(rig: Rig) -> Progress:
    """As the wait of `mlfunc deploy` has it."""
    service = rig.service("f")
    newest = service["status"]["latestCreatedRevisionName"]
    pods = [each for each in rig.pods if each["metadata"]["labels"][names.REVISION] == newest]
    return diagnosis.diagnose(Snapshot(service, rig.revision(newest), pods))


def ready(found: Object) -> tuple[str, str]:
    told = diagnosis.condition(found, "Ready")
    return told["status"], told.get("reason", "")


def scaled(rig: Rig, revision: str) -> int:
    """How many it was told to have last."""
    return next(count for name, count in reversed(rig.fleet.asked) if name == revision)


def serving(rig: Rig) -> list[str]:
    return [target.revision.name for route in rig.gateway.routes for target in route.targets]


# A deployment.


@played
async def test_a_service_has_a_revision_with_an_instance_and_then_gets_its_requests(
    rig: Rig,
) -> None:
    service = await rig.apply(function())

    assert scaled(rig, "f-00001") == 1
    assert not diagnosis.is_ready(service)
    assert rig.gateway.joined == {}

    await rig.ready()

    first = Key("default", "f-00001")
    assert diagnosis.is_ready(rig.service("f"))
    assert rig.gateway.routes == [Route(Key("default", "f"), (Target(first, 100),))]
    assert rig.gateway.joined == {"f-00001-deployment-1": 4000}
    assert rig.service("f")["status"]["url"] == "http://f.default.localhost:8088"


@played
async def test_the_wait_sees_each_phase(rig: Rig) -> None:
    await rig.apply(function())
    seen = [progress(rig).phase]
    for phase in ("starting", "loading"):
        rig.fleet.becomes("f-00001-deployment-1", phase, pid=7)
        await rig.settle()
        seen.append(progress(rig).phase)
    await rig.ready()

    assert seen == ["starting", "starting", "starting"]  # its log tells the rest
    assert progress(rig).ready


@played
async def test_the_same_again_makes_no_revision_and_changes_nothing(rig: Rig) -> None:
    await rig.apply(function())
    await rig.ready()
    before = rig.objects.version

    await rig.apply(function())

    assert rig.objects.version == before
    assert rig.revisions == ["f-00001"]


@played
async def test_a_new_revision_gets_requests_once_it_is_ready_and_the_old_one_serves_until_then(
    rig: Rig,
) -> None:
    await rig.apply(function())
    await rig.ready()

    await rig.apply(function(env={"A": "1"}))

    assert rig.revisions == ["f-00001", "f-00002"]
    assert serving(rig) == ["f-00001"]
    assert summary(rig).revision == "f-00001"
    assert scaled(rig, "f-00001") == 1

    await rig.ready("f-00002")

    assert serving(rig) == ["f-00002"]
    assert diagnosis.is_ready(rig.service("f"))
    await rig.passes(100)
    assert scaled(rig, "f-00001") == 0


@played
async def test_a_revision_that_fails_leaves_the_old_one_serving(rig: Rig) -> None:
    await rig.apply(function())
    await rig.ready()
    await rig.apply(function(env={"A": "1"}))

    failure = 'ValueError: no weights\n  File "predictor.py", line 3'
    rig.fleet.becomes("f-00002-deployment-2", "backoff", exit_code=1, failure=failure)
    await rig.settle()

    assert serving(rig) == ["f-00001"]
    assert ready(rig.service("f")) == ("False", "RevisionFailed")
    why = "the function does not start: ValueError: no weights"
    assert summary(rig).message == f"f-00002: {why}; f-00001 serves on"
    said = dict(overview.conditions(rig.service("f")))
    assert said["ConfigurationsReady"] == "the function does not start: ValueError: no weights"
    failed = progress(rig).failure
    assert failed is not None
    assert failed.message == "the function does not start: ValueError: no weights"
    assert "line 3" in failed.evidence
    assert failed.pod == "f-00002-deployment-2"


@played
async def test_one_that_has_failed_is_ready_once_it_answers(rig: Rig) -> None:
    await rig.apply(function(scale={"min": 2}))
    for each in ("1", "2"):
        rig.fleet.becomes(f"f-00001-deployment-{each}", "backoff", exit_code=1)
    await rig.settle()
    assert ready(rig.service("f")) == ("False", "RevisionFailed")

    for each in ("1", "2"):
        rig.fleet.becomes(f"f-00001-deployment-{each}", "ready", restarts=1)
    await rig.settle()

    assert ready(rig.service("f")) == ("True", "")
    assert scaled(rig, "f-00001") == 2


@played
async def test_a_revision_that_another_one_overtakes_is_not_started_any_more(rig: Rig) -> None:
    await rig.apply(function())
    await rig.apply(function(env={"A": "1"}))

    assert scaled(rig, "f-00001") == 0
    assert scaled(rig, "f-00002") == 1
    assert ready(rig.revision("f-00001")) == ("False", "Superseded")


@played
async def test_a_start_that_takes_too_long_is_given_up(rig: Rig) -> None:
    await rig.apply(function(scale={"min": 1}))

    await rig.passes(601)

    assert ready(rig.revision("f-00001")) == ("False", "ProgressDeadlineExceeded")
    failed = progress(rig).failure
    assert failed is not None
    assert "Knative has given it up" in failed.message
    await rig.passes(60)
    assert scaled(rig, "f-00001") == 0


@played
async def test_what_a_revision_needs_and_is_not_there_is_told_and_waited_for(rig: Rig) -> None:
    await rig.apply(function(env={"TOKEN": {"secret": "hub", "key": "token"}}))

    assert rig.fleet.asked == []
    failed = progress(rig).failure
    assert failed is not None
    assert failed.message == "there is no secret hub"

    rig.objects.write(_secret({"other": "eA=="}))
    await rig.settle()
    failed = progress(rig).failure
    assert failed is not None
    assert failed.message == "Secret hub has no key token"

    rig.objects.write(_secret({"token": "eHl6"}))
    await rig.settle()
    assert scaled(rig, "f-00001") == 1
    assert rig.fleet.blueprints[Key("default", "f-00001")].env["TOKEN"] == "xyz"
    assert [each["metadata"]["name"] for each in rig.pods] == ["f-00001-deployment-1"]


@played
async def test_a_release_that_is_gone_is_told_like_an_image_that_is_gone(rig: Rig) -> None:
    rig.missing = True

    await rig.apply(function())

    failed = progress(rig).failure
    assert failed is not None
    assert "it is not there" in failed.message
    assert failed.hint.startswith("mlfunc deploy")


# Revisions.


@played
async def test_a_revision_that_is_deleted_is_made_anew_while_it_is_the_newest(rig: Rig) -> None:
    await rig.apply(function())
    await rig.ready()
    uid = rig.revision("f-00001")["metadata"]["uid"]

    rig.objects.remove(kinds.REVISION, "default", "f-00001")
    await rig.settle()

    assert rig.revision("f-00001")["metadata"]["uid"] != uid
    phases = [each.phase for each in rig.fleet.instances()]
    assert phases == ["draining", "starting"]


@played
async def test_of_revisions_that_nobody_reaches_the_newest_twenty_are_kept(rig: Rig) -> None:
    for number in range(24):
        await rig.apply(function(env={"A": str(number)}))
        await rig.ready()

    assert rig.revisions == [f"f-{number:05d}" for number in range(4, 25)]


@played
async def test_a_revision_that_has_a_tag_is_kept(rig: Rig) -> None:
    await rig.apply(function())
    await rig.ready()
    old = {"revisionName": "f-00001", "latestRevision": False, "percent": 0, "tag": "old"}
    for number in range(24):
        await rig.apply(function(env={"A": str(number)}), traffic=[LATEST, old])
        await rig.ready()

    assert rig.revisions[0] == "f-00001"


@played
async def test_a_service_that_is_deleted_takes_all_with_it(rig: Rig) -> None:
    await rig.apply(function())
    await rig.ready()
    rig.told.clear()

    rig.objects.remove(kinds.SERVICE, "default", "f")
    await rig.settle()

    assert rig.told == ["route", "leave f-00001-deployment-1", "end f-00001-deployment-1"]
    assert rig.gateway.served == {}
    (pod,) = rig.pods
    assert "deletionTimestamp" in pod["metadata"]

    rig.fleet.becomes("f-00001-deployment-1", "ended")
    await rig.settle()

    left = [each for kind in kinds.ALL for each in rig.objects.list(kind)]
    assert left == []


@played
async def test_one_of_the_same_name_after_it_is_another(rig: Rig) -> None:
    await rig.apply(function())
    await rig.ready()
    rig.objects.remove(kinds.SERVICE, "default", "f")
    await rig.apply(function())

    assert progress(rig).phase == "starting"
    phases = [each.phase for each in rig.fleet.instances()]
    assert phases == ["draining", "starting"]


@played
async def test_a_name_that_is_taken_makes_no_revision_and_what_serves_goes_on(rig: Rig) -> None:
    first = await rig.apply(function())
    await rig.ready()
    template = {**first["spec"]["template"]["spec"], "timeoutSeconds": 99}
    spec = {"template": {"metadata": {"name": "f-00001"}, "spec": template}}

    rig.objects.write({**rig.service("f"), "spec": spec})
    await rig.settle()

    service = rig.service("f")
    told = diagnosis.condition(service, "ConfigurationsReady")
    assert told["status"] == "False"
    assert 'revisions.serving.knative.dev "f-00001" already exists' in told["message"]
    assert service["status"]["latestCreatedRevisionName"] == "f-00001"
    assert serving(rig) == ["f-00001"]
    assert rig.revisions == ["f-00001"]


# Who gets the requests.


@played
async def test_requests_are_shared_and_tagged_as_is_asked_for(rig: Rig) -> None:
    await rig.apply(function())
    await rig.ready()
    old = {"revisionName": "f-00001", "latestRevision": False, "percent": 90, "tag": "old"}
    targets = [{"latestRevision": True, "percent": 10}, old]

    await rig.apply(function(env={"A": "1"}), traffic=targets)
    await rig.ready()

    first, second = Key("default", "f-00001"), Key("default", "f-00002")
    shares = (Target(second, 10), Target(first, 90))
    assert rig.gateway.routes == [Route(Key("default", "f"), shares, {"old": first})]
    told = traffic.shares(rig.service("f"))
    assert [(each.revision, each.percent, each.follows, each.tag) for each in told] == [
        ("f-00002", 10, True, None),
        ("f-00001", 90, False, "old"),
    ]
    assert told[1].url == "http://old-f.default.localhost:8088"
    await rig.passes(30)
    assert (
        rig.revision("f-00001")["metadata"]["labels"]["serving.knative.dev/routingState"]
        == "active"
    )


@played
async def test_what_is_routed_otherwise_makes_no_revision(rig: Rig) -> None:
    await rig.apply(function())
    await rig.ready()
    await rig.apply(function(env={"A": "1"}))
    await rig.ready()
    back = traffic.back_to(
        rig.service("f"), rig.objects.list(kinds.REVISION), rig.revision("f-00001")
    )

    service = await rig.apply(function(env={"A": "1"}), traffic=back)

    assert serving(rig) == ["f-00001"]
    assert rig.revisions == ["f-00001", "f-00002"]
    assert service["status"]["observedGeneration"] == service["metadata"]["generation"] == 3
    assert ready(service) == ("True", "")

    await rig.apply(function(env={"A": "2"}), traffic=back)
    assert rig.revisions[-1] == "f-00003"


@played
async def test_a_revision_that_is_not_there_gets_nothing_and_all_stays_as_it_was(rig: Rig) -> None:
    await rig.apply(function())
    await rig.ready()

    service = await rig.apply(function(), traffic=[{"revisionName": "f-00009", "percent": 100}])

    assert serving(rig) == ["f-00001"]
    told = diagnosis.condition(service, "RoutesReady")
    assert told["status"] == "False"
    assert told["message"] == 'Revision "f-00009" referenced in traffic not found.'


# Scaling.


@played
async def test_one_that_leaves_gets_no_more_requests(rig: Rig) -> None:
    await rig.apply(function())
    await rig.ready()
    rig.told.clear()

    await rig.passes(100)

    assert rig.told == ["leave f-00001-deployment-1", "end f-00001-deployment-1"]
    assert summary(rig).instances == 0
    assert ready(rig.service("f")) == ("True", "")
    told = diagnosis.condition(rig.autoscaler("f-00001"), "Active")
    assert (told["status"], told["reason"]) == ("False", "NoTraffic")


@played
async def test_a_request_at_zero_starts_an_instance_at_once(rig: Rig) -> None:
    await rig.apply(function())
    await rig.ready()
    await rig.passes(100)
    rig.fleet.becomes("f-00001-deployment-1", "ended")
    await rig.settle()

    rig.gateway.woken(Key("default", "f-00001"))

    assert rig.fleet.asked[-1] == ("f-00001", 1)  # before the loop has turned
    await rig.settle()
    told = diagnosis.condition(rig.autoscaler("f-00001"), "Active")
    assert (told["status"], told["reason"]) == ("Unknown", "Queued")


@played
async def test_requests_are_on_their_way_before_anything_is_written_of_an_instance(
    rig: Rig,
) -> None:
    await rig.apply(function())
    await rig.ready()
    rig.close()
    patient = Rig(rig.objects, pause=3600)
    await patient.settle()
    written = patient.objects.version

    patient.gateway.woken(Key("default", "f-00001"))
    patient.fleet.becomes("f-00001-deployment-1", "ready")
    await patient.settle()

    assert patient.gateway.joined == {"f-00001-deployment-1": 4000}
    assert patient.objects.version == written
    patient.close()


@played
async def test_a_revision_that_nothing_has_changed_of_is_not_worked_out_anew(rig: Rig) -> None:
    await rig.apply(function())
    await rig.ready()
    await rig.apply(function("g", env={"TOKEN": {"secret": "hub", "key": "token"}}))
    rig.objects.write(_secret({"token": "eHl6"}))
    await rig.settle()
    await rig.ready()
    asked = len(rig.fleet.asked)

    rig.objects.write(_secret({"token": "YWJj"}))
    await rig.settle()

    assert rig.fleet.asked[asked:] == [("g-00001", 1)]
    assert rig.fleet.blueprints[Key("default", "g-00001")].env["TOKEN"] == "abc"


@played
async def test_nothing_is_asked_while_all_is_at_zero(rig: Rig) -> None:
    await rig.apply(function())
    await rig.ready()
    await rig.passes(100)
    asked = rig.gateway.asked

    await rig.passes(100)

    assert rig.gateway.asked == asked


@played
async def test_load_starts_instances_up_to_the_most(rig: Rig) -> None:
    await rig.apply(function(scale={"max": 3, "target": 1}))
    await rig.ready()

    await rig.passes(4, Load(9.0, 9, 4, 5), "f-00001")

    assert scaled(rig, "f-00001") == 3
    assert rig.autoscaler("f-00001")["status"]["desiredScale"] == 3
    await rig.ready()
    assert rig.revision("f-00001")["status"]["actualReplicas"] == 3
    assert summary(rig).instances == 3


@played
async def test_there_are_never_more_instances_than_the_machine_carries(rig: Rig) -> None:
    rig.close()
    small = Rig(rig.objects, machine={"cpu": 2.0, "memory": 2.0**40})
    await small.apply(function(scale={"max": 3, "target": 1}))
    await small.ready()

    await small.passes(4, Load(9.0, 9, 4, 5), "f-00001")

    assert scaled(small, "f-00001") == 2
    await small.ready()
    state = rescaling.state(small.revision("f-00001"), small.autoscaler("f-00001"), 100, {})
    assert (state.policy.maximum, state.bound and state.bound.most) == (3, 2)
    assert state.why == "this machine has 2 cores, and each instance asks for 1"
    small.close()


@played
async def test_as_many_as_min_asks_for_there_are(rig: Rig) -> None:
    rig.close()
    small = Rig(rig.objects, machine={"cpu": 2.0})
    await small.apply(function(scale={"min": 3}))

    assert scaled(small, "f-00001") == 3
    small.close()


@played
async def test_annotations_of_a_revision_count_at_once(rig: Rig) -> None:
    await rig.apply(function())
    await rig.ready()
    wish = rescaling.Wish(min=2, max=5)

    revision = rig.revision("f-00001")
    meta = revision["metadata"]
    annotations = {**meta["annotations"], **wish.annotations}
    rig.objects.write({**revision, "metadata": {**meta, "annotations": annotations}})
    await rig.settle()

    assert scaled(rig, "f-00001") == 2
    assert rescaling.has_taken(rig.autoscaler("f-00001"), wish)
    await rig.ready()
    state = rescaling.state(rig.revision("f-00001"), rig.autoscaler("f-00001"), 100, {})
    assert (state.instances, state.wanted, state.why) == (2, 2, "min keeps them")


@played
async def test_settings_of_all_revisions_count_at_once(rig: Rig) -> None:
    await rig.apply(function(scale={"window": "6s"}))
    await rig.ready()
    rig.objects.write(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"namespace": "knative-serving", "name": "config-autoscaler"},
            "data": {"enable-scale-to-zero": "false"},
        }
    )
    await rig.settle()

    await rig.passes(100)

    assert scaled(rig, "f-00001") == 1


@played
async def test_a_revision_that_needs_no_instance_is_ready_without_one(rig: Rig) -> None:
    await rig.apply(function(deploy={"rollout": "recreate"}))

    assert ready(rig.service("f")) == ("True", "")
    assert rig.fleet.instances() == []
    assert serving(rig) == ["f-00001"]


# A supervisor that begins.


@played
async def test_what_served_before_is_back_by_its_least_or_at_zero(rig: Rig) -> None:
    await rig.apply(function())
    await rig.apply(function("g", scale={"min": 2}))
    await rig.ready()
    rig.close()

    again = Rig(rig.objects)
    await again.settle()

    assert again.fleet.asked == [("f-00001", 0), ("g-00001", 2)]
    assert [each["metadata"]["name"] for each in again.pods] == [
        "g-00001-deployment-1",
        "g-00001-deployment-2",
    ]
    assert sorted(serving(again)) == ["f-00001", "g-00001"]
    again.gateway.woken(Key("default", "f-00001"))
    assert again.fleet.asked[-1] == ("f-00001", 1)
    again.close()


@played
async def test_its_addresses_are_of_the_port_that_the_gateway_has_now(rig: Rig) -> None:
    await rig.apply(function())
    await rig.ready()
    rig.close()

    again = Rig(rig.objects, port=9999)
    await again.settle()

    status = again.service("f")["status"]
    assert status["url"] == "http://f.default.localhost:9999"
    assert status["address"]["url"] == "http://127.0.0.1:9999/f"
    again.close()


@played
async def test_one_that_is_told_nonsense_does_not_keep_others_from_what_they_need(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    told = {names.AUTOSCALING + "panic-window-percentage": "x"}
    wanted = function("a", deploy={"annotations": told})

    await rig.apply(wanted)
    await rig.apply(function("b"))

    assert scaled(rig, "b-00001") == 1
    assert "a-00001 cannot be scaled as it is told: could not convert string" in caplog.text


@played
async def test_a_secret_goes_with_the_last_function_that_names_it(rig: Rig) -> None:
    env = {"TOKEN": {"secret": "hub", "key": "token"}}
    rig.objects.write(_secret({"token": "eHl6"}))
    for name in ("f", "g"):
        await rig.apply(function(name, env=env))

    rig.objects.remove(kinds.SERVICE, "default", "f")
    await rig.settle()
    shared = rig.objects.get(kinds.SECRET, "default", "hub")
    rig.objects.remove(kinds.SERVICE, "default", "g")
    await rig.settle()

    assert shared is not None
    assert rig.objects.get(kinds.SECRET, "default", "hub") is None


@played
async def test_one_that_we_fail_at_does_not_keep_a_supervisor_from_its_start(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    await rig.apply(function("a"))
    await rig.apply(function("b"))
    await rig.ready()
    rig.close()
    service = rig.service("a")
    rig.objects.write({**service, "spec": {**service["spec"], "template": "none"}})

    again = Rig(rig.objects)

    assert "b-00001" in serving(again)
    assert "what is due cannot be done" in caplog.text
    again.close()


def _secret(data: dict[str, str]) -> Object:
    meta = {"namespace": "default", "name": "hub"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}
