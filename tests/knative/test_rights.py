"""A user with the rights on Knative's kinds in one namespace, and none to nodes, pods or events."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.knative.conftest import GREETER

if TYPE_CHECKING:
    import pytest

    from tests.rig.cluster import Cluster

_GROUP = "rbac.authorization.k8s.io"
_SERVING = ["serving.knative.dev"]
_READ = ["get", "list", "watch"]
# As docs/deploying.md has it, and what `list`, `describe` and `delete` need.
_RULES = [
    {
        "apiGroups": _SERVING,
        "resources": ["services"],
        "verbs": [*_READ, "create", "patch", "delete"],
    },
    {"apiGroups": _SERVING, "resources": ["revisions"], "verbs": _READ},
]


def test_knative_s_own_kinds_are_rights_enough(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = cluster.project(tmp_path / "greeter", GREETER)
    _grant(cluster)
    monkeypatch.setenv("KUBECONFIG", str(_impersonating(tmp_path)))

    deployed = cluster.mlfunc("deploy", "--path", project, "-o", "json").data
    listed = cluster.mlfunc("list", "-o", "json", "-n", cluster.namespace).data
    told = cluster.mlfunc("describe", "--path", project, "-o", "json").data
    answer = cluster.mlfunc("invoke", "--path", project, "--namespace", cluster.namespace)
    cluster.mlfunc("delete", "--path", project, "--yes")

    assert deployed["ready"]
    assert [(each["name"], each["replicas"]) for each in listed] == [("greeter", 1)]
    assert [each["instances"] for each in told["revisions"]] == [1]
    assert "Hello Ada" in answer.out


def _grant(cluster: Cluster) -> None:
    meta: dict[str, Any] = {"name": "ada", "namespace": cluster.namespace}
    version = f"{_GROUP}/v1"
    who = {"kind": "User", "name": "ada", "apiGroup": _GROUP}
    role = {"kind": "Role", "name": "ada", "apiGroup": _GROUP}
    cluster.apply(
        {"apiVersion": version, "kind": "Role", "metadata": meta, "rules": _RULES},
        {
            "apiVersion": version,
            "kind": "RoleBinding",
            "metadata": meta,
            "subjects": [who],
            "roleRef": role,
        },
    )


def _impersonating(folder: Path) -> Path:
    """The kubeconfig in use, for Ada."""
    told = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text(encoding="utf-8"))
    for each in told["users"]:
        each["user"]["as"] = "ada"
    path = folder / "kubeconfig"
    path.write_text(json.dumps(told), encoding="utf-8")
    return path
