"""The Knative Service of a release: what Knative takes, with all that a function needs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from mlfunc.errors import UsageError
from mlfunc.knative import service
from mlfunc.knative.release import Model, Release

from tests.func.knative.functions import IMAGE, complaints, release, releases


@given(releases())
def test_what_is_not_refused_by_its_key_knative_has_nothing_against(given_: Release) -> None:
    try:
        found = service.manifest(given_)
    except UsageError:
        assume(False)
    else:
        assert not list(complaints(found))
        assert _empty_places(found) <= {"spec.template.spec.volumes.emptyDir"}


@given(releases())
def test_the_same_release_has_the_same_manifest(given_: Release) -> None:
    try:
        assert service.manifest(given_) == service.manifest(given_)
    except UsageError:
        assume(False)


def test_the_smallest_function_has_all_that_it_needs() -> None:
    labels = {
        "function.knative.dev/name": "f",
        "function.knative.dev/runtime": "python",
        "boson.dev/function": "true",
        "app.kubernetes.io/managed-by": "mlfunc",
    }
    resources = {"cpu": "1", "memory": "2Gi"}

    assert service.manifest(release()) == {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {
            "name": "f",
            "namespace": "here",
            "labels": labels,
            "annotations": {
                "function.knative.dev/deployer": "knative",
                "mlfunc.dev/reply-type": "dev.mlfunc.f.result",
            },
        },
        "spec": {
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {
                        "autoscaling.knative.dev/min-scale": "0",
                        "autoscaling.knative.dev/max-scale": "10",
                        "autoscaling.knative.dev/target": "1",
                        "autoscaling.knative.dev/target-utilization-percentage": "100",
                        "autoscaling.knative.dev/target-burst-capacity": "-1",
                        "autoscaling.knative.dev/window": "60s",
                        "autoscaling.knative.dev/scale-down-delay": "0s",
                        "autoscaling.knative.dev/scale-to-zero-pod-retention-period": "0s",
                        "serving.knative.dev/progress-deadline": "650s",
                        "mlfunc.dev/accelerator": "cpu",
                    },
                },
                "spec": {
                    "containerConcurrency": 64,
                    "enableServiceLinks": False,
                    "automountServiceAccountToken": False,
                    "timeoutSeconds": 90,
                    "responseStartTimeoutSeconds": 90,
                    "idleTimeoutSeconds": 90,
                    "containers": [
                        {
                            "image": IMAGE,
                            "ports": [{"containerPort": 8080}],
                            "resources": {"requests": resources, "limits": resources},
                            "readinessProbe": {
                                "httpGet": {"path": "/health/readiness"},
                                "periodSeconds": 1,
                                "timeoutSeconds": 2,
                            },
                            "livenessProbe": {
                                "httpGet": {"path": "/health/liveness"},
                                "periodSeconds": 10,
                                "timeoutSeconds": 5,
                                "failureThreshold": 6,
                            },
                            "securityContext": {
                                "allowPrivilegeEscalation": False,
                                "capabilities": {"drop": ["ALL"]},
                                "readOnlyRootFilesystem": True,
                                "runAsNonRoot": True,
                                "seccompProfile": {"type": "RuntimeDefault"},
                            },
                            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                        }
                    ],
                    "volumes": [{"name": "tmp", "emptyDir": {}}],
                },
            },
            "traffic": [{"latestRevision": True, "percent": 100}],
        },
    }


def test_a_function_with_a_bit_of_everything() -> None:
    weights = Model("weights", "hf://a/b", "volume", 40 * 10**9, image=IMAGE)

    found = service.manifest(
        release(
            weights,
            accelerator={"type": "nvidia", "count": 2, "product": "NVIDIA-L4"},
            env={"LEVEL": 1, "TOKEN": {"secret": "hub", "key": "token"}},
            serve={"slots": 2, "batch": {"max_size": 8}, "concurrency": 100, "timeout": "2m"},
            scale={"initial": 2},
            placement={"tolerations": [{"key": "gpu", "operator": "Exists"}]},
            deploy={
                "visibility": "cluster-local",
                "service_account": "reader",
                "pull_secret": "registry",
            },
        )
    )

    spec = found["spec"]["template"]["spec"]
    annotations = found["spec"]["template"]["metadata"]["annotations"]
    assert found["metadata"]["labels"]["networking.knative.dev/visibility"] == "cluster-local"
    assert spec["containers"][0]["env"] == [
        {"name": "LEVEL", "value": "1"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}},
    ]
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert (spec["serviceAccountName"], spec["imagePullSecrets"]) == (
        "reader",
        [{"name": "registry"}],
    )
    assert "automountServiceAccountToken" not in spec
    assert spec["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L4"}
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert [each["name"] for each in spec["volumes"]] == ["tmp", "shm", "model-weights"]
    assert (spec["timeoutSeconds"], spec["containerConcurrency"]) == (150, 100)
    assert annotations["autoscaling.knative.dev/target"] == "16"
    assert annotations["serving.knative.dev/progress-deadline"] == "2650s"


def test_traffic_is_what_was_asked_for() -> None:
    split = [{"revisionName": "f-00001", "percent": 100}]

    assert service.manifest(release(), traffic=split)["spec"]["traffic"] == split


def test_all_mistakes_are_told_at_once() -> None:
    wrong = release(env={"PORT": "1"}, scale={"window": "1s"}, deploy={"pull_secret": "My Secret"})

    with pytest.raises(UsageError) as caught:
        service.check(wrong.function)

    assert caught.value.message.splitlines() == [
        "mlfunc.yaml has 3 mistakes:",
        "  env.PORT: Knative sets this variable itself",
        "  scale.window: it is 1s, and must be from 6s to 1h",
        "  deploy.pull_secret: nothing in Kubernetes can be called My Secret",
    ]


def _empty_places(found: Any, path: str = "") -> set[str]:
    """Where there is nothing: Knative drops it, and what is applied would never be what is there."""
    if isinstance(found, dict):
        return {
            place
            for key, value in found.items()
            for place in (_empty_places(value, f"{path}.{key}".lstrip(".")))
        } or ({path} if not found else set())
    if isinstance(found, list):
        return set().union(*(_empty_places(each, path) for each in found)) if found else {path}
    return {path} if found in ("", None) else set()
