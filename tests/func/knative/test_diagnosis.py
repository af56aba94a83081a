"""How far a revision is, by what a real cluster showed of it: `snapshots/` has the objects."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlfunc.knative import diagnosis
from mlfunc.knative.progress import Failure, Progress, Snapshot

NODES = [
    {
        "metadata": {"name": "node-1", "labels": {"kubernetes.io/arch": "amd64"}},
        "spec": {},
        "status": {"allocatable": {"cpu": "2", "memory": "24581692Ki", "pods": "200"}},
    }
]


def snapshot(name: str, **others: Any) -> Snapshot:
    path = Path(__file__).parent / "snapshots" / f"{name}.json"
    return Snapshot(**{**json.loads(path.read_text(encoding="utf-8")), "nodes": NODES, **others})


def failed(seen: Snapshot) -> Failure:
    failure = diagnosis.diagnose(seen).failure
    assert failure is not None
    return failure


def container(seen: Snapshot) -> Any:
    return diagnosis.user_container(seen.pods[0])


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("image-absent", "the node cannot pull registry.example.com/", "mlfunc deploy pushes it"),
        ("secret-absent", "there is no secret nope", "create it"),
        ("key-absent", "Secret there has no key nokey", "add the key"),
        ("volume-absent", "there is no secret nope", "create it"),
        ("account-absent", "there is no such service account", "kubectl get serviceaccounts"),
        ("memory-impossible", "memory 900Gi): node-1: it has memory 23.4Gi", "`resources`"),
        ("device-impossible", "): node-1: it has no nvidia.com/gpu", "add a node"),
        ("quota-exceeded", "the namespace's quota has no room for it", "kubectl describe"),
        ("quota-of-limits", "wants limits of each container, Knative's own too", "LimitRange"),
        ("pod-security", "Pod Security Standard forbids it", "secure-pod-defaults"),
        ("out-of-memory", "more memory than its limit of 512Mi", "raise `resources.memory`"),
        ("load-raises", "load raised ValueError: no such weights", "mlfunc run"),
        ("import-fails", "predictor.py needs nothere, which is not", "requirements.txt"),
        ("segfault", "it was ended by SIGSEGV while loading", "mlfunc run"),
        ("name-taken", 'existing placeholder Service "taken"', "another `name`"),
    ],
)
def test_what_cannot_get_better_is_told_in_a_sentence_with_the_next_step(
    name: str, message: str, hint: str
) -> None:
    failure = failed(snapshot(name))

    assert message in failure.message
    assert hint in failure.hint


def test_a_service_that_is_ready_is_ready() -> None:
    assert diagnosis.diagnose(snapshot("ready")) == Progress("routing", ready=True)


def test_a_status_of_what_was_asked_for_before_counts_for_nothing() -> None:
    ready = snapshot("ready")
    newer = {**ready.service["metadata"], "generation": ready.service["metadata"]["generation"] + 1}

    progress = diagnosis.diagnose(replace(ready, service={**ready.service, "metadata": newer}))

    assert progress == Progress("creating")


def test_a_service_whose_new_revision_is_not_made_yet_is_not_where_the_one_before_is() -> None:
    seen = snapshot("ready")
    conditions = [
        {"type": "ConfigurationsReady", "status": "Unknown", "reason": "OutOfDate"},
        {"type": "Ready", "status": "Unknown", "reason": "OutOfDate"},
    ]
    status = {**seen.service["status"], "conditions": conditions}

    progress = diagnosis.diagnose(replace(seen, service={**seen.service, "status": status}))

    assert progress == Progress("creating")


def test_a_service_with_a_newer_revision_that_is_not_ready_is_not_ready() -> None:
    ready = snapshot("ready")
    status = {**ready.service["status"], "latestCreatedRevisionName": "fine-00002"}

    assert not diagnosis.is_ready({**ready.service, "status": status})


def test_the_traceback_of_the_function_is_the_evidence_of_a_crash() -> None:
    failure = failed(snapshot("load-raises"))

    assert failure.evidence.startswith("Traceback (most recent call last)")
    assert "raise ValueError" in failure.evidence
    assert (failure.pod, failure.previous) == ("crash-00002-deployment-78d6b4b766-jh2rh", True)


def test_the_log_of_a_crash_is_that_of_the_container_itself_until_the_next_one_starts() -> None:
    seen = snapshot("load-raises")
    told = container(seen)
    told["state"], told["lastState"] = told["lastState"], {}

    assert not failed(seen).previous


def test_a_container_that_answers_again_after_a_crash_has_not_failed() -> None:
    seen = snapshot("load-raises")
    container(seen)["state"] = {"running": {}}
    for each in seen.pods[0]["status"]["conditions"]:
        each["status"] = "True"

    assert diagnosis.diagnose(seen).failure is None


def test_a_container_without_a_probe_is_ready_for_a_moment_and_has_failed_all_the_same() -> None:
    seen = snapshot("load-raises")
    container(seen)["ready"] = True
    container(seen)["state"] = {"running": {}}

    assert failed(seen).message.startswith("the function does not start")


def test_a_pod_that_is_on_its_way_out_says_nothing_of_the_others() -> None:
    seen = snapshot("load-raises")
    leaving = {**seen.pods[0]["metadata"], "deletionTimestamp": "2026-11-26T02:46:00Z"}

    progress = diagnosis.diagnose(replace(seen, pods=[{**seen.pods[0], "metadata": leaving}]))

    assert progress.failure is None


@pytest.mark.parametrize("name", ["memory-impossible", "device-impossible"])
def test_a_pod_that_no_node_can_take_waits_where_nodes_are_added_or_may_not_be_seen(
    name: str,
) -> None:
    for seen in (snapshot(name, adds_nodes=True), snapshot(name, nodes=None)):
        progress = diagnosis.diagnose(seen)

        assert progress.failure is None
        assert progress.phase == "scheduling"
        assert progress.detail.startswith("0/1 nodes are available: 1 Insufficient")
        assert "preemption" not in progress.detail


def test_a_pod_fails_for_which_the_autoscaler_adds_no_node() -> None:
    seen = snapshot("memory-impossible", adds_nodes=True)
    told = {"reason": "NotTriggerScaleUp", "message": "pod didn't trigger scale-up", **_about(seen)}

    assert "no node can ever take it" in failed(replace(seen, events=[told])).message


@pytest.mark.parametrize("reason", ["TriggeredScaleUp", "Nominated"])
def test_a_pod_waits_for_a_node_that_is_being_added(reason: str) -> None:
    seen = snapshot("device-impossible")

    progress = diagnosis.diagnose(replace(seen, events=[{"reason": reason, **_about(seen)}]))

    assert progress.failure is None
    assert progress.detail.startswith("a node is being added")


def test_a_pod_waits_for_the_accelerator_that_the_old_revision_holds() -> None:
    seen = snapshot("device-impossible")
    node = {"allocatable": {"cpu": "2", "memory": "8Gi", "nvidia.com/gpu": "1"}}
    old = {**seen.pods[0], "metadata": {**seen.pods[0]["metadata"], "name": "gpu-00000-x"}}

    progress = diagnosis.diagnose(replace(seen, nodes=[{**NODES[0], "status": node}], older=[old]))

    assert progress.failure is None
    assert "gpu-00000-x of the old revision holds nvidia.com/gpu" in progress.detail


def test_a_pod_waits_for_the_cores_that_the_old_revision_holds() -> None:
    seen = snapshot("device-impossible")
    (pod,) = seen.pods
    old = {**pod, "metadata": {**pod["metadata"], "name": "gpu-00000-x"}}
    old["spec"] = {"containers": [{"resources": {"requests": {"cpu": "1"}}}]}
    waits = {**pod, "spec": {**old["spec"]}}
    waits["status"] = {"conditions": [_unscheduled("0/1 nodes are available: 1 Insufficient cpu.")]}

    progress = diagnosis.diagnose(replace(seen, pods=[waits], nodes=None, older=[old]))

    assert progress.detail.endswith("gpu-00000-x of the old revision holds cpu until it is idle")


def _unscheduled(message: str) -> dict[str, str]:
    return {"type": "PodScheduled", "status": "False", "message": message}


def test_a_claim_that_is_missing_is_told() -> None:
    seen = snapshot("device-impossible")
    message = '0/1 nodes are available: persistentvolumeclaim "weights" not found. not found'
    seen.pods[0]["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "False", "message": message}
    ]

    assert failed(seen).message == "there is no PersistentVolumeClaim weights"


@pytest.mark.parametrize(
    ("said", "meaning"),
    [
        ("failed to authorize: 401 Unauthorized", "credentials"),
        ("pull access denied, repository does not exist or may require auth", "credentials"),
        ("no match for platform in manifest: not found", "architecture"),
        ("http: server gave HTTP response to HTTPS client", "plain HTTP"),
        ("tls: failed to verify certificate: x509: unknown authority", "certificate"),
        ("manifest unknown", "it is not there"),
    ],
)
def test_what_a_registry_refuses_is_told_in_words(said: str, meaning: str) -> None:
    seen = snapshot("image-absent")
    message = f'failed to pull image "registry.example.com/x@sha256:0": rpc error: desc = {said}'
    container(seen)["state"] = {"waiting": {"reason": "ErrImagePull", "message": message}}

    failure = failed(seen)

    assert meaning in failure.message
    assert failure.evidence == said


@pytest.mark.parametrize("said", ["dial tcp: i/o timeout", "toomanyrequests: 429", "EOF"])
def test_an_image_is_waited_for_while_its_registry_may_answer_yet(said: str) -> None:
    seen = snapshot("image-absent")
    message = f'failed to pull image "not-found.example.com/denied": {said}'
    container(seen)["state"] = {"waiting": {"reason": "ImagePullBackOff", "message": message}}

    progress = diagnosis.diagnose(seen)

    assert progress == Progress("pulling", message)


@pytest.mark.parametrize(
    "message",
    [
        'Internal error occurred: failed calling webhook "x": connection refused',
        (
            'pods "x" is forbidden: error looking up service account team/default: '
            'serviceaccount "default" not found'
        ),
    ],
)
def test_pods_that_may_be_let_in_later_are_waited_for(message: str) -> None:
    seen = replace(snapshot("quota-exceeded"), revision=None)
    told = {"reason": "FailedCreate", "message": message, "involvedObject": {}}

    assert diagnosis.diagnose(replace(seen, events=[told])).failure is None


def test_what_a_webhook_denies_is_told() -> None:
    seen = replace(snapshot("quota-exceeded"), revision=None)
    message = 'admission webhook "policy.example.com" denied the request: no owner label'
    told = {"reason": "FailedCreate", "message": message, "involvedObject": {}}

    failure = failed(replace(seen, events=[told]))

    assert "a webhook of the cluster forbids it" in failure.message
    assert "no owner label" in failure.message


def test_a_revision_that_knative_has_given_up_is_not_waited_for() -> None:
    seen = snapshot("load-raises", pods=[])
    told = {"type": "Ready", "status": "False", "reason": "ProgressDeadlineExceeded"}

    failure = failed(replace(seen, revision={"status": {"conditions": [told]}}))

    assert "Knative has given it up" in failure.message


def test_a_function_that_held_the_interpreter_for_too_long_is_told_so() -> None:
    seen = snapshot("segfault")
    message = "Container user-container failed liveness probe, will be restarted"
    killed = {"reason": "Killing", "message": message, **_about(seen)}

    failure = failed(replace(seen, events=[killed]))

    assert "no liveness probe while loading" in failure.message
    assert "isolation: process" in failure.hint


def test_a_function_that_was_stuck_is_told_so() -> None:
    seen = snapshot("segfault")
    last = '{"message": "stopped", "phase": "stopped", "hooks": 0, "stuck": 1}\n'
    for state in ("state", "lastState"):
        for ended in container(seen)[state].values():
            ended |= {"message": last}

    failure = failed(seen)

    assert (
        failure.message
        == "each of its slots was stuck in a call that did not come back, and it was stopped"
    )
    assert "isolation: process" in failure.hint


def test_a_pod_that_is_evicted_for_its_own_files_is_not_waited_for() -> None:
    seen = snapshot("load-raises")
    seen.pods[0]["status"] |= {
        "phase": "Failed",
        "message": 'Usage of EmptyDir volume "tmp" exceeds the limit "1Gi".',
    }
    assert "exceeds the limit" in failed(seen).message

    seen.pods[0]["status"]["message"] = "The node was low on resource: memory."
    assert diagnosis.diagnose(seen).failure is None


def test_what_a_pod_shows_says_more_than_that_knative_has_given_it_up() -> None:
    seen = snapshot("load-raises")
    told = {"type": "Ready", "status": "False", "reason": "ProgressDeadlineExceeded"}

    failure = failed(replace(seen, revision={"status": {"conditions": [told]}}))

    assert "no such weights" in failure.message


@pytest.mark.parametrize(
    ("message", "waits"),
    [
        ('exec: "/cnb/process/web": exec format error', False),
        ('exec: "/no": stat /no: no such file or directory', False),
        ("container has runAsNonRoot and image will run as root", False),
        ("failed to sync secret cache: timed out waiting for the condition", True),
        ("context deadline exceeded", True),
    ],
)
def test_what_a_busy_node_says_has_to_last_before_it_is_a_failure(
    message: str, waits: bool
) -> None:
    seen = snapshot("secret-absent")
    container(seen)["state"]["waiting"]["message"] = message

    assert bool(failed(seen).patience) is waits


def test_a_mount_that_failed_before_the_image_was_pulled_is_no_failure_any_more() -> None:
    seen = snapshot("volume-absent")
    image = seen.pods[0]["spec"]["containers"][0]["image"]
    pulling = {"reason": "Pulling", "message": f'Pulling image "{image}"', **_about(seen)}

    progress = diagnosis.diagnose(replace(seen, events=[*seen.events, pulling]))

    assert (progress.phase, progress.failure) == ("pulling", None)


@pytest.mark.parametrize(
    ("words", "phase"),
    [
        ("", "starting"),
        ('{"phase":"listening","message":"listening on port 8080"}', "starting"),
        ('{"phase":"importing","message":"importing predictor.py:P"}', "importing"),
        ('{"phase":"loading","message":"loading P"}\nshard 3 of 10', "loading"),
        ('{"phase":"loading","message":"m"}\n{"phase":"warming","message":"w"}', "warming"),
    ],
)
def test_a_pod_that_starts_is_where_its_log_says(words: str, phase: str) -> None:
    progress = diagnosis.diagnose(_starting(words=words))

    assert progress.phase == phase
    assert progress.failure is None


def test_the_last_line_of_the_log_is_the_detail_of_a_start() -> None:
    words = '{"phase":"loading","message":"loading P"}\n'

    assert diagnosis.diagnose(_starting(words=words)).detail == "loading P"
    assert diagnosis.diagnose(_starting(words=f"{words}shard 3 of 10\n")).detail == "shard 3 of 10"


def test_what_was_pulled_is_told_with_its_size() -> None:
    seen = _starting()
    image = seen.pods[0]["spec"]["containers"][0]["image"]
    pulled = {
        "reason": "Pulled",
        "message": f'Successfully pulled image "{image}" in 1.2s (1.3s including waiting). '
        "Image size: 51349024 bytes.",
        **_about(seen),
    }

    assert diagnosis.diagnose(replace(seen, events=[pulled])).detail == "pulled 51 MB in 1.2s"


def test_an_image_that_is_being_pulled_is_told() -> None:
    seen = _starting()
    image = seen.pods[0]["spec"]["containers"][0]["image"]
    container(seen)["state"] = {"waiting": {"reason": "ContainerCreating"}}
    pulling = {"reason": "Pulling", "message": f'Pulling image "{image}"', **_about(seen)}

    assert diagnosis.diagnose(replace(seen, events=[pulling])) == Progress("pulling", image)
    sized = replace(seen, events=[pulling], size=51_349_024)
    assert diagnosis.diagnose(sized) == Progress("pulling", "51 MB")


def test_the_pod_that_is_furthest_counts() -> None:
    seen = _starting(words='{"phase":"loading","message":"m"}')
    other = json.loads(json.dumps(seen.pods[0]))
    other["metadata"]["name"] = "another"
    diagnosis.user_container(other)["state"] = {"waiting": {"reason": "ContainerCreating"}}

    assert diagnosis.diagnose(replace(seen, pods=[*seen.pods, other])).phase == "loading"


def _starting(**others: Any) -> Snapshot:
    seen = snapshot("segfault", events=[], **others)
    container(seen).update(state={"running": {}}, lastState={}, ready=False)
    return seen


def _about(seen: Snapshot) -> Any:
    return {"involvedObject": {"name": seen.pods[0]["metadata"]["name"]}}
