"""kn's words for sinks, both ways."""

from __future__ import annotations

import pytest
from mlfunc.knative import sinks


@pytest.mark.parametrize(
    ("sink", "version", "kind"),
    [
        ("ksvc:audit", "serving.knative.dev/v1", "Service"),
        ("broker:failed", "eventing.knative.dev/v1", "Broker"),
        ("channel:late", "messaging.knative.dev/v1", "Channel"),
        ("svc:collector", "v1", "Service"),
    ],
)
def test_a_sink_is_an_object_of_the_same_namespace(sink: str, version: str, kind: str) -> None:
    found = sinks.destination(sink, "shop")

    name = sink.partition(":")[2]
    ref = {"apiVersion": version, "kind": kind, "name": name, "namespace": "shop"}
    assert found == {"ref": ref}
    assert sinks.written(found) == sink


def test_a_url_is_itself() -> None:
    assert sinks.destination("http://sink/path", "shop") == {"uri": "http://sink/path"}
    assert sinks.written({"uri": "http://sink/path"}) == "http://sink/path"


def test_an_object_of_another_kind_is_called_by_it() -> None:
    ref = {"apiVersion": "sinks.knative.dev/v1alpha1", "kind": "JobSink", "name": "late"}

    assert sinks.written({"ref": ref}) == "JobSink:late"
