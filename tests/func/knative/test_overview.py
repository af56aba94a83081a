"""What a Service and its revisions and pods tell of a function."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from mlfunc.knative import coldstart, names, overview, writers
from mlfunc.knative.sentences import sentence

from tests.func.knative.objects import condition, pod, revision, service

_CRASH = json.dumps(
    {"time": "t", "level": "error", "message": "no", "phase": "failed", "error": "load raised E"}
)


def test_a_function_of_ours_is_told_with_its_models_and_accelerator() -> None:
    found = service()
    found["metadata"]["labels"] = {names.MANAGED_BY: "mlfunc", names.FUNCTION_RUNTIME: "python"}
    told = [{"name": "default", "uri": "hf://a/b", "delivery": "baked", "size": 7, "image": None}]
    serving = revision(2)
    serving["metadata"]["annotations"] = {names.MODELS: json.dumps(told)}
    serving["spec"]["containerConcurrency"] = 16
    serving["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "2"}}

    summary = overview.summary(found, [serving], [pod(2), pod(2, "fghij", name="other")])

    assert (summary.origin, summary.runtime, summary.instances) == ("mlfunc", "python", 1)
    assert (summary.accelerator, summary.concurrency) == ("nvidia x2", 16)
    assert summary.models == (overview.Model("default", "hf://a/b", "baked", 7),)
    assert (summary.ready, summary.reason, summary.message) == ("True", "", "")


@pytest.mark.parametrize(
    ("labels", "origin"),
    [
        ({names.MANAGED_BY: "mlfunc", names.FUNCTION_NAME: "greeter"}, "mlfunc"),
        ({names.FUNCTION_NAME: "greeter"}, "func"),
        ({}, "knative"),
        (None, "knative"),
    ],
)
def test_who_made_it_is_told(labels: Any, origin: str) -> None:
    found = service()
    found["metadata"]["labels"] = labels
    assert overview.origin(found) == origin


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("http://127.0.0.1:8088/greeter.team", "http://127.0.0.1:8088/greeter.team"),
        ("http://greeter.team.svc.cluster.local", "http://greeter.team.example.com"),
        (None, "http://greeter.team.example.com"),
    ],
)
def test_its_url_is_where_any_program_outside_reaches_it(address: str | None, url: str) -> None:
    found = service()
    found["status"]["address"] = {"url": address} if address else {}

    assert overview.url(found) == url


def test_models_that_somebody_has_written_wrongly_are_none() -> None:
    annotated = {"metadata": {"annotations": {names.MODELS: "{"}}, "spec": {}}
    assert overview.models(annotated) == ()


def crashing(number: int = 2) -> dict[str, Any]:
    """A pod between two starts."""
    found = pod(number, ready="False")
    found["status"]["containerStatuses"][0] = {
        "name": "user-container",
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 1, "message": _CRASH}},
    }
    return found


def test_a_revision_that_serves_and_no_longer_starts_is_failed_whatever_knative_says() -> None:
    made = [revision(2)]

    summary = overview.summary(service(), made, [crashing()])
    (state,) = overview.revisions(service(), made, [crashing()])

    assert (summary.ready, summary.reason) == ("False", "failed")
    assert summary.message == "the function does not start: load raised E"
    assert (state.ready, state.message) == ("False", summary.message)
    assert overview.obstacle(service(), "greeter-00002", [crashing()]) == summary.message


def crashed() -> dict[str, Any]:
    """One that served, and was killed."""
    found = crashing()
    found["status"]["containerStatuses"][0]["lastState"]["terminated"]["message"] = ""
    return found


@pytest.mark.parametrize(
    "pods", [[], None, [crashing(), pod(2, "other")], [crashing(1)], [crashed()]]
)
def test_one_that_is_at_zero_or_has_an_instance_that_answers_is_ready(pods: Any) -> None:
    summary = overview.summary(service(), [revision(1), revision(2)], pods)
    assert (summary.ready, summary.reason) == ("True", "")


def test_of_several_that_serve_the_one_that_does_not_start_is_named() -> None:
    split: list[dict[str, Any]] = [
        {"revisionName": "greeter-00001", "percent": 90},
        {"revisionName": "greeter-00002", "percent": 10},
    ]
    pods = [pod(1), crashing(2)]

    summary = overview.summary(service(traffic=split), [revision(1), revision(2)], pods)

    assert summary.shares == {"greeter-00001": 90, "greeter-00002": 10}
    assert summary.message == "greeter-00002: the function does not start: load raised E"


def test_a_pod_that_serves_and_finds_no_node_is_told_without_talk_of_preemption() -> None:
    pending = pod(2, ready="False")
    del pending["spec"]["nodeName"], pending["status"]["containerStatuses"]
    told = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available."
    pending["status"]["conditions"] = [condition("PodScheduled", "False", message=told)]

    summary = overview.summary(service(), [revision(2)], [pending])

    assert (summary.ready, summary.reason) == ("Unknown", "scheduling")
    assert summary.message == "0/1 nodes are available: 1 Insufficient cpu"
    assert sentence(told) == summary.message


def test_who_serves_while_the_newest_fails_is_told_and_all_else_is_of_that() -> None:
    old = revision(1)
    old["metadata"]["annotations"] = {names.ACCELERATOR: "tpu"}
    routed: list[dict[str, Any]] = [{"revisionName": "greeter-00001", "percent": 100}]
    found = service(ready="False", traffic=routed)

    summary = overview.summary(found, [old, revision(2, ready="Unknown")], [crashing(), pod(1)])

    assert (summary.ready, summary.reason) == ("False", "failed")
    assert summary.message.startswith("greeter-00002: the function does not start: load raised E;")
    assert summary.message.endswith("; greeter-00001 serves on")
    assert (summary.revision, summary.accelerator) == ("greeter-00001", "tpu")


def test_a_pod_that_crashed_tells_why_before_knative_does() -> None:
    found = service(ready="Unknown", traffic=[])

    summary = overview.summary(found, [revision(2, ready="Unknown")], [crashing()])

    assert summary.reason == "failed"
    assert summary.message == "the function does not start: load raised E"


def test_what_knative_has_given_up_is_failed_even_without_a_pod() -> None:
    told = {"reason": "ExitCode1", "message": f"Container failed with: {_CRASH}"}
    summary = overview.summary(service(ready="False"), [revision(2, ready="False", **told)], [])
    assert summary.reason == "failed"
    assert summary.message == "the function does not start: load raised E"


def test_what_starts_is_told_by_its_phase() -> None:
    summary = overview.summary(service(ready="Unknown"), [revision(2, ready="Unknown")], [])
    assert summary.reason == "creating"


def test_revisions_are_told_the_newest_first_with_what_they_get() -> None:
    split: list[dict[str, Any]] = [
        {"revisionName": "greeter-00001", "percent": 90, "tag": "old"},
        {"revisionName": "greeter-00001", "tag": "older"},
        {"revisionName": "greeter-00010", "percent": 10, "latestRevision": True},
    ]
    found = [revision(1), revision(10), revision(9, ready="False", reason="ExitCode1")]

    states = overview.revisions(service(traffic=split), found, [pod(1), pod(1, "fghij")])

    assert [each.name[-2:] for each in states] == ["10", "09", "01"]
    assert [each.percent for each in states] == [10, 0, 90]
    assert (states[2].tags, states[2].instances) == (("old", "older"), 2)
    assert states[1].reason == "ExitCode1"
    assert overview.serving(service(traffic=split)) == "greeter-00001"


def test_pods_on_their_way_out_are_no_instances() -> None:
    leaving = pod(2)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert overview.running([leaving, pod(2, "b"), pod(1, "c", ready="False")]) == [pod(2, "b")]


def test_only_conditions_that_matter_are_told() -> None:
    found = service()
    found["status"]["conditions"] = [
        condition("Ready", "False", message="no"),
        condition("RoutesReady", "True"),
        {**condition("Active", "False"), "severity": "Info"},
        condition("ConfigurationsReady", "Unknown", reason="Deploying"),
    ]
    assert overview.conditions(found) == [("Ready", "no"), ("ConfigurationsReady", "Deploying")]


def test_a_sentence_is_no_log() -> None:
    quoted = f'Revision "a" failed with message: Container failed with: other line\n{_CRASH}\n.'
    assert sentence(quoted) == "the function does not start: load raised E"
    assert sentence(" as it is ") == "as it is"
    assert "no json" in sentence("Container failed with: no json")


def test_who_else_has_changed_it_is_told_by_fields() -> None:
    found = service()
    found["metadata"]["managedFields"] = [
        {"manager": "mlfunc", "fieldsV1": {"f:spec": {}}},
        {"manager": "mlfunc-traffic", "fieldsV1": {"f:spec": {"f:traffic": {}}}},
        {"manager": "controller", "subresource": "status", "fieldsV1": {"f:status": {}}},
        {
            "manager": "kn",
            "time": "2026-01-01T00:00:00Z",
            "fieldsV1": {"f:spec": {"f:template": {"f:spec": {".": {}, "f:containers": {}}}}},
        },
    ]
    assert writers.others(found) == [
        writers.Writer("kn", "2026-01-01T00:00:00Z", ("spec.template.spec.containers",))
    ]


def test_a_cold_start_is_what_kubernetes_and_the_runtime_measured() -> None:
    ready = {"message": "ready", "phase": "ready", "startup": {"import": 1.5, "total": 2.0}}

    start = coldstart.of(pod(2), ["no json", "[]", json.dumps(ready)])

    assert start is not None
    assert (start.scheduling, start.starting, start.total) == (2.0, 3.0, 7.0)
    assert str(start) == "scheduling 2 s, starting 3 s, then 2.00 s (import 1.50)"
    assert str(replace(start, scheduling=0.0, starting=0.2)) == "2.00 s (import 1.50)"


def test_a_start_that_is_not_over_is_none() -> None:
    assert coldstart.of(pod(2), [json.dumps({"message": "x", "phase": "loading"})]) is None
    pending = pod(2)
    del pending["status"]["containerStatuses"]
    assert coldstart.of(pending, [json.dumps({"phase": "ready", "startup": {}})]) is None


def test_who_may_not_look_at_pods_still_sees_how_many_there_are() -> None:
    counted = {**revision(1), "status": {**revision(1).get("status", {}), "actualReplicas": 3}}

    told = overview.summary(service(), [counted], None)

    assert told.instances == 3
    assert [each.instances for each in overview.revisions(service(), [counted], None)] == [3]
