"""Features of Knative: which a function needs, which of them are off, and what switches them on."""

from __future__ import annotations

import json
import shlex
from typing import Any

from hypothesis import assume, given
from mlfunc.errors import UsageError
from mlfunc.knative import features, service
from mlfunc.knative.release import Model, Release

from tests.func.knative.functions import release, releases


@given(releases())
def test_a_function_needs_what_its_manifest_has(given_: Release) -> None:
    try:
        spec = service.manifest(given_)["spec"]["template"]["spec"]
    except UsageError:
        assume(False)
    else:
        needed = {each.feature for each in features.needed(given_.function, given_.models)}
        assert needed == _in_manifest(spec) | {features.EMPTY_DIR}


def test_what_nobody_touched_is_as_knative_has_it() -> None:
    needs = features.needed(release(placement={"nodeSelector": {"a": "b"}}).function)

    assert [each.feature for each in features.missing(needs, {})] == [features.NODE_SELECTOR]


def test_what_may_not_be_read_is_not_held_against_the_cluster() -> None:
    needs = features.needed(release(placement={"nodeSelector": {"a": "b"}}).function)

    assert features.missing(needs, None) == ()


def test_settings_are_read_as_knative_reads_them() -> None:
    flag = features.IMAGE.flag

    assert features.is_on(features.IMAGE, {flag: "Enabled"})
    assert features.is_on(features.IMAGE, {flag: "allowed"})
    assert not features.is_on(features.IMAGE, {flag: "disabled"})
    assert not features.is_on(features.EMPTY_DIR, {features.EMPTY_DIR.flag: "disabled"})


def test_one_command_switches_all_of_them_on() -> None:
    model = Model("m", "hf://a/b", "volume", 1, image="x")
    written = {"path": "/x", "persistentVolumeClaim": {"claimName": "c"}}
    given_ = release(model, volumes=[written])
    needs = features.missing(features.needed(given_.function, given_.models), {})

    *command, patch = shlex.split(features.switch_on(needs))

    assert command == [
        *("kubectl", "patch", "configmap", "config-features", "-n", "knative-serving"),
        *("--type", "merge", "-p"),
    ]
    assert json.loads(patch) == {
        "data": {
            "kubernetes.podspec-volumes-image": "enabled",
            "kubernetes.podspec-persistent-volume-claim": "enabled",
            "kubernetes.podspec-persistent-volume-write": "enabled",
        }
    }


def _in_manifest(spec: dict[str, Any]) -> set[features.Feature]:
    found = {
        features.IMAGE: any("image" in each for each in spec["volumes"]),
        features.CLAIM: any("persistentVolumeClaim" in each for each in spec["volumes"]),
        features.CLAIM_WRITE: any(
            not each.get("persistentVolumeClaim", {"readOnly": True}).get("readOnly")
            for each in spec["volumes"]
        ),
        features.NODE_SELECTOR: "nodeSelector" in spec,
        features.TOLERATIONS: "tolerations" in spec,
    }
    return {feature for feature, there in found.items() if there}
