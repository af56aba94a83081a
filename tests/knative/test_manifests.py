"""What Knative's own webhook, the API server, func and kn say of the manifests of functions."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given, settings
from mlfunc.cluster import client, kinds
from mlfunc.errors import MlfuncError, UsageError
from mlfunc.knative import features, service
from mlfunc.knative.release import Model

from tests.func.knative.functions import IMAGE, release, releases
from tests.knative.conftest import GREETER
from tests.rig.cluster import ended

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.cluster.client import Cluster as Client
    from mlfunc.knative.release import Release

    from tests.rig.cluster import Cluster

pytestmark = pytest.mark.usefixtures("own_features")

# Each key of mlfunc.yaml that has a place in the manifest, as people write it.
FUNCTIONS: dict[str, dict[str, Any]] = {
    "nothing but a name": {},
    "the longest name": {"name": "a" * 63},
    "serve": {
        "serve": {
            "slots": 4,
            "batch": {"max_size": 16},
            "concurrency": 1000,
            "timeout": "9m",
            "drain": "2m",
            "hooks": {"timeout": "5m"},
        }
    },
    "scale": {
        "scale": {
            "min": 1,
            "max": 3,
            "target": 0.5,
            "initial": 2,
            "window": "6s",
            "delay": "1h",
            "retention": "1h",
        }
    },
    "without a bound": {"scale": {"min": 2, "max": 0}},
    "requests per second": {
        "scale": {"target": 150.5},
        "deploy": {"annotations": {"autoscaling.knative.dev/metric": "rps"}},
    },
    "quantities": {
        "resources": {"cpu": 0.5, "memory": "1.5Gi", "limits": {"cpu": "2000m", "memory": "2048Mi"}}
    },
    "bytes": {"resources": {"cpu": "1m", "memory": 10**9}},
    "nvidia": {"accelerator": {"type": "nvidia", "count": 2}},
    "amd": {"accelerator": "amd"},
    "neuron": {"accelerator": "neuron"},
    "tpu": {"accelerator": "tpu"},
    "env": {
        "env": {
            "PLAIN": "text",
            "EMPTY": "",
            "NUMBER": 1e-7,
            "LINES": "a\nb",
            "SECRET": {"secret": "hub", "key": "token"},
            "CONFIG": {"configMap": "my.settings", "key": "a_b-c.d"},
        }
    },
    "volumes": {
        "volumes": [
            {"path": "/cache", "emptyDir": {}},
            {"path": "/tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "1024Mi"}},
            {"path": "/secrets/hub", "secret": "hub"},
            {"path": "/again", "secret": "hub"},
            {"path": "/settings", "configMap": "my.settings"},
        ]
    },
    "deploy": {
        "deploy": {
            "visibility": "cluster-local",
            "service_account": "default",
            "pull_secret": "registry",
            "labels": {"team": "vision", "example.com/Cost_Center": ""},
            "annotations": {
                "prometheus.io/scrape": "true",
                "networking.knative.dev/ingress-class": "kourier.ingress.networking.knative.dev",
                "serving.knative.dev/rollout-duration": "120s",
                "serving.knative.dev/progress-deadline": "7200s",
                "queue.sidecar.serving.knative.dev/cpu-resource-request": "10m",
                "features.knative.dev/http-full-duplex": "Enabled",
            },
        }
    },
}
NEEDS_FEATURES: dict[str, dict[str, Any]] = {
    "node selector": {"placement": {"nodeSelector": {"a.example.com/b": "c"}}},
    "product": {"accelerator": {"type": "nvidia", "product": "NVIDIA-L4"}},
    "tolerations": {"placement": {"tolerations": [{"key": "gpu", "operator": "Exists"}]}},
    "claim": {
        "volumes": [{"path": "/x", "persistentVolumeClaim": {"claimName": "c", "readOnly": True}}]
    },
    "written claim": {"volumes": [{"path": "/x", "persistentVolumeClaim": {"claimName": "c"}}]},
}
STREAMED = Model("default", "s3://bucket/x", "stream", 10**9)
MOUNTED = Model("weights", "hf://a/b", "volume", 10**9, image=IMAGE)


@pytest.fixture(scope="module")
def api(shared: Cluster) -> Client:
    """The cluster, as mlfunc talks to it."""
    return client.connect(namespace=shared.namespace)


@pytest.fixture(scope="module")
def switches(api: Client) -> dict[str, str]:
    """What an administrator has set of Knative's features."""
    found = api.get(kinds.CONFIG_MAP, features.CONFIG, namespace="knative-serving")
    return (found or {}).get("data") or {}


def refusal(api: Client, given: Release) -> str:
    """What the cluster says against it, if anything."""
    try:
        api.apply(service.manifest(replace(given, namespace=api.namespace)), dry_run=True)
    except MlfuncError as error:
        if isinstance(error, UsageError):
            raise
        return f"{error.message} {error.evidence}"
    return ""


@pytest.mark.parametrize("keys", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_each_key_of_mlfunc_yaml_passes_the_webhook(api: Client, keys: dict[str, Any]) -> None:
    assert refusal(api, release(STREAMED, **keys)) == ""


@pytest.mark.parametrize("keys", NEEDS_FEATURES.values(), ids=NEEDS_FEATURES.keys())
def test_the_webhook_refuses_just_what_needs_a_feature_that_is_off(
    api: Client, switches: dict[str, str], keys: dict[str, Any]
) -> None:
    given_ = release(**keys)

    missing = features.missing(features.needed(given_.function), switches)

    assert bool(refusal(api, given_)) == bool(missing)


def test_an_image_volume_is_refused_just_where_its_feature_is_off(
    api: Client, switches: dict[str, str]
) -> None:
    given_ = release(MOUNTED)

    missing = features.missing(features.needed(given_.function, given_.models), switches)

    assert bool(refusal(api, given_)) == bool(missing)


@settings(max_examples=80, deadline=None)
@given(given_=releases(features=False))
def test_what_mlfunc_does_not_refuse_the_webhook_takes(api: Client, given_: Release) -> None:
    try:
        assert refusal(api, given_) == ""
    except UsageError:
        assume(False)


@pytest.mark.parametrize("name", ["quantities", "env", "volumes", "deploy", "scale"])
def test_a_manifest_that_is_applied_twice_makes_one_generation(api: Client, name: str) -> None:
    keys = {"name": f"twice-{name}", "scale": {"max": 1}, **FUNCTIONS[name]}
    manifest = service.manifest(replace(release(STREAMED, **keys), namespace=api.namespace))
    try:
        first, again = api.apply(manifest), api.apply(manifest)
    finally:
        api.delete(kinds.SERVICE, f"twice-{name}")

    assert again["metadata"]["generation"] == first["metadata"]["generation"] == 1
    assert again["spec"] == first["spec"]


def test_the_strictest_namespace_takes_it_and_func_and_kn_know_it(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.kubectl(
        *("label", "namespace", cluster.namespace, "pod-security.kubernetes.io/enforce=restricted")
    )
    project = cluster.project(tmp_path / "greeter", GREETER, scale={"max": 1})

    cluster.mlfunc("deploy", "--path", project)

    assert cluster.request("greeter", {"name": "Ada"}).json() == "Hello Ada"
    (listed,) = _told(cluster, "func", "list")
    assert (listed["name"], listed["ready"]) == ("greeter", "True")
    described = _told(cluster, "func", "describe", "greeter")
    assert described["image"] == _image(cluster.get("ksvc", "greeter"))
    (listed,) = _told(cluster, "kn", "service", "list")["items"]
    assert listed["metadata"]["name"] == "greeter"
    assert _told(cluster, "kn", "service", "describe", "greeter")["spec"] == listed["spec"]


def _image(service: Any) -> str:
    image: str = service["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


def _told(cluster: Cluster, *command: str) -> Any:
    """What one of the judges prints of this namespace, as JSON."""
    return json.loads(ended([*command, "-n", cluster.namespace, "-o", "json"]).ok().out)
