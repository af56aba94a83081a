"""A function scaled by hand, on an API server that passes annotations on as Knative does."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc.cluster import access, client
from mlfunc.errors import ClusterFailed, NotFound, UsageError
from mlfunc.knative.explanation import Demand
from mlfunc.knative.rescaling import Wish
from mlfunc.platforms.knative import explaining, scaling
from mlfunc.platforms.knative.addressing import Addressed, Where
from mlfunc.platforms.knative.explaining import Question

from tests.rig import apiserver
from tests.rig.apiserver import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rig.apiserver import ApiServer, Asked

_PREFIX = "autoscaling.knative.dev/"
_SCALING = {f"{_PREFIX}min-scale": "0", f"{_PREFIX}max-scale": "3", f"{_PREFIX}target": "2"}


@dataclass
class Small:
    """A Service with two revisions, of which the second gets the requests.

    `since`: of what version Knative says that it is; `passes_on`: it acts as one since 1.21.
    """

    version: str = "1.23.0"
    passes_on: bool = True
    annotations: dict[str, dict[str, str]] = field(
        default_factory=lambda: {name: dict(_SCALING) for name in ("echo-00001", "echo-00002")}
    )
    passed_on: dict[str, dict[str, str]] = field(default_factory=dict)

    def answer(self, asked: Asked) -> Reply:
        """What the API server says."""
        name = asked.path.rpartition("/")[2]
        if asked.method == "PATCH":
            self.annotations[name].update(json.loads(asked.body)["metadata"]["annotations"])
            return Reply(body=self.revision(name))
        if "podautoscalers" in asked.path:
            return self.autoscalers(asked, name)
        found = {
            "echo": _service(),
            "revisions": {"items": [self.revision(each) for each in self.annotations]},
            "controller": {"metadata": {"labels": {"app.kubernetes.io/version": self.version}}},
            "config-autoscaler": {"data": {"stable-window": "40s"}},
            "pods": {"items": []},
            "services": {"items": [_service()]},
        }.get(name)
        return Reply(body=found) if found else Reply(404, _missing(name))

    def revision(self, name: str) -> dict[str, Any]:
        meta = {"name": name, "namespace": "team", "annotations": self.annotations[name]}
        return {"metadata": meta, "spec": {"containerConcurrency": 8, "timeoutSeconds": 60}}

    def autoscalers(self, asked: Asked, name: str) -> Reply:
        if asked.watches:
            return Reply(ends="hang")
        selected = asked.query.get("fieldSelector", "").rpartition("=")[2]
        found = self.autoscaler(selected or name)
        listed = {"metadata": {"resourceVersion": "1"}, "items": [found]}
        return Reply(body=listed if selected else found)

    def autoscaler(self, revision: str) -> dict[str, Any]:
        told = self.annotations[revision] if self.passes_on else dict(_SCALING)
        routed = revision == "echo-00002"
        active = {"type": "Active", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        return {
            "metadata": {"name": revision, "uid": revision, "annotations": told},
            "spec": {"reachability": "Reachable" if routed else "Unreachable"},
            "status": {"desiredScale": 0, "actualScale": 0, "conditions": [active]},
        }


def _service() -> dict[str, Any]:
    routed = [{"revisionName": "echo-00002", "latestRevision": True, "percent": 100}]
    return {
        "metadata": {"name": "echo", "namespace": "team"},
        "spec": {"template": {"metadata": {"annotations": dict(_SCALING)}, "spec": {}}},
        "status": {"traffic": routed},
    }


def _missing(name: str) -> dict[str, Any]:
    return {"kind": "Status", "code": 404, "reason": "NotFound", "details": {"name": name}}


@pytest.fixture
def small() -> Small:
    return Small()


@pytest.fixture
def api(small: Small) -> Iterator[ApiServer]:
    with apiserver.serving(small.answer) as api:
        yield api


@pytest.fixture
def echo(api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Addressed:
    path = str(api.kubeconfig(tmp_path / "kubeconfig"))
    monkeypatch.setenv("KUBECONFIG", path)
    return Addressed("echo", client.Cluster(access.open_()))


def test_the_revisions_with_requests_are_scaled_and_no_other(echo: Addressed, small: Small) -> None:
    (state,) = scaling.scale(echo, Wish(min=1)).states

    assert (state.revision, state.policy.minimum, state.policy.maximum) == ("echo-00002", 1, 3)
    assert small.annotations["echo-00002"][f"{_PREFIX}min-scale"] == "1"
    assert small.annotations["echo-00001"] == _SCALING


def test_another_revision_is_scaled_by_its_name(echo: Addressed, small: Small) -> None:
    (state,) = scaling.scale(echo, Wish(max=0, target=1.5), "echo-00001").states

    assert (state.percent, state.policy.reachable, state.policy.total) == (0, False, 1.5)
    assert small.annotations["echo-00001"][f"{_PREFIX}max-scale"] == "0"


def test_bounds_that_contradict_what_is_there_change_nothing(echo: Addressed, small: Small) -> None:
    with pytest.raises(UsageError, match="scale: min is 4, more than max, which is 3"):
        scaling.scale(echo, Wish(min=4))

    assert small.annotations["echo-00002"] == _SCALING


@pytest.mark.parametrize("version", ["1.20.1", "v1.19"])
def test_an_older_knative_is_told_before_anything_changes(
    echo: Addressed, small: Small, version: str
) -> None:
    small.version = version

    with pytest.raises(ClusterFailed, match=f"Knative {version} scales a revision as it was made"):
        scaling.scale(echo, Wish(min=1))
    assert small.annotations["echo-00002"] == _SCALING


def test_a_podautoscaler_that_stays_as_it_was_is_told(
    echo: Addressed, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.version, small.passes_on = "devel", False
    monkeypatch.setattr(scaling, "_TAKEN_SECONDS", 0.5)

    with pytest.raises(ClusterFailed, match=r"Knative before 1\.21 takes no changes"):
        scaling.scale(echo, Wish(min=1))


def test_the_defaults_of_the_cluster_count(echo: Addressed) -> None:
    (state,) = scaling.states(echo)

    assert (state.policy.window, state.policy.total) == (40, 2)
    assert state.why == "no requests since 2026-01-01T00:00:00Z"


def test_a_revision_that_is_not_there_is_told(echo: Addressed) -> None:
    with pytest.raises(NotFound, match="echo has no revision echo-00003"):
        scaling.states(echo, "echo-00003")


def test_a_wish_is_explained_for_what_runs_and_changes_nothing(
    echo: Addressed, small: Small, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert echo.name
    monkeypatch.chdir(tmp_path)
    question = Question("echo", Where(), Wish(min=2), Demand(1), prediction=1)

    found = explaining.explain(question).explanation

    assert (found.policy.minimum, found.serving.concurrency, found.serving.slots) == (2, 8, 2)
    assert found.serving.timeout == 60
    assert small.annotations["echo-00002"] == _SCALING


def test_a_project_is_explained_without_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mlfunc.yaml").write_text("name: echo\nserve: {slots: 3}\nscale: {max: 2}")
    monkeypatch.setenv("KUBECONFIG", os.devnull)
    question = Question(None, Where(tmp_path), Wish(max=4), Demand(1), prediction=1)

    explained = explaining.explain(question)

    assert explained.source == "echo, as mlfunc.yaml has it"
    policy = explained.explanation.policy
    assert (policy.maximum, policy.total, explained.explanation.serving.slots) == (4, 3, 3)
