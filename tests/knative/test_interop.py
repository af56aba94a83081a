"""The real `func` and `kn` on what mlfunc deploys, and mlfunc on what they would make."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.knative.conftest import GREETER
from tests.rig.cluster import ended, eventually

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rig.cluster import Cluster

_FUNC_YAML = """
specVersion: 0.36.0
name: greeter
runtime: python
created: 2026-01-01T00:00:00Z
namespace: {namespace}
deploy: {{namespace: {namespace}, deployer: knative}}
"""


@pytest.fixture(scope="module")
def greeter(shared: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = shared.project(tmp_path_factory.mktemp("work") / "greeter", GREETER)
    shared.mlfunc("deploy", "--path", project)
    return project


@pytest.fixture(scope="module")
def plain(shared: Cluster, greeter: Path) -> str:
    """A service of the same image, as kn makes it."""
    image = _container(shared, "greeter")["image"]
    _kn(shared, "service", "create", "plain", "--image", image, "--scale-max", "1")
    return "plain"


@pytest.mark.usefixtures("greeter")
def test_func_lists_and_describes_it(shared: Cluster) -> None:
    listed = json.loads(_func(shared, "list", "-n", shared.namespace, "-o", "json"))
    told = json.loads(_func(shared, "describe", "greeter", "-n", shared.namespace, "-o", "json"))
    ours = shared.mlfunc("describe", "greeter", "-n", shared.namespace, "-o", "json").data

    (found,) = [each for each in listed if each["name"] == "greeter"]
    assert (found["ready"], found["deployer"]) == ("True", "knative")
    assert told["image"] == ours["image"]
    assert told["routes"] == ours["routes"]
    assert told["labels"] == ours["labels"]


@pytest.mark.usefixtures("greeter")
@pytest.mark.parametrize("shape", ["http", "cloudevent"])
def test_func_invokes_it(shared: Cluster, tmp_path: Path, shape: str) -> None:
    (tmp_path / "func.yaml").write_text(_FUNC_YAML.format(namespace=shared.namespace))

    # The name of a function is known in its cluster only: the ingress is asked as a proxy.
    answered = _func(
        shared,
        *("invoke", "--path", str(tmp_path), "-t", "remote", "-f", shape),
        *("--data", '{"name": "Ada"}', "--content-type", "application/json"),
        HTTP_PROXY=shared.ingress,
    )

    assert "Hello Ada" in answered


@pytest.mark.usefixtures("greeter")
def test_kn_lists_and_describes_it(shared: Cluster) -> None:
    listed = _kn(shared, "service", "list")
    told = _kn(shared, "service", "describe", "greeter")

    assert "greeter-00001" in listed
    assert "++ Ready" in told


def test_a_service_of_kn_is_listed_described_and_invoked(shared: Cluster, plain: str) -> None:
    where = ("-n", shared.namespace)

    (listed,) = [
        each for each in shared.mlfunc("list", *where, "-o", "json").data if each["name"] == plain
    ]
    told = shared.mlfunc("describe", plain, *where, "-o", "json").data
    answered = shared.mlfunc("invoke", plain, "--namespace", shared.namespace)

    assert listed["origin"] == "knative"
    assert "plain (Knative)" in shared.mlfunc("list", *where).out
    assert told["concurrency"] == 0
    assert json.loads(answered.out) == "Hello Ada"
    assert "Hello" not in shared.mlfunc("logs", plain, *where).err


def test_a_service_of_func_is_known_as_such(shared: Cluster, plain: str) -> None:
    labels = {"function.knative.dev/name": "other", "function.knative.dev/runtime": "go"}
    shared.apply(_service("other", _container(shared, plain)["image"], labels))

    found = shared.mlfunc("list", "-n", shared.namespace, "-o", "json").data

    (listed,) = [each for each in found if each["name"] == "other"]
    assert (listed["origin"], listed["runtime"]) == ("func", "go")
    shared.mlfunc("delete", "other", "-n", shared.namespace, "--yes", "--no-wait")


def test_what_kn_changed_is_described_and_not_trampled(cluster: Cluster, tmp_path: Path) -> None:
    project = cluster.project(tmp_path / "greeter", GREETER)
    cluster.mlfunc("deploy", "--path", project)
    _kn(cluster, "service", "update", "greeter", "--env", "MOOD=good")

    refused = cluster.mlfunc("deploy", "--path", project, code=7).err
    kept = _container(cluster, "greeter")["env"]
    told = cluster.mlfunc("describe", "--path", project, "-o", "json").data

    (writer,) = told["changed_by"]
    assert writer["manager"] == "kn"
    assert any("containers" in field for field in writer["fields"])
    assert "kn has changed it" in cluster.mlfunc("describe", "--path", project).out
    assert all(word in refused for word in ("kn", "MOOD", "--force"))
    assert kept == [{"name": "MOOD", "value": "good"}]
    taken = cluster.mlfunc("deploy", "--path", project, "--force", "-o", "json").data
    assert taken["new_revision"]
    assert "env" not in _container(cluster, "greeter")


def test_what_kn_only_owns_is_taken_over_once_its_own_change_is_in_the_project(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Its update of one variable owns all of the container, the image too."""
    project = cluster.project(tmp_path / "greeter", GREETER)
    cluster.mlfunc("deploy", "--path", project)
    _kn(cluster, "service", "update", "greeter", "--env", "MOOD=good")
    cluster.project(project, GREETER.replace("Hello", "Goodbye"))

    refused = cluster.mlfunc("deploy", "--path", project, code=7).err
    cluster.project(project, GREETER.replace("Hello", "Goodbye"), env={"MOOD": "good"})
    cluster.mlfunc("deploy", "--path", project)

    assert "MOOD" in refused
    assert "image" not in refused.partition("was changed by kn")[2]
    assert cluster.request("greeter", {"name": "Ada"}).json() == "Goodbye Ada"


def test_func_deletes_it_and_leaves_the_models(cluster: Cluster, tmp_path: Path) -> None:
    project = cluster.project(tmp_path / "greeter", GREETER)
    cluster.mlfunc("deploy", "--path", project)
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "weights", "labels": {"mlfunc.dev/function": "greeter"}},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Mi"}},
            },
        }
    )

    _func(cluster, "delete", "greeter", "-n", cluster.namespace)

    eventually(lambda: not cluster.get("ksvc"), "the service is gone")
    assert [each["metadata"]["name"] for each in cluster.get("pvc")] == ["weights"]


def _container(cluster: Cluster, name: str) -> Any:
    """The function's own, in the template of its next pods."""
    return cluster.get("ksvc", name)["spec"]["template"]["spec"]["containers"][0]


def _kn(cluster: Cluster, *args: str) -> str:
    return ended(["kn", *args, "-n", cluster.namespace]).ok().out


def _func(cluster: Cluster, *args: str, **environ: str) -> str:
    return ended(["func", *args], FUNC_NAMESPACE=cluster.namespace, **environ).ok().out


def _service(name: str, image: str, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": labels},
        "spec": {"template": {"spec": {"containers": [{"image": image}]}}},
    }
