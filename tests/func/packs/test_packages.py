"""Layers of packages: what shares one, what moves when something changes, the list of it all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from mlfunc import accelerators, function
from mlfunc.layers.tree import File, Link
from mlfunc.lock import Lock, Resolution, Wheel
from mlfunc.packs import accelerator, python
from mlfunc.project import Project, Target
from mlfunc.wheels import sbom

TARGET = Target("linux/amd64", "3.11", "cpu")
MIB = 2**20


def wheel(name: str, version: str, size: int | None, digest: str = "") -> Wheel:
    sha256 = (digest or name).encode().hex().ljust(64, "0")[:64]
    return Wheel(name, version, f"{name}-{version}-py3-none-any.whl", sha256, size, "https://x/y")


WHEELS = [
    wheel("flask", "3.1", MIB),
    wheel("scipy", "1.17", 38 * MIB),
    wheel("torch", "2.13.0+cpu", None),
    wheel("onnxruntime", "1.20", MIB),
]


def project(wheels: list[Wheel]) -> Project:
    described = function.parse(b"name: similarity\n")
    lock = Lock(python={TARGET.name: Resolution("sha256:x", wheels)})
    return Project(Path("/nowhere"), described, lock, TARGET, "/usr/local/bin/python3.11")


def keys(wheels: list[Wheel]) -> dict[str, str]:
    given = project(wheels)
    return {one.name: one.key for one in (*accelerator.layers(given), *python.layers(given))}


def test_large_wheels_and_those_of_unknown_size_in_the_stack_have_layers_of_their_own() -> None:
    assert list(keys(WHEELS)) == [
        "torch 2.13.0+cpu",
        "accelerator packages",
        "scipy 1.17",
        "dependencies",
    ]


def test_a_layer_is_about_as_large_as_its_wheels_where_the_index_tells() -> None:
    given = project(WHEELS)
    both = (*accelerator.layers(given), *python.layers(given))
    assert [each.wheels for each in both] == [None, MIB, 38 * MIB, MIB]


@pytest.mark.parametrize(
    ("number", "moved"), [(0, "dependencies"), (1, "scipy 1.17"), (2, "torch 2.13.0+cpu")]
)
def test_another_wheel_moves_its_own_layer_alone(number: int, moved: str) -> None:
    old = WHEELS[number]
    changed = [*WHEELS]
    changed[number] = wheel(old.name, old.version, old.size, "another")

    before, after = keys(WHEELS), keys(changed)
    assert {name for name in before if before[name] != after[name]} == {moved}


def test_another_base_moves_the_environment_alone() -> None:
    given = project(WHEELS)
    other = replace(given, interpreter="/usr/bin/python3.11")
    assert accelerator.layers(given)[0].key == accelerator.layers(other)[0].key
    assert python.layers(given)[0].key == python.layers(other)[0].key
    assert python.layers(given)[1].key != python.layers(other)[1].key


def test_the_environment_is_a_venv_on_the_base_that_sees_the_other_layers() -> None:
    entries = {entry.path: entry for entry in python.environment(project([])).entries}
    deps = "layers/mlfunc_python/deps"

    assert entries[f"{deps}/bin/python"] == Link(f"{deps}/bin/python", "/usr/local/bin/python3.11")
    config = entries[f"{deps}/pyvenv.cfg"]
    assert isinstance(config, File)
    assert config.pieces[0].startswith(b"home = /usr/local/bin\n")  # type: ignore[union-attr]
    pth = entries[f"{deps}/lib/python3.11/site-packages/mlfunc.pth"]
    assert isinstance(pth, File)
    assert isinstance(pth.pieces[0], bytes)
    assert pth.pieces[0].decode().splitlines() == [
        "/layers/mlfunc_accelerator/stack/lib/python3.11/site-packages",
        "/layers/mlfunc_app/runtime/lib/python3.11/site-packages",
    ]


def test_the_bill_of_materials_is_cyclonedx_and_the_same_each_time() -> None:
    bill = sbom.document(project(WHEELS))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill.decode()) is None
    assert b"pkg:pypi/torch@2.13.0%2Bcpu?file_name=torch-2.13.0%2Bcpu-py3-none-any.whl" in bill
    assert sbom.document(project(WHEELS)) == bill


def test_the_bill_of_materials_has_licences_as_packages_tell_them() -> None:
    told = [
        Wheel("a", "1", "a-1.whl", "a" * 64, license="MIT OR Apache-2.0"),
        Wheel("b", "1", "b-1.whl", "b" * 64, license_names=["MIT License", "BSD License"]),
        Wheel("c", "1", "c-1.whl", "c" * 64),
    ]
    bill = sbom.document(project(told)).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    assert [component.get("licenses") for component in json.loads(bill)["components"]] == [
        [{"expression": "MIT OR Apache-2.0"}],
        [{"license": {"id": "MIT"}}, {"license": {"name": "BSD License"}}],
        None,
    ]


def test_no_image_asks_for_all_gpus() -> None:
    for row in accelerators.TABLE.values():
        assert "NVIDIA_VISIBLE_DEVICES" not in row.variables


@pytest.mark.parametrize(
    ("package", "is_foreign"),
    [
        (wheel("nvidia-cublas", "13.0", 1), True),
        (wheel("triton", "3.7", 1), True),
        (wheel("torch", "2.8.0+cu128", 1), True),
        (wheel("onnxruntime-gpu", "1.20", 1), True),
        (wheel("nvidia-ml-py", "13.0", 1), False),
        (wheel("torch", "2.13.0+cpu", 1), False),
        (wheel("torch", "2.13.0", 1), False),
        (wheel("tritonclient", "2.0", 1), False),
    ],
    ids=lambda value: getattr(value, "file", value),
)
def test_what_a_cpu_function_cannot_carry(package: Wheel, is_foreign: bool) -> None:
    assert bool(accelerators.TABLE["cpu"].foreign_of([package])) is is_foreign
