"""A Service -> its revisions, as Knative names and makes them."""

from __future__ import annotations

from typing import Any

from mlfunc.supervisor.control import configurations
from mlfunc.supervisor.state.objects import Objects

Object = dict[str, Any]


def service(name: str | None = None, **annotations: str) -> Object:
    meta = {"annotations": annotations, "labels": {"l": "1"}, **({"name": name} if name else {})}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "f", "namespace": "default", "labels": {"of": "service"}},
        "spec": {"template": {"metadata": meta, "spec": {"containers": [{"image": "i"}]}}},
    }


def configured(objects: Objects, wanted: Object) -> Object:
    return objects.write(configurations.wanted(objects.write(wanted), None))


def test_the_revision_is_named_by_the_generation_of_its_template() -> None:
    objects = Objects()
    first = configurations.newest(configured(objects, service()), [])
    second = configurations.newest(configured(objects, service(a="1")), [])

    assert (first.name, second.name) == ("f-00001", "f-00002")
    assert second.make is not None
    labels = second.make["metadata"]["labels"]
    assert labels["serving.knative.dev/configurationGeneration"] == "2"
    assert labels["serving.knative.dev/service"] == "f"
    assert labels["l"] == "1"
    assert "of" not in labels
    assert second.make["spec"]["containers"] == [{"name": "user-container", "image": "i"}]


def test_a_revision_may_be_given_a_name_that_nobody_has() -> None:
    objects = Objects()
    chosen = configurations.newest(configured(objects, service("f-mine")), [])
    assert chosen.name == "f-mine"
    assert chosen.make is not None
    made = objects.write(chosen.make)
    other = configured(objects, service("f-mine", a="1"))

    taken = configurations.newest(other, [made])

    assert taken.make is None
    status = configurations.status(other, taken, [made], 0)
    (told,) = status["conditions"]
    assert (told["status"], told["reason"]) == ("False", "RevisionFailed")
    assert 'revisions.serving.knative.dev "f-mine" already exists' in told["message"]


def test_a_name_that_is_too_long_ends_in_a_digest_of_it() -> None:
    long = "a" * 60

    name = configurations.child_name(long, "-00001")

    assert len(name) == 63
    assert name.startswith("a" * 25)
    assert name.endswith("-00001")
    assert name != configurations.child_name("a" * 61, "-00001")
