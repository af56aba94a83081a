"""Labels and annotations: whose they are, and where they may stand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mlfunc.knative import metadata
from mlfunc.knative.release import Model

from tests.func.knative.functions import IMAGE, release


def annotated(*keys: str) -> tuple[set[str], set[str]]:
    """Which of these are on the Service, and which on the template."""
    given = release(deploy={"annotations": dict.fromkeys(keys, "x")})
    service, template = metadata.of_service(given.function), metadata.of_template(given)
    return {*keys} & {*service["annotations"]}, {*keys} & {*template["annotations"]}


def test_annotations_are_where_knative_reads_and_takes_them() -> None:
    everywhere = "prometheus.io/scrape"
    network = "networking.knative.dev/ingress-class"
    rollout = "serving.knative.dev/rollout-duration"
    metric = "autoscaling.knative.dev/metric"
    proxy = "queue.sidecar.serving.knative.dev/cpu-resource-request"

    service, template = annotated(everywhere, network, rollout, metric, proxy)

    assert service == {everywhere, network, rollout}
    assert template == {everywhere, metric, proxy}


def test_the_deadline_can_be_said() -> None:
    said = {"serving.knative.dev/progress-deadline": "7200s"}

    assert metadata.of_template(release(deploy={"annotations": said}))["annotations"].items() >= (
        said.items()
    )


def test_describe_finds_the_models_on_the_cluster() -> None:
    model = Model("m", "hf://a/b", "volume", 5, image=IMAGE)

    told = metadata.of_template(release(model))["annotations"]["mlfunc.dev/models"]

    assert json.loads(told) == [
        {"name": "m", "uri": "hf://a/b", "delivery": "volume", "size": 5, "image": IMAGE}
    ]


@pytest.mark.parametrize(
    "deploy",
    [
        {"labels": {"function.knative.dev/name": "g"}},
        {"labels": {"serving.knative.dev/service": "g"}},
        {"labels": {"networking.knative.dev/visibility": "cluster-local"}},
        {"labels": {"a b": "c"}},
        {"labels": {"a": "not/a/value"}},
        {"labels": {"a": "x" * 64}},
        {"annotations": {"a/b/c": "d"}},
        {"annotations": {"function.knative.dev/deployer": "raw"}},
        {"annotations": {"autoscaling.knative.dev/min-scale": "1"}},
        {"annotations": {"autoscaling.knative.dev/minScale": "1"}},
    ],
    ids=str,
)
def test_what_cannot_be_or_is_ours_is_refused_by_its_key(deploy: dict[str, Any]) -> None:
    (found,) = metadata.problems(release(deploy=deploy).function)

    kind = next(iter(deploy))
    assert found.startswith(f"deploy.{kind}.{next(iter(deploy[kind]))}: ")
