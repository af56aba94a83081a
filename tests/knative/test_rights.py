"""A user with the rights on Knative's kinds in one namespace, and none to nodes, pods or events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.knative.conftest import GREETER
from tests.rig import rights

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.rig.cluster import Cluster

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
    monkeypatch.setenv("KUBECONFIG", str(rights.granted(cluster, tmp_path, _RULES)))

    deployed = cluster.mlfunc("deploy", "--path", project, "-o", "json").data
    listed = cluster.mlfunc("list", "-o", "json", "-n", cluster.namespace).data
    told = cluster.mlfunc("describe", "--path", project, "-o", "json").data
    answer = cluster.mlfunc("invoke", "--path", project, "--namespace", cluster.namespace)
    cluster.mlfunc("delete", "--path", project, "--yes")

    assert deployed["ready"]
    assert [(each["name"], each["replicas"]) for each in listed] == [("greeter", 1)]
    assert [each["instances"] for each in told["revisions"]] == [1]
    assert "Hello Ada" in answer.out
