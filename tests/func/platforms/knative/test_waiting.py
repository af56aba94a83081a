"""The wait, on a cluster that is a script; tests/knative has the same on a real one."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc.cluster import client, kinds
from mlfunc.errors import INTERRUPTED, ClusterFailed
from mlfunc.platforms.knative import observing, waiting

from tests.rig import apiserver
from tests.rig.apiserver import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlfunc.cluster.client import Cluster
    from mlfunc.cluster.kinds import Kind

    from tests.rig.apiserver import Asked

SNAPSHOTS = Path(__file__).parents[2] / "knative" / "snapshots"
UID = "6f5c"
OWN = {"serving.knative.dev/serviceUID": UID}


class Script:
    """A cluster that shows a Service and what belongs to it; what is changed is seen at once."""

    def __init__(self, name: str) -> None:
        told = json.loads((SNAPSHOTS / f"{name}.json").read_text(encoding="utf-8"))
        self.service, self.revision = told["service"], told["revision"]
        self.pods, self.events = told["pods"], told["events"]
        self.service["metadata"]["uid"] = UID
        self.service["spec"] = {"template": {}}
        self.revision["metadata"] |= {"creationTimestamp": "2026-11-26T02:00:00Z", "labels": OWN}
        for pod in self.pods:
            pod["metadata"]["labels"] |= OWN
        self.log = ""
        self.logs: list[Asked] = []
        self.services = [self.service]

    def answer(self, asked: Asked) -> Reply:
        if asked.watches:
            return Reply(ends="hang")
        if asked.path.endswith("/log"):
            self.logs.append(asked)
            return Reply(body=self.log.encode())
        lists: dict[str, Any] = {
            self._path(kinds.SERVICE): self.services,
            self._path(kinds.REVISION): [self.revision],
            self._path(kinds.POD): self.pods,
            self._path(kinds.EVENT): self.events,
        }
        items = copy.deepcopy(lists.get(asked.path, []))
        return Reply(body={"metadata": {"resourceVersion": "1"}, "items": items})

    def _path(self, kind: Kind) -> str:
        return kind.path("team")


class Told:
    def __init__(self) -> None:
        self.phases: list[str] = []
        self.details: list[str] = []

    def phase(self, name: str) -> None:
        self.phases.append(name)

    def said(self, text: str) -> None:
        self.details.append(text)


@pytest.fixture
def script(request: pytest.FixtureRequest) -> Script:
    return Script(request.param)


@pytest.fixture
def cluster(script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with apiserver.serving(script.answer) as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "config")))
        yield client.connect()


def wait(cluster: Cluster, script: Script, timeout: float | None = 20) -> Told:
    told = Told()
    waiting.wait(cluster, script.service, timeout=timeout, watcher=told)
    return told


@pytest.mark.parametrize("script", ["ready"], indirect=True)
def test_what_is_ready_is_not_waited_for(cluster: Cluster, script: Script) -> None:
    assert wait(cluster, script).phases == []


@pytest.mark.parametrize("script", ["load-raises"], indirect=True)
def test_the_whole_traceback_comes_from_the_log_of_the_container_before(
    cluster: Cluster, script: Script
) -> None:
    """What the pod's status keeps of it ends at 2 kB."""
    words = {"message": "m", "phase": "failed", "error": "load raised E", "traceback": "x" * 9999}
    script.log = json.dumps(words)

    with pytest.raises(ClusterFailed) as failed:
        wait(cluster, script)

    assert failed.value.evidence == "x" * 9999
    assert failed.value.message == "crash-00002: the function does not start: load raised E"
    assert script.logs[-1].query["previous"] == "true"


@pytest.mark.parametrize("script", ["load-raises"], indirect=True)
def test_the_status_of_the_pod_is_evidence_where_there_is_no_log(
    cluster: Cluster, script: Script
) -> None:
    with pytest.raises(ClusterFailed) as failed:
        wait(cluster, script)

    assert failed.value.evidence.endswith("ValueError: no such weights\n")


@pytest.mark.parametrize("script", ["out-of-memory"], indirect=True)
def test_the_revision_that_serves_on_is_named(cluster: Cluster, script: Script) -> None:
    script.service["status"]["traffic"] = [
        {"revisionName": "oom-00001", "percent": 90},
        {"revisionName": "oom-00000", "percent": 10},
        {"revisionName": "oom-00002", "percent": 0},
    ]

    with pytest.raises(ClusterFailed, match=r"; oom-00000 and oom-00001 serve on$"):
        wait(cluster, script)


@pytest.mark.parametrize("script", ["segfault"], indirect=True)
def test_what_takes_too_long_is_told_with_where_it_is(cluster: Cluster, script: Script) -> None:
    _start(script, '{"phase":"loading","message":"loading"}\nshard 1 of 9')

    with pytest.raises(ClusterFailed) as late:
        wait(cluster, script, timeout=0.1)

    assert "s: it is still loading (shard 1 of 9); segv-00001 serves on" in late.value.message
    assert "mlfunc logs segv; --timeout waits longer" in late.value.hint


@pytest.mark.parametrize("script", ["segfault"], indirect=True)
def test_ctrl_c_leaves_the_cluster_to_go_on(
    cluster: Cluster, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    _start(script, "")

    def interrupt(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(observing, "log", interrupt)

    with pytest.raises(waiting.Left, match="the cluster goes on with") as left:
        wait(cluster, script)

    assert left.value.exit_code == INTERRUPTED
    assert "mlfunc describe" in left.value.hint


@pytest.mark.parametrize("script", ["ready"], indirect=True)
def test_a_service_that_is_deleted_meanwhile_is_told(cluster: Cluster, script: Script) -> None:
    script.services.clear()

    with pytest.raises(ClusterFailed, match="was deleted while it was waited for"):
        waiting.wait(cluster, script.service, timeout=5, watcher=Told())


@pytest.mark.parametrize("script", ["out-of-memory"], indirect=True)
def test_what_a_deleted_service_of_the_name_has_left_says_nothing(
    cluster: Cluster, script: Script
) -> None:
    for pod in script.pods:
        pod["metadata"]["labels"]["serving.knative.dev/serviceUID"] = "another"

    with pytest.raises(ClusterFailed, match="still creating"):
        wait(cluster, script, timeout=0.1)


@pytest.mark.parametrize("script", ["name-taken"], indirect=True)
def test_what_is_left_of_a_deleted_service_is_given_time_to_go(
    cluster: Cluster, script: Script
) -> None:
    with pytest.raises(ClusterFailed, match="it is still creating"):
        wait(cluster, script, timeout=0.1)


@pytest.mark.parametrize("script", ["segfault"], indirect=True)
def test_an_instance_is_waited_for_where_the_service_is_ready_without_one(
    cluster: Cluster, script: Script
) -> None:
    told = Told()
    script.service["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    script.service["status"]["latestReadyRevisionName"] = script.revision["metadata"]["name"]

    with pytest.raises(ClusterFailed, match="SIGSEGV"):
        waiting.wait_for_instance(cluster, script.service, timeout=5, watcher=told)


@pytest.mark.parametrize("script", ["load-raises"], indirect=True)
def test_who_is_overtaken_is_told_so_and_not_what_becomes_of_the_other(
    cluster: Cluster, script: Script
) -> None:
    applied = copy.deepcopy(script.service)
    script.service["metadata"]["generation"] += 1
    script.service["spec"]["template"]["spec"] = {"containers": [{"image": "theirs"}]}

    with pytest.raises(waiting.Overtaken, match="crash-00002 was overtaken by another") as failed:
        waiting.wait(cluster, applied, timeout=5, watcher=Told())

    assert failed.value.exit_code == 7
    assert failed.value.evidence == ""


def _start(script: Script, log: str) -> None:
    """Its container runs, and does not answer yet."""
    script.log = log
    (status,) = (
        each
        for each in script.pods[0]["status"]["containerStatuses"]
        if each["name"] == "user-container"
    )
    status.update(state={"running": {}}, lastState={}, ready=False)
