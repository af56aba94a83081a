"""Which function a name, a URL or a folder means: one that runs here, or one in a cluster."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc import running
from mlfunc.errors import ClusterFailed, NotFound, UsageError
from mlfunc.platforms import finding
from mlfunc.platforms.finding import Asked

from tests.func.knative.objects import pod, service
from tests.rig import apiserver
from tests.rig.apiserver import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def asked(target: str | None, folder: Path | None = None, **cluster: str) -> Asked:
    told = {"context": None, "namespace": None, "tag": None, "ingress": None, **cluster}
    return Asked(target, folder, **told)


@pytest.fixture
def in_cluster(deployed: list[dict[str, Any]]) -> str:
    """The same, where nothing else is deployed: the URL of greeter."""
    (greeter,) = deployed
    url: str = greeter["status"]["url"]
    return url


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """A cluster with the function greeter, which this machine knows by name; all that it has."""
    found = service()
    listed = {"pods": [pod(2)], "services": [found]}

    def answer(request: apiserver.Asked) -> Reply:
        last = request.path.rpartition("/")[2]
        if last in listed:
            return Reply(body={"metadata": {}, "items": listed[last]})
        if last == "greeter":
            return Reply(body=found)
        if last == "team":
            return Reply(body={"metadata": {"name": "team"}})
        return apiserver.status(404, "NotFound", "not found", name=last)

    with apiserver.serving(answer) as server:
        found["status"]["url"] = server.url  # where something answers
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "kubeconfig")))
        monkeypatch.delenv("MLFUNC_INGRESS", raising=False)
        yield listed["services"]


@contextlib.contextmanager
def running_here(name: str, folder: Path, *, serves: bool = True) -> Iterator[None]:
    publication = running.Publication()
    publication.tell(name, folder, "http://127.0.0.1:1", serves=serves)
    with contextlib.closing(publication):
        yield


def test_what_runs_here_comes_first(in_cluster: str, tmp_path: Path) -> None:
    with running_here("greeter", tmp_path):
        assert finding.find(asked("greeter")).way.url == "http://127.0.0.1:1"
        assert finding.find(asked("greeter", namespace="team")).way.url == in_cluster
    assert finding.find(asked("greeter")).way.url == in_cluster


@pytest.mark.usefixtures("in_cluster")
def test_what_is_broken_here_is_not_taken_for_the_one_in_the_cluster(tmp_path: Path) -> None:
    with (
        running_here("greeter", tmp_path, serves=False),
        pytest.raises(NotFound, match="greeter does not serve now"),
    ):
        finding.find(asked("greeter"))


def test_the_function_of_a_folder_is_looked_for_in_the_cluster(
    in_cluster: str, project: Path
) -> None:
    assert finding.find(asked(None, project)).way.url == in_cluster


@pytest.mark.usefixtures("in_cluster")
def test_what_is_nowhere_is_told_of_both() -> None:
    with pytest.raises(NotFound, match="gretter does not run here, and there is no function") as no:
        finding.find(asked("gretter"))
    assert no.value.hint == "did you mean greeter?"


def test_in_an_empty_folder_what_is_deployed_is_named_as_far_as_it_fits(
    deployed: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(NotFound, match=r"^no function runs here$") as no:
        finding.find(asked(None))
    assert "mlfunc invoke NAME; deployed on the cluster: greeter; or start it" in no.value.hint

    deployed += [service(name=f"other-{number}") for number in range(6)]
    with pytest.raises(NotFound) as many:
        finding.find(asked(None))
    assert "greeter, other-0, other-1, other-2, other-3 and 2 more (mlfunc list)" in many.value.hint


def test_without_a_cluster_there_is_only_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound, match=r"^greeter does not run here$"):
        finding.find(asked("greeter"))
    with pytest.raises(NotFound, match="no function runs here"):
        finding.find(asked(None))


def test_a_cluster_that_does_not_answer_is_told_beside_what_is_not_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = apiserver.ApiServer("http://127.0.0.1:1", lambda _: Reply())
    monkeypatch.setenv("KUBECONFIG", str(gone.kubeconfig(tmp_path / "kubeconfig")))
    with pytest.raises(ClusterFailed, match="greeter does not run here, and the cluster at"):
        finding.find(asked("greeter"))


def test_a_url_is_looked_for_in_no_cluster() -> None:
    assert finding.find(asked("localhost:8080")).way.url == "http://localhost:8080"
    with pytest.raises(UsageError, match="is a URL"):
        finding.find(asked("http://localhost", tag="canary"))
