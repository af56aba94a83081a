"""Volumes: each mounted, each source once, and the user's instead of ours."""

from __future__ import annotations

from typing import Any

import pytest
from mlfunc.knative import volumes
from mlfunc.knative.release import Model, Release

from tests.func.knative.functions import IMAGE, release

EMPTY: dict[str, Any] = {"emptyDir": {}}
BIG: dict[str, Any] = {"emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}


def by_path(given: Release) -> dict[str, dict[str, Any]]:
    """What is mounted where, without its name."""
    sources = {each.pop("name"): each for each in volumes.of(given)}
    return {each["mountPath"]: sources[each["name"]] for each in volumes.mounts(given)}


def test_each_way_of_delivery_has_its_volume() -> None:
    models = (
        Model("baked", "hf://a/b", "baked", 1),
        Model("big", "hf://a/c", "volume", 1, image=IMAGE),
        Model("kept", "pvc://shared/kept", "pvc", 1),
        Model("fetched", "s3://bucket/x", "stream", 1),
    )

    assert by_path(release(*models)) == {
        "/tmp": EMPTY,
        "/volumes/big": {"image": {"reference": IMAGE, "pullPolicy": "IfNotPresent"}},
        "/volumes/kept": {"persistentVolumeClaim": {"claimName": "shared", "readOnly": True}},
        "/tmp/models/fetched": EMPTY,
    }


@pytest.mark.parametrize("accelerator", ["nvidia", "amd"])
def test_what_computes_on_several_devices_can_share_memory(accelerator: str) -> None:
    found = by_path(release(accelerator=accelerator))

    assert found["/dev/shm"] == {"emptyDir": {"medium": "Memory"}}
    assert "/dev/shm" not in by_path(release())


@pytest.mark.parametrize("path", ["/tmp", "/tmp/"])
def test_a_volume_of_the_user_is_there_instead_of_ours(path: str) -> None:
    assert by_path(release(volumes=[{"path": path, **BIG}])) == {"/tmp": BIG}


def test_models_are_fetched_to_the_volume_that_the_user_has_for_them() -> None:
    fetched = Model("fetched", "s3://bucket/x", "stream", 1)
    own = {"path": "/tmp/models", "persistentVolumeClaim": {"claimName": "models"}}

    assert by_path(release(fetched, volumes=[own])) == {
        "/tmp": EMPTY,
        "/tmp/models": {"persistentVolumeClaim": {"claimName": "models"}},
    }


def test_a_claim_is_one_volume_however_often_it_is_mounted() -> None:
    """The kubelet waits for ever for a claim that a pod has under two names."""
    models = (Model("a", "pvc://c/a", "pvc", 1), Model("b", "pvc://c/b", "pvc", 1))
    written = {"path": "/out", "persistentVolumeClaim": {"claimName": "c"}}

    only_read, also_written = release(*models), release(*models, volumes=[written])

    assert volumes.of(only_read)[1:] == [
        {"name": "claim-c", "persistentVolumeClaim": {"claimName": "c", "readOnly": True}}
    ]
    assert volumes.of(also_written)[1:] == [
        {"name": "claim-c", "persistentVolumeClaim": {"claimName": "c"}}
    ]
    assert volumes.mounts(also_written)[1:] == [
        {"name": "claim-c", "mountPath": "/volumes/a", "readOnly": True},
        {"name": "claim-c", "mountPath": "/volumes/b", "readOnly": True},
        {"name": "claim-c", "mountPath": "/out"},
    ]


def test_a_volume_keeps_its_name_whatever_comes_before_it() -> None:
    one, two = {"path": "/one/two", **EMPTY}, {"path": "/one-two", "secret": "hub"}

    names = [{each["name"] for each in volumes.of(release(volumes=v))} for v in ([one], [two, one])]

    assert names[0] < names[1]


def test_names_that_read_alike_are_not_the_same() -> None:
    given = release(
        volumes=[{"path": path, **EMPTY} for path in ("/a/b", "/a-b", "/a_b", f"/{'a' * 200}")],
    )

    names = [each["name"] for each in volumes.of(given)]

    assert len({*names}) == 5
    assert max(map(len, names)) <= 63


@pytest.mark.parametrize(
    "path",
    ["/..", "//", "/dev", "/dev/log", "/proc/", "/workspace", "/a/../layers", "/a:b", "/volumes/m"],
)
def test_places_that_are_taken_are_refused(path: str) -> None:
    model = Model("m", "hf://a/b", "volume", 1, image=IMAGE)
    given = release(model, volumes=[{"path": path, **EMPTY}])

    (found,) = volumes.problems(given.function)

    assert found.startswith("volumes[0].path: ")


def test_two_volumes_at_one_path_are_refused() -> None:
    given = release(volumes=[{"path": "/a", **EMPTY}, {"path": "/a/", "secret": "hub"}])

    assert list(volumes.problems(given.function)) == [
        "volumes[1].path: /a is the place of volumes[0]: mount it at another"
    ]
