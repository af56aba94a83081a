"""What differs on this machine: how it is reached, what is refused, how requests get to a function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from mlfunc import cli
from mlfunc.cluster import kinds
from mlfunc.errors import ClusterFailed, NotFound, UsageError
from mlfunc.platforms import choosing, finding
from mlfunc.platforms.finding import Asked
from mlfunc.platforms.local import starting, stopping
from mlfunc.platforms.way import Way
from mlfunc.supervisor import home as homes

from tests.rig import apiserver

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.supervisor.home import Home

LOCAL = choosing.of("local")
_SERVICE: dict[str, Any] = {
    "apiVersion": kinds.SERVICE.api_version,
    "kind": kinds.SERVICE.name,
    "metadata": {"name": "greeter", "namespace": "default"},
    "spec": {"template": {"spec": {"containers": [{"image": f"local/g@sha256:{'0' * 64}"}]}}},
}


@pytest.fixture
def started(own: Home) -> Home:
    """With a supervisor that runs."""
    starting.start(own, port=0)
    return own


def test_it_is_there_once_something_was_kept_and_it_is_started_by_who_needs_it(own: Home) -> None:
    assert (LOCAL.is_there(), LOCAL.is_running()) == (False, False)

    cluster = LOCAL.connect(None, None, start="always")

    assert cluster.list(kinds.SERVICE) == []
    assert cluster.place == "namespace default (the local platform)"
    assert LOCAL.is_running()
    stopping.stop(own)
    assert (LOCAL.is_there(), LOCAL.is_running()) == (True, False)


def test_requests_go_to_the_gateway_with_the_function_s_host(started: Home) -> None:
    about = homes.found(started)
    assert about is not None
    cluster = LOCAL.connect(None, "team")

    found = LOCAL.way(cluster, _SERVICE, "http://canary-greeter.team.localhost:8088", None)

    assert found == Way(about.url, "canary-greeter.team.localhost:8088")
    with pytest.raises(UsageError, match="--ingress is of a cluster"):
        LOCAL.way(cluster, _SERVICE, "http://greeter.team.localhost:8088", "http://127.0.0.1")


def test_a_supervisor_that_is_gone_meanwhile_is_told_in_words(started: Home) -> None:
    cluster = LOCAL.connect(None, None)
    stopping.stop(started)

    with pytest.raises(ClusterFailed, match="the local platform cannot be reached") as gone:
        cluster.list(kinds.SERVICE)
    assert "mlfunc platform status" in gone.value.hint


@pytest.mark.usefixtures("started")
def test_what_a_cluster_has_not_and_this_machine_has_is_hinted_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    LOCAL.connect(None, None).apply(_SERVICE)
    with apiserver.serving(_nothing) as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "kubeconfig")))
        with pytest.raises(NotFound, match="there is no function greeter") as no:
            finding.find(Asked("greeter", None, None, None, None, None))
        assert no.value.hint == "the local platform has one: mlfunc invoke greeter --platform local"
        with pytest.raises(NotFound) as neither:
            finding.find(Asked("other", None, None, None, None, None))
        assert "local platform" not in neither.value.hint


def test_an_invoke_of_nothing_names_what_is_deployed_and_starts_nothing_for_it(
    started: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    nothing = Asked(None, None, None, None, None, None)
    LOCAL.connect(None, None).apply(_SERVICE)

    with pytest.raises(NotFound, match="no function runs here") as no:
        finding.find(nothing)
    assert "deployed on the local platform: greeter;" in no.value.hint

    stopping.stop(started)
    with pytest.raises(NotFound) as stopped:
        finding.find(nothing)
    assert stopped.value.hint == "start it with `mlfunc run`, or name a URL"
    assert not LOCAL.is_running()


def test_a_filter_by_cesql_is_refused_before_anything_is_made(
    own: Home, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (project / "mlfunc.yaml").open("a") as file:
        file.write("events: {subscriptions: [{filters: [{not: {cesql: 'type = 1'}}]}]}\n")

    assert cli.main(["deploy", f"--path={project}", "--platform=local"]) == 7

    told = capsys.readouterr().err
    assert "greeter cannot run here: events.subscriptions[0] filters by CESQL" in told
    assert list(own.releases.glob("*")) == []


def test_a_predictor_that_is_not_there_is_refused_before_anything_is_started(
    own: Home, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "predictor.py").write_text("class Greter:\n    def predict(self): ...\n")

    assert cli.main(["deploy", f"--path={project}", "--platform=local"]) == 2

    assert "predictor.py has no class Greeter" in capsys.readouterr().err
    assert not own.state.exists()


def _nothing(asked: apiserver.Asked) -> apiserver.Reply:
    name = asked.path.rpartition("/")[2]
    if name == "services":
        return apiserver.Reply(body={"metadata": {"resourceVersion": "1"}, "items": []})
    return apiserver.status(404, "NotFound", "not found", name=name)
