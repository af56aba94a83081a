"""Which platform options, variables and kubeconfig mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from mlfunc import cli
from mlfunc.errors import UsageError
from mlfunc.platforms import choosing

from tests.rig import apiserver
from tests.rig.apiserver import Reply

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some cluster, which nobody asks."""
    gone = apiserver.ApiServer("http://127.0.0.1:1", lambda _: Reply())
    monkeypatch.setenv("KUBECONFIG", str(gone.kubeconfig(tmp_path / "kubeconfig")))


@pytest.mark.parametrize(
    ("told", "environ", "name"),
    [
        ({}, {}, "local"),
        ({"named": "knative"}, {}, "knative"),
        ({}, {"MLFUNC_PLATFORM": "knative"}, "knative"),
        ({"named": "local"}, {"MLFUNC_PLATFORM": "knative"}, "local"),
        ({"context": "kind"}, {}, "knative"),
    ],
)
def test_without_a_cluster_it_is_this_machine_unless_something_means_knative(
    told: dict[str, Any], environ: dict[str, str], name: str
) -> None:
    assert choosing.meant(**told, environ=environ).name == name


@pytest.mark.usefixtures("configured")
def test_a_cluster_that_is_configured_is_meant_unless_this_machine_is_named() -> None:
    assert choosing.meant(environ={}).name == "knative"
    assert choosing.meant("local", environ={}).name == "local"
    assert choosing.meant(environ={"MLFUNC_PLATFORM": "local"}).name == "local"


def test_a_cluster_whose_file_is_not_there_is_not_taken_for_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job would deploy nothing to it, and be green."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "gone"))

    with pytest.raises(UsageError, match="KUBECONFIG names what is not there"):
        choosing.meant(environ={})
    assert choosing.meant("local", environ={}).name == "local"
    assert choosing.meant(environ={"MLFUNC_PLATFORM": "local"}).name == "local"


@pytest.mark.parametrize(
    ("named", "environ", "source"),
    [("local", {}, "--platform local"), (None, {"MLFUNC_PLATFORM": "local"}, "MLFUNC_PLATFORM=")],
)
def test_a_context_is_refused_where_this_machine_is_meant(
    named: str | None, environ: dict[str, str], source: str
) -> None:
    with pytest.raises(UsageError, match=f"context kind is of a cluster, and {source}"):
        choosing.meant(named, context="kind", environ=environ)


def test_a_variable_with_another_name_is_told() -> None:
    with pytest.raises(UsageError, match=r"no platform lokal \(MLFUNC_PLATFORM\)") as no:
        choosing.meant(environ={"MLFUNC_PLATFORM": "lokal"})
    assert no.value.hint == "did you mean local?"


def test_a_cluster_that_is_meant_and_not_configured_says_how_to_mean_this_machine(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["list", "--platform", "knative"]) == 2
    told = capsys.readouterr().err
    assert "no cluster is configured" in told
    assert "--platform local" in told


@pytest.mark.parametrize(
    "option",
    [
        "--image=greeter",
        "--registry=r.example.com",
        "--build-platform=linux/arm64",
        "--insecure",
        "--upgrade",
        "--locked",
    ],
)
def test_options_of_an_image_are_refused_where_none_is_made(
    option: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["deploy", f"--path={project}", "--platform=local", option]) == 2
    told = capsys.readouterr().err
    assert f"{option.partition('=')[0]} is about an image" in told
    assert "--platform knative" in told
