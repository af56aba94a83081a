"""How the instances of a revision are started."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc.cluster import kinds
from mlfunc.supervisor.control import blueprints
from mlfunc.supervisor.control.pods import Blocked
from mlfunc.supervisor.parts import Key
from mlfunc.supervisor.releases import Release

if TYPE_CHECKING:
    from mlfunc.cluster.kinds import Kind
    from mlfunc.supervisor.parts import Blueprint

Object = dict[str, Any]
RELEASE = Release("0" * 64, "/env/bin/python", "/app", {"PATH": "/bin", "MLFUNC_MODEL_A": "/a"})


def revision(container: Object | None = None, **spec: Any) -> Object:
    labels = {"serving.knative.dev/service": "f", "serving.knative.dev/configuration": "f"}
    meta = {"namespace": "default", "name": "f-00001", "labels": labels, "annotations": {}}
    return {"metadata": meta, "spec": {**spec, "containers": [container or {}]}}


def made(found: Object, **objects: Object) -> Blueprint:
    def find(kind: Kind, namespace: str, name: str) -> Object | None:
        assert namespace == "default"
        return objects.get(f"{kind.name}_{name}")

    return blueprints.blueprint(found, RELEASE, find)


def test_it_is_the_runtime_in_the_release_with_the_bounds_of_the_revision() -> None:
    found = revision(timeoutSeconds=90, responseStartTimeoutSeconds=80, containerConcurrency=4)
    found["metadata"]["annotations"]["serving.knative.dev/progress-deadline"] = "10m5s"

    blueprint = made(found)

    assert blueprint.revision == Key("default", "f-00001")
    assert blueprint.argv == ("/env/bin/python", "-m", "mlfunc_runtime")
    assert blueprint.folder == "/app"
    assert (blueprint.concurrency, blueprint.timeout, blueprint.drain) == (4, 80.0, 60.0)
    assert blueprint.progress == 605.0
    assert dict(blueprint.env) == {
        "PATH": "/bin",
        "MLFUNC_MODEL_A": "/a",
        "K_SERVICE": "f",
        "K_CONFIGURATION": "f",
        "K_REVISION": "f-00001",
    }


def test_what_says_nothing_has_the_bounds_of_knative() -> None:
    blueprint = made(revision())

    assert (blueprint.concurrency, blueprint.timeout, blueprint.progress) == (0, 300.0, 600.0)


def test_variables_are_values_or_come_from_secrets_and_config_maps() -> None:
    variables = [
        {"name": "PLAIN", "value": "x"},
        {"name": "EMPTY"},
        {"name": "PATH", "value": "/own"},
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "a"}}},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "b"}}},
        {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "c"}}},
        {"name": "D", "valueFrom": {"secretKeyRef": {"name": "t", "key": "d", "optional": True}}},
    ]
    secret = {"data": {"a": "w6Q="}, "stringData": {"b": "y"}}

    env = made(revision({"env": variables}), Secret_s=secret, ConfigMap_c={"data": {"c": "z"}}).env

    assert {key: env[key] for key in ("PLAIN", "EMPTY", "PATH", "A", "B", "C")} == {
        "PLAIN": "x",
        "EMPTY": "",
        "PATH": "/own",
        "A": "ä",
        "B": "y",
        "C": "z",
    }
    assert "D" not in env


def test_a_secret_may_be_any_bytes() -> None:
    variable = {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "a"}}}

    env = made(revision({"env": [variable]}), Secret_s={"data": {"a": "Y2Fm6Q=="}}).env

    assert os.fsencode(env["A"]) == b"caf\xe9"


@pytest.mark.parametrize(
    ("source", "objects", "message"),
    [
        ({"secretKeyRef": {"name": "s", "key": "k"}}, {}, 'secret "s" not found'),
        ({"configMapKeyRef": {"name": "c", "key": "k"}}, {}, 'configmap "c" not found'),
        (
            {"secretKeyRef": {"name": "s", "key": "k"}},
            {"Secret_s": {"data": {}}},
            "couldn't find key k in Secret default/s",
        ),
        ({"fieldRef": {"fieldPath": "x"}}, {}, "V: fieldRef is nothing that there is"),
    ],
)
def test_what_is_missing_is_told_in_the_words_of_a_kubelet(
    source: Object, objects: Any, message: str
) -> None:
    found = revision({"env": [{"name": "V", "valueFrom": source}]})

    with pytest.raises(Blocked) as caught:
        made(found, **objects)

    assert caught.value.reason == "CreateContainerConfigError"
    assert caught.value.message.startswith(message)


def test_what_it_may_use_of_the_machine_is_what_the_revision_limits() -> None:
    limits = {"cpu": "2500m", "memory": "2Gi", "amd.com/gpu": "2"}

    found = made(revision({"resources": {"limits": limits}}))
    free = made(revision({}))

    assert (found.env["MLFUNC_CPUS"], found.memory) == ("2.5", 2 * 2**30)
    assert (found.accelerator, found.devices) == ("amd", 2)
    assert ("MLFUNC_CPUS" in free.env, free.memory, free.devices) == (False, math.inf, 0)


def test_it_is_known_what_its_variables_come_from() -> None:
    source = {"secretKeyRef": {"name": "s", "key": "k"}}
    found = revision({"env": [{"name": "V", "valueFrom": source}, {"name": "W", "value": "w"}]})

    assert blueprints.sources(found) == {(kinds.SECRET, "s")}
