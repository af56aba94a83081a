"""`mlfunc deploy` on a real cluster: what it makes, what it leaves alone, what it refuses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

from tests.knative.conftest import GREETER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rig.cluster import Cluster


def test_a_function_is_deployed_and_answers(cluster: Cluster, tmp_path: Path) -> None:
    project = cluster.project(tmp_path / "greeter", GREETER)

    deployed = cluster.mlfunc("deploy", "--path", project, "-o", "json").data

    assert deployed["ready"]
    assert deployed["new_revision"]
    assert "@sha256:" in deployed["image"]
    answered = cluster.request("greeter", {"name": "Ada"})
    assert (answered.status, answered.json()) == (200, "Hello Ada")


def test_nothing_happens_where_nothing_has_changed(cluster: Cluster, tmp_path: Path) -> None:
    broker = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker"}
    cluster.apply({**broker, "metadata": {"name": "default"}})
    subscription = {"filter": {"type": "com.example.named"}}
    events = {"subscriptions": [subscription]}
    project = cluster.project(tmp_path / "greeter", GREETER, events=events)
    cluster.mlfunc("deploy", "--path", project)
    before = cluster.get("ksvc", "greeter")["metadata"]["resourceVersion"]

    again = cluster.mlfunc("deploy", "--path", project, "-o", "json")

    assert not again.data["new_revision"]
    assert {each["action"] for each in again.data["changes"]} == {"keep"}
    assert cluster.get("ksvc", "greeter")["metadata"]["resourceVersion"] == before
    assert "has not changed" in cluster.mlfunc("deploy", "--path", project).err


def test_a_dry_run_shows_what_would_change_and_changes_nothing(
    cluster: Cluster, tmp_path: Path
) -> None:
    project = cluster.project(tmp_path / "greeter", GREETER)
    cluster.mlfunc("deploy", "--path", project)
    before = cluster.get("ksvc", "greeter")["metadata"]["resourceVersion"]
    cluster.project(project, GREETER.replace("Hello", "Goodbye"), scale={"max": 3})

    shown = cluster.mlfunc("deploy", "--path", project, "--dry-run")
    manifests = cluster.mlfunc("deploy", "--path", project, "--dry-run", "-o", "yaml")

    assert "max-scale]: 10 -> 3" in shown.err
    assert re.search(r"containers\[user-container\].image: .*@sha256:[0-9a-f]{12} -> ", shown.err)
    assert [each["kind"] for each in yaml.safe_load_all(manifests.out)] == ["Service"]
    assert cluster.get("ksvc", "greeter")["metadata"]["resourceVersion"] == before


def test_a_dry_run_says_that_nothing_would_change(cluster: Cluster, tmp_path: Path) -> None:
    project = cluster.project(tmp_path / "greeter", GREETER)
    cluster.mlfunc("deploy", "--path", project)

    shown = cluster.mlfunc("deploy", "--path", project, "--dry-run")

    assert "greeter would stay as it is" in shown.err


def test_a_new_revision_gets_the_share_and_the_name_that_are_asked_for(
    cluster: Cluster, tmp_path: Path
) -> None:
    project = cluster.project(tmp_path / "greeter", GREETER)
    alone = cluster.mlfunc("deploy", "--path", project, "--traffic", "10")
    assert "this one gets all, not 10 %" in alone.err
    cluster.project(project, GREETER.replace("Hello", "Goodbye"))

    cluster.mlfunc("deploy", "--path", project, "--traffic", "10", "--tag", "canary")

    routed = {
        each["revisionName"]: (each["percent"], each.get("tag"))
        for each in cluster.get("ksvc", "greeter")["status"]["traffic"]
    }
    assert routed == {"greeter-00001": (90, None), "greeter-00002": (10, "canary")}


def test_what_kn_changed_is_reported_and_not_trampled(cluster: Cluster, tmp_path: Path) -> None:
    from tests.rig.cluster import ended

    project = cluster.project(tmp_path / "greeter", GREETER)
    cluster.mlfunc("deploy", "--path", project)
    kn = ["kn", "service", "update", "greeter", "-n", cluster.namespace, "--env", "MOOD=good"]
    ended(kn).ok()

    refused = cluster.mlfunc("deploy", "--path", project, code=7)
    kept = cluster.get("ksvc", "greeter")["spec"]["template"]["spec"]["containers"][0]["env"]
    taken = cluster.mlfunc("deploy", "--path", project, "--force", "-o", "json")

    assert "kn" in refused.err
    assert "MOOD" in refused.err
    assert "--force" in refused.err
    assert kept == [{"name": "MOOD", "value": "good"}]
    assert taken.data["new_revision"]
    assert "env" not in cluster.get("ksvc", "greeter")["spec"]["template"]["spec"]["containers"][0]


def test_an_image_that_is_named_by_its_digest_is_deployed_as_it_is(
    cluster: Cluster, tmp_path: Path
) -> None:
    project = cluster.project(tmp_path / "greeter", GREETER)
    built = cluster.mlfunc("build", "--path", project, "-o", "json").data
    named = f"{cluster.registry}/{cluster.namespace}/greeter@{built['digest']}"
    (project / "predictor.py").unlink()

    deployed = cluster.mlfunc("deploy", "--path", project, "--image", named, "-o", "json").data

    assert deployed["image"].endswith(built["digest"])
    assert cluster.request("greeter", {"name": "Ada"}).json() == "Hello Ada"
