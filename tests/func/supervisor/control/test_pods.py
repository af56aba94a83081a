"""An instance as a pod, as the commands read it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from mlfunc.knative import coldstart, crashes, diagnosis, overview, scheduling
from mlfunc.knative.progress import Progress, Snapshot
from mlfunc.platforms.knative import logs
from mlfunc.supervisor.control import pods
from mlfunc.supervisor.control.conditions import timestamp
from mlfunc.supervisor.parts import Instance, InstancePhase, Key

Object = dict[str, Any]
AT = 1_800_000_000.0
REVISION = {
    "metadata": {"namespace": "default", "name": "f-00001", "uid": "u", "labels": {"a": "b"}},
    "spec": {"timeoutSeconds": 90, "containers": [{"name": "user-container", "image": "local/f"}]},
}
STARTING = Instance("p", Key("default", "f-00001"), "starting", AT, AT, pid=7)
READY = replace(STARTING, phase="ready", since=AT + 2, port=4000)


def shown(*instances: Instance) -> Object:
    """The pod of an instance that was all of these, one after the other."""
    found: Object = pods.made(REVISION, "p")
    found["metadata"]["creationTimestamp"] = timestamp(AT)
    for each in instances:
        found = pods.pod(found, each, each.since)
    return found


def container(pod: Object) -> Object:
    return diagnosis.user_container(pod)


def test_it_belongs_to_its_revision() -> None:
    labels = shown(STARTING)["metadata"]["labels"]

    assert labels["serving.knative.dev/revision"] == "f-00001"
    assert labels["a"] == "b"


@pytest.mark.parametrize("phase", ["starting", "listening", "importing", "loading", "warming"])
def test_it_runs_and_does_not_answer_while_it_starts(phase: InstancePhase) -> None:
    pod = shown(STARTING, replace(STARTING, phase=phase))

    assert diagnosis.is_starting(pod)
    assert overview.running([pod]) == []


def test_it_answers_when_it_is_ready_and_no_more_when_it_drains() -> None:
    ready, draining = shown(STARTING, READY), shown(READY, replace(READY, phase="draining"))

    assert overview.running([ready]) == [ready]
    assert overview.running([draining]) == []
    assert diagnosis.staying([draining]) == []


def test_one_that_was_ended_by_somebody_else_is_there_again() -> None:
    again = replace(READY, phase="starting", restarts=1)

    pod = shown(READY, replace(READY, phase="draining"), again)

    assert diagnosis.staying([pod]) == [pod]


def test_its_cold_start_is_told() -> None:
    log = ['{"message": "ready", "phase": "ready", "startup": {"load": 0.5, "total": 0.7}}']

    start = coldstart.of(shown(STARTING, READY), log)

    assert start is not None
    assert (start.starting, start.runtime) == (0, {"load": 0.5, "total": 0.7})


def test_the_time_of_its_start_stays() -> None:
    pod = shown(STARTING, replace(STARTING, phase="loading", since=AT + 5), READY)

    assert container(pod)["state"]["running"]["startedAt"] == timestamp(AT)


@pytest.mark.parametrize(
    ("code", "failure", "message"),
    [
        (1, "NameError: x\n  at y", "the function does not start: NameError: x"),
        (-9, "", "the function does not start: it was ended by SIGKILL while starting"),
        (3, "", "the function does not start: it ended with exit code 3 while starting"),
        (
            None,
            "it cannot be started: no such file or directory",
            "its container cannot be started: it cannot be started: no such file or directory",
        ),
    ],
)
def test_why_it_failed_is_told(code: int | None, failure: str, message: str) -> None:
    failed = replace(STARTING, phase="backoff", pid=None, exit_code=code, failure=failure)

    progress = crashes.crashed(shown(STARTING, failed), container(shown(STARTING, failed)), [])

    assert progress is not None
    assert progress.failure is not None
    assert progress.failure.message == message


def test_each_start_has_a_log_of_its_own() -> None:
    failed = replace(STARTING, phase="backoff", pid=None, exit_code=1)
    again = replace(STARTING, restarts=1, exit_code=1)

    def source(pod: Object, *, previous: bool = False) -> str:
        (found,) = logs.sources([pod], logs.Selection(previous=previous))
        return found.container_id

    first = source(shown(STARTING))
    assert source(shown(STARTING, failed)) == first
    assert source(shown(STARTING, failed), previous=True) == first
    assert source(shown(STARTING, failed, again)) != first
    assert source(shown(STARTING, failed, again), previous=True) == first


def test_one_that_waits_for_an_accelerator_says_so_as_a_scheduler_does() -> None:
    amounts = {"cpu": "64", "memory": "2Gi", "nvidia.com/gpu": "1"}
    container_ = {"image": "local/f", "resources": {"requests": amounts, "limits": amounts}}
    found = pods.made({**REVISION, "spec": {"containers": [container_]}}, "p")
    waiting = pods.pod(found, replace(STARTING, phase="pending", pid=None), AT)
    node = {"metadata": {"name": "here"}, "spec": {}, "status": {"allocatable": {"cpu": "2"}}}
    has_one = {**node, "status": {"allocatable": {"nvidia.com/gpu": "1"}}}

    def told(node: Object) -> Progress | None:
        seen = Snapshot({}, pods=[waiting], nodes=[node])
        return scheduling.waits(waiting, seen, [])

    message = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu"
    assert told(has_one) == Progress("scheduling", message)
    # What else it asks for, nothing here keeps for it.
    never = told(node)
    assert never is not None
    assert never.failure is not None
    assert never.failure.message == (
        "no node can ever take it (nvidia.com/gpu 1): here: it has no nvidia.com/gpu"
    )
    started = pods.pod(waiting, replace(STARTING, created=AT + 60), AT + 60)
    assert scheduling.waits(started, Snapshot({}), []) is None
    assert container(started)["state"]["running"]["startedAt"] == timestamp(AT + 60)
    assert diagnosis.condition(started, "PodScheduled")["status"] == "True"


def test_one_that_took_too_much_memory_is_told_as_on_a_cluster() -> None:
    limits = {"limits": {"memory": "256Mi"}}
    found = pods.made(
        {
            **REVISION,
            "spec": {
                "containers": [{"name": "user-container", "image": "local/f", "resources": limits}]
            },
        },
        "p",
    )
    failed = replace(
        STARTING,
        phase="backoff",
        pid=None,
        exit_code=-9,
        last_phase="loading",
        out_of_memory=True,
        failure="it took 278Mi of memory, more than its limit of 256Mi, and was ended",
    )
    pod = pods.pod(found, failed, AT)

    ended = container(pod)["lastState"]["terminated"]
    progress = crashes.crashed(pod, container(pod), [])

    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")
    assert progress is not None
    assert progress.failure is not None
    assert progress.failure.message == (
        "it was killed while loading: it needs more memory than its limit of 256Mi"
    )


def test_one_that_serves_again_has_no_failure() -> None:
    failed = replace(READY, phase="backoff", pid=None, port=None, exit_code=1)
    pod = shown(READY, failed, replace(READY, restarts=1, exit_code=1))

    assert crashes.crashed(pod, container(pod), []) is None
    assert container(pod)["restartCount"] == 1
