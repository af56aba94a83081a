from __future__ import annotations

import json
from typing import Any

import pytest
from mlfunc.builder import composing, image, labels, outfit, previous, records
from mlfunc.builder.image import Below, Laid
from mlfunc.builder.planning import Part
from mlfunc.errors import UsageError
from mlfunc.layers.making import Made
from mlfunc.layers.tree import Tree
from mlfunc.oci.content import LAYER, LAYER_ZSTD, Bytes, Descriptor
from mlfunc.packs.layer import Launch, Layer, Process

BASE: dict[str, Any] = {
    "architecture": "arm64",
    "variant": "v8",
    "os": "linux",
    "config": {
        "Env": ["PATH=/usr/local/bin:/usr/bin", "LANG=C.UTF-8"],
        "Cmd": ["python3"],
        "Entrypoint": ["/init"],
        "Labels": {"io.buildpacks.base.distro.name": "debian"},
    },
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "b" * 64]},
    "history": [{"created_by": "base"}, {"created_by": "ENV", "empty_layer": True}],
}
BELOW = Below([{"mediaType": LAYER, "digest": "sha256:" + "c" * 64, "size": 9}], BASE)
WEB = Process("web", ("python", "-m", "mlfunc_runtime"), default=True)
LAUNCH = Launch(env={"HOME": "/tmp", "LANG": "de"}, processes=(WEB,), labels={"x": "y"})
PACKS = ("mlfunc/python", "mlfunc/app")
NAMED = {"image": "python:3.11", "digest": "sha256:" + "d" * 64, "top_layer": "sha256:" + "b" * 64}


def laid(name: str, pack: str, folder: str) -> Laid:
    digest = "sha256:" + name[0] * 64
    part = Part(
        Layer(name, folder, f"key of {name}", lambda _: Tree()),
        pack,
        f"/layers/{folder}",
        f"Layer: {name}",
    )
    return Laid(part, Made(digest, Descriptor(LAYER_ZSTD, digest, 5)))


OWN = [laid("1", "mlfunc/python", "deps"), laid("2", "mlfunc/python", "deps"), laid("3", "", "app")]


def composed(**more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    said = labels.labels(OWN, LAUNCH, PACKS, NAMED, "similarity")
    manifest, config = image.compose(BELOW, OWN, LAUNCH, said, **more)
    return json.loads(manifest.data), json.loads(config.data)


def label(name: str) -> Any:
    return json.loads(composed()[1]["config"]["Labels"][name])


def test_layers_lie_on_those_of_the_base_in_order() -> None:
    manifest, config = composed()
    assert [each["digest"][7] for each in manifest["layers"]] == ["c", "1", "2", "3"]
    assert [each[7] for each in config["rootfs"]["diff_ids"]] == ["b", "1", "2", "3"]


def test_history_tells_of_every_layer_and_of_nothing_else() -> None:
    history = composed()[1]["history"]
    filled = [each["created_by"] for each in history if not each.get("empty_layer")]
    assert filled == ["base", "Layer: 1", "Layer: 2", "Layer: 3"]


def test_history_fits_where_the_base_has_none() -> None:
    bare = Below(BELOW.layers, {**BASE, "history": None})
    _, config = image.compose(bare, OWN, LAUNCH, {})
    assert len(json.loads(config.data)["history"]) == 4


def test_it_starts_the_default_process_as_nobody_with_power() -> None:
    settings = composed()[1]["config"]
    assert settings["Entrypoint"] == ["/cnb/process/web"]
    assert (settings["User"], settings["WorkingDir"]) == ("1000:1000", "/workspace")
    assert "Cmd" not in settings


def test_variables_of_the_base_stay_and_ours_win() -> None:
    env = dict(each.partition("=")[::2] for each in composed()[1]["config"]["Env"])
    assert env["LANG"] == "de"
    assert env["PATH"].startswith("/cnb/process:/cnb/lifecycle:")
    assert env["PATH"].endswith(":/usr/local/bin:/usr/bin")
    assert env["CNB_PLATFORM_API"] == "0.15"


def test_it_is_for_what_the_base_is_for() -> None:
    config = composed()[1]
    assert (config["architecture"], config["variant"], config["os"]) == ("arm64", "v8", "linux")


def test_labels_of_the_base_stay() -> None:
    assert composed()[1]["config"]["Labels"]["io.buildpacks.base.distro.name"] == "debian"


def test_labels_that_are_true_of_the_base_alone_do_not_stay() -> None:
    revision = {"Labels": {"org.opencontainers.image.revision": "0123abc", "maintainer": "me"}}
    _, config = image.compose(Below(BELOW.layers, {**BASE, "config": revision}), OWN, LAUNCH, {})
    assert json.loads(config.data)["config"]["Labels"] == {"maintainer": "me"}


def test_func_finds_what_serves_in_it() -> None:
    assert composed()[1]["config"]["Labels"]["middleware-version"].startswith("mlfunc-")


def test_it_was_made_at_a_time_that_does_not_depend_on_the_clock() -> None:
    assert composed()[1]["created"] == "1980-01-01T00:00:01Z"
    assert composed(epoch=1_700_000_000)[1]["created"] == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize("given", ["soon", "-5", "1.5", ""])
def test_a_time_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        composing.epoch({"SOURCE_DATE_EPOCH": given})


def test_rebase_finds_the_top_layer_of_the_base() -> None:
    run = label("io.buildpacks.lifecycle.metadata")["runImage"]
    assert (run["image"], run["topLayer"]) == ("python:3.11", BASE["rootfs"]["diff_ids"][-1])


def test_no_lifecycle_takes_one_of_several_parts_for_the_whole() -> None:
    metadata = label("io.buildpacks.lifecycle.metadata")
    (deps,) = (each["layers"]["deps"] for each in metadata["buildpacks"] if each["layers"])
    assert deps["data"] == {"parts": 2}
    assert metadata["app"] == [{"sha": "sha256:" + "3" * 64}]


def test_processes_are_told_as_inspect_reads_them() -> None:
    (web,) = label("io.buildpacks.build.metadata")["processes"]
    assert (web["type"], web["command"]) == ("web", list(WEB.command))


def test_the_next_build_reads_back_what_the_layers_are() -> None:
    config = json.dumps(composed()[1]).encode()
    found = previous.told_by(config)
    assert {key: each.digest for key, each in found.items()} == {
        each.part.layer.key: each.made.descriptor.digest for each in OWN
    }


@pytest.mark.parametrize("text", ["", "[]", "{", '{"k": {"name": 1}}', "null"])
def test_a_label_of_somebody_else_tells_nothing(text: str) -> None:
    assert records.parse(text) == {}


def test_an_image_without_labels_tells_nothing() -> None:
    assert previous.told_by(b'{"config": null}') == {}


def test_an_image_of_a_model_is_nothing_but_its_layers() -> None:
    manifest, config = image.plain(OWN[:1], {"a": "b"}, "amd64")
    assert isinstance(manifest, Bytes)
    assert json.loads(config.data)["config"] == {"Labels": {"a": "b"}}


def test_the_real_launcher_could_read_the_metadata() -> None:
    import tomllib

    told = tomllib.loads(outfit.metadata([WEB], PACKS))
    assert told["processes"][0]["command"] == list(WEB.command)
    assert [each["id"] for each in told["buildpacks"]] == list(PACKS)


def test_a_process_of_a_later_buildpack_takes_the_place_of_an_earlier_one() -> None:
    other = Process("web", ("other",))
    assert image.together([LAUNCH, Launch(processes=(other,))]).processes == (other,)
