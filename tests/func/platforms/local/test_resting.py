"""Who only looks starts nothing, unless something is deployed, which should run."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc import cli
from mlfunc.cluster import kinds
from mlfunc.errors import ClusterFailed, MlfuncError
from mlfunc.platforms import choosing
from mlfunc.platforms.local import resting, starting, stopping
from mlfunc.supervisor import home as homes

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
def stopped(own: Home) -> Home:
    """With a function, and no supervisor."""
    starting.start(own, port=0)
    LOCAL.connect(None, None).apply(_SERVICE)
    stopping.stop(own)
    return own


@pytest.mark.parametrize(
    ("command", "code"),
    [
        pytest.param(("list", "-A"), 0, id="list"),
        pytest.param(("describe", "greeter"), 5, id="describe"),
        pytest.param(("logs", "greeter", "-f"), 5, id="logs"),
        pytest.param(("events", "greeter"), 5, id="events"),
        pytest.param(("traffic", "greeter"), 5, id="traffic"),
        pytest.param(("delete", "greeter", "--yes"), 5, id="delete"),
        pytest.param(("subscribe", "greeter", "--type", "x"), 5, id="subscribe"),
    ],
)
def test_on_a_fresh_home_it_leaves_neither_a_process_nor_a_file(
    own: Home, command: tuple[str, ...], code: int
) -> None:
    assert cli.main([*command, "--platform", "local"]) == code

    assert not own.folder.exists()


def test_a_dry_run_leaves_neither_a_process_nor_a_file(
    own: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mlfunc.yaml").write_text("name: greeter")
    (tmp_path / "predictor.py").write_text("class Predictor:\n    def predict(self): ...\n")

    assert cli.main(["deploy", "--path", str(tmp_path), "--dry-run", "-o", "json"]) == 0

    assert json.loads(capsys.readouterr().out)["changes"][0]["action"] == "create"
    assert not own.folder.exists()


def test_a_dry_run_sees_what_is_deployed_and_does_not_start_it(stopped: Home) -> None:
    cluster = LOCAL.connect(None, None, start="never")
    labelled = {**_SERVICE, "metadata": {**_SERVICE["metadata"], "labels": {"a": "b"}}}

    would = cluster.apply(labelled, dry_run=True)

    assert would["metadata"]["labels"] == {"a": "b"}
    assert homes.found(stopped) is None
    live = cluster.get(kinds.SERVICE, "greeter")
    assert live is not None
    assert would["metadata"]["uid"] == live["metadata"]["uid"]


def test_what_is_deployed_runs_again_for_whoever_looks(stopped: Home) -> None:
    assert LOCAL.connect(None, None).get(kinds.SERVICE, "greeter")
    assert homes.found(stopped) is not None


def test_what_does_not_run_cannot_be_changed(stopped: Home) -> None:
    cluster = resting.connect(stopped)

    with pytest.raises(ClusterFailed, match="the local platform does not run"):
        cluster.delete(kinds.SERVICE, "greeter")
    with pytest.raises(ClusterFailed, match="the local platform does not run"):
        cluster.apply({**_SERVICE, "metadata": {"name": "b", "namespace": "default"}})

    assert [each["metadata"]["name"] for each in cluster.list(kinds.SERVICE)] == ["greeter"]


def test_several_threads_ask_it_at_once(stopped: Home) -> None:
    cluster = resting.connect(stopped)
    found: list[int] = []

    def ask() -> None:
        found.append(len(cluster.list(kinds.SERVICE)))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert found == [1] * 4


def test_a_broken_file_is_told(own: Home) -> None:
    own.prepare()
    own.state.write_bytes(b"no database" * 1000)

    with pytest.raises(MlfuncError, match="is broken"):
        LOCAL.connect(None, None)
