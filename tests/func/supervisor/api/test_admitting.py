"""What Knative fills in and refuses, is filled in and refused here. The texts are real ones."""

from __future__ import annotations

from typing import Any

import pytest
from mlfunc.cluster import kinds
from mlfunc.supervisor.api import admitting
from mlfunc.supervisor.api.refusals import Refused

Object = dict[str, Any]

IMAGE = "local/x@sha256:" + "0" * 64
SUBSCRIBER = {"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": "x"}}

SCALES = "spec.template.metadata.annotations.autoscaling.knative.dev"
BOTH_PERCENTS = """\
expected 0 <= 120 <= 100: spec.traffic[0].percent
expected 0 <= -20 <= 100: spec.traffic[1].percent"""


def service(
    name: str = "x", traffic: list[Object] | None = None, scale: Object | None = None, **pod: Any
) -> Object:
    spec = {"containers": [{"image": IMAGE}], **pod}
    annotations = {f"autoscaling.knative.dev/{key}": each for key, each in (scale or {}).items()}
    return {
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "template": {"metadata": {"annotations": annotations}, "spec": spec},
            **({"traffic": traffic} if traffic else {}),
        },
    }


def trigger(**spec: Any) -> Object:
    given = {"broker": "default", "subscriber": SUBSCRIBER, **spec}
    return {"metadata": {"name": "t", "namespace": "shop"}, "spec": given}


def test_a_service_gets_what_knative_fills_in() -> None:
    found = admitting.admitted(kinds.SERVICE, service(), None)["spec"]

    assert found["traffic"] == [{"latestRevision": True, "percent": 100}]
    assert found["template"]["spec"] == {
        "containerConcurrency": 0,
        "timeoutSeconds": 300,
        "enableServiceLinks": False,
        "containers": [
            {
                "name": "user-container",
                "image": IMAGE,
                "resources": {},
                "readinessProbe": {"successThreshold": 1, "tcpSocket": {"port": 0}},
            }
        ],
    }


def test_a_trigger_gets_what_knative_fills_in() -> None:
    sink = {"deadLetterSink": {"ref": {"kind": "Service", "name": "y"}}}

    found = admitting.admitted(kinds.TRIGGER, trigger(delivery=sink), None)

    assert found["metadata"]["labels"] == {"eventing.knative.dev/broker": "default"}
    assert found["spec"]["filter"] == {}
    assert found["spec"]["subscriber"]["ref"]["namespace"] == "shop"
    assert found["spec"]["delivery"]["deadLetterSink"]["ref"]["namespace"] == "shop"


def test_texts_of_a_secret_are_kept_as_data() -> None:
    given = {"metadata": {"name": "s"}, "stringData": {"key": "value"}, "data": {"other": "eA=="}}

    found = admitting.admitted(kinds.SECRET, given, None)

    assert found["data"] == {"key": "dmFsdWU=", "other": "eA=="}
    assert "stringData" not in found


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (service("1x"), "not a DNS 1035 label: 1x: metadata.name"),
        (service("a.b"), "not a DNS 1035 label: a.b: metadata.name"),
        (service("a" * 64), f"not a DNS 1035 label: {'a' * 64}: metadata.name"),
        (service(containers=[]), "missing field(s): spec.template.spec.containers"),
        (service(containers=[{}]), "missing field(s): spec.template.spec.containers[0].image"),
        (
            service(containers=[{"image": "a"}, {"image": "b"}]),
            "it runs one container of a revision, not 2: spec.template.spec.containers",
        ),
        (
            service(containerConcurrency=5000),
            "expected 0 <= 5000 <= 1000: spec.template.spec.containerConcurrency",
        ),
        (
            service(timeoutSeconds=9000),
            "expected 0 <= 9000 <= 600: spec.template.spec.timeoutSeconds",
        ),
        (
            service(traffic=[{"latestRevision": True, "percent": 90}]),
            "Traffic targets sum to 90, want 100: spec.traffic",
        ),
        (
            service(traffic=[{"percent": 120}, {"revisionName": "x-00001", "percent": -20}]),
            BOTH_PERCENTS,
        ),
        (
            service(traffic=[{"latestRevision": True, "revisionName": "x-00001", "percent": 100}]),
            "expected exactly one: spec.traffic[0].latestRevision, revisionName",
        ),
        (
            service(scale={"min-scale": "x"}),
            f"invalid value: x: {SCALES}/min-scale",
        ),
        (
            service(scale={"min-scale": "3", "max-scale": "2"}),
            f"max-scale=2 is less than min-scale=3: {SCALES}/max-scale",
        ),
    ],
)
def test_what_no_service_may_be(found: Object, said: str) -> None:
    assert refusal(kinds.SERVICE, found) == said


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (trigger(broker=""), "missing field(s): spec.broker"),
        (
            trigger(subscriber={}),
            "expected at least one, got none: spec.subscriber.ref, spec.subscriber.uri",
        ),
        (
            trigger(subscriber={"ref": {"kind": "Service"}}),
            "missing field(s): spec.subscriber.ref.name",
        ),
        (
            trigger(delivery={"deadLetterSink": {"ref": {"kind": "Service"}}}),
            "missing field(s): spec.delivery.deadLetterSink.ref.name",
        ),
        (
            trigger(filters=[{"any": [{"not": {"cesql": "a = 1"}}]}]),
            "it knows no CESQL, for which no Python library is kept; a cluster does: spec.filters",
        ),
    ],
)
def test_what_no_trigger_may_be(found: Object, said: str) -> None:
    assert refusal(kinds.TRIGGER, found) == said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"backoffDelay": "5s"}, "invalid value: 5s: spec.delivery.backoffDelay"),
        ({"timeout": "PT"}, "invalid value: PT: spec.delivery.timeout"),
        ({"backoffPolicy": "cubic"}, "invalid value: cubic: spec.delivery.backoffPolicy"),
        ({"retry": -1}, "invalid value: -1: spec.delivery.retry"),
    ],
)
def test_how_no_trigger_may_deliver(given: Object, said: str) -> None:
    with pytest.raises(Refused) as raised:
        admitting.admitted(kinds.TRIGGER, trigger(delivery=given), None)
    assert said in raised.value.status["message"]


def test_a_schedule_that_knative_refuses_is_refused() -> None:
    source = {
        "metadata": {"name": "p", "namespace": "shop"},
        "spec": {"schedule": "@every 5m", "sink": SUBSCRIBER},
    }
    with pytest.raises(Refused) as raised:
        admitting.admitted(kinds.PING_SOURCE, source, None)
    assert "Knative takes no @every" in raised.value.status["message"]


def test_a_trigger_stays_at_its_broker() -> None:
    before = admitting.admitted(kinds.TRIGGER, trigger(), None)

    told = refusal(kinds.TRIGGER, trigger(broker="other"), before)

    assert told == "Immutable fields changed (-old +new): spec.broker"


def refusal(kind: kinds.Kind, found: Object, before: Object | None = None) -> str:
    with pytest.raises(Refused) as raised:
        admitting.admitted(kind, found, before)
    return raised.value.status["message"].partition("validation failed: ")[2]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("meta", "field"),
    [
        ({"name": "A_b"}, "metadata.name"),
        ({"name": "a", "labels": {"a b": "c"}}, "metadata.labels"),
        ({"name": "a", "labels": {"a": "c d"}}, "metadata.labels"),
        ({"name": "a", "labels": {"a": 1}}, "metadata.labels"),
        ({"name": "a", "annotations": {"a": 1}}, "metadata.annotations"),
    ],
)
def test_what_kubernetes_calls_nothing(meta: Object, field: str) -> None:
    with pytest.raises(Refused) as raised:
        admitting.admitted(kinds.CONFIG_MAP, {"metadata": meta}, None)

    assert raised.value.status["code"] == 422
    assert [each["field"] for each in raised.value.status["details"]["causes"]] == [field]
