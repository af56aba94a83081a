"""`mlfunc deploy` on a real cluster: when it writes nothing, and of an image that is there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.knative.conftest import GREETER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rig.cluster import Cluster


def test_nothing_is_written_by_a_dry_run_or_where_nothing_has_changed(
    cluster: Cluster, tmp_path: Path
) -> None:
    project = cluster.project(tmp_path / "greeter", GREETER)
    cluster.mlfunc("deploy", "--path", project)
    before = cluster.get("ksvc", "greeter")["metadata"]["resourceVersion"]

    cluster.mlfunc("deploy", "--path", project)
    cluster.project(project, GREETER.replace("Hello", "Goodbye"))
    shown = cluster.mlfunc("deploy", "--path", project, "--dry-run").err

    assert re.search(r"containers\[user-container\].image: .*@sha256:[0-9a-f]{12} -> ", shown)
    assert cluster.get("ksvc", "greeter")["metadata"]["resourceVersion"] == before


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
