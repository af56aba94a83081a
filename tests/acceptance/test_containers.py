"""Our images in others' hands: skopeo and containerd pull them, runc runs them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.rig import base
from tests.rig.containers import containerd, image_config, program, running
from tests.rig.registry import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rig.containers import Containerd
    from tests.rig.registry import Registry

ROOT = Path(__file__).parents[2]
_ELF = b"\x7fELF"
_MACHINES = {0x3E: "x86_64", 0xB7: "aarch64"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    with containerd(tmp_path_factory.mktemp("containerd")) as started:
        yield started


def machine(path: Path) -> str | None:
    """What an ELF file is for; None: it is no such file."""
    with path.open("rb") as file:
        head = file.read(20)
    if not head.startswith(_ELF):
        return None
    return _MACHINES[int.from_bytes(head[18:20], "little")]


def machines(root: Path) -> set[str]:
    """Of every shared library and program that a build has put there."""
    files = (path for path in (root / "layers").rglob("*") if path.is_file())
    return {found for path in files if not path.is_symlink() and (found := machine(path))}


def test_the_sample_is_pulled_and_answers_as_nobody_known_from_a_read_only_root(
    shelf: Registry, seasoned: Any, node: Containerd, tmp_path: Path
) -> None:
    sample = tmp_path / "similarity"
    shutil.copytree(ROOT / "samples" / "similarity", sample)
    name = f"{shelf.address}/samples/similarity:latest"
    told = seasoned.build(sample, "--image", name)

    assert not any("nvidia" in layer["name"].lower() for layer in told["layers"])
    config = image_config(name)
    with (
        node.unpacked(name) as root,
        running(root, config, tmp_path / "bundle", port=free_port()) as container,
    ):
        container.wait_ready()
        best = container.post({"text": "a happy dog"})[0]
        code = container.stop()
        built_for = machines(root)

    assert best["sentence"] == "The puppy wags its tail with joy."
    assert code == 0, container.log.read_text()
    assert built_for == {base.MACHINE}


def test_skopeo_takes_an_image_with_all_its_layers(
    shelf: Registry, seasoned: Any, project: Path, tmp_path: Path
) -> None:
    name = f"{shelf.address}/taken/greeter:latest"
    told = seasoned.build(project, "--image", name)
    copy = [program("skopeo", "skopeo"), "copy", "--quiet", "--src-tls-verify=false"]
    subprocess.run([*copy, f"docker://{name}", f"oci:{tmp_path}/taken:latest"], check=True)

    blobs = {path.name for path in (tmp_path / "taken" / "blobs" / "sha256").iterdir()}
    assert {told["digest"].partition(":")[2]} <= blobs
    assert {layer["digest"].partition(":")[2] for layer in told["layers"]} <= blobs


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_containerd_runs_the_smallest_function(
    shelf: Registry,
    seasoned: Any,
    node: Containerd,
    project: Path,
    tmp_path: Path,
    compression: str,
) -> None:
    name = f"{shelf.address}/run/greeter:{compression}"
    seasoned.build(project, "--image", name, "--compression", compression)
    with (
        node.unpacked(name) as root,
        running(root, image_config(name), tmp_path / "bundle", port=free_port()) as container,
    ):
        container.wait_ready()
        reply = container.post({"name": "Grace"})
        code = container.stop()

    assert reply == "Hello Grace"
    assert code == 0, container.log.read_text()


def test_a_build_for_another_architecture_holds_nothing_of_this_one(
    shelf: Registry, seasoned: Any, node: Containerd, tmp_path: Path
) -> None:
    other, machine_there = base.OTHER
    folder = tmp_path / "plain"
    shutil.copytree(ROOT / "templates" / "onnx", folder)
    layout = base.write(tmp_path / "base", other)
    name = f"{shelf.address}/foreign/plain:latest"
    env = {"MLFUNC_BASE_IMAGE": f"oci:{layout}"}
    told = seasoned.build(folder, "--platform", f"linux/{other}", "--image", name, **env)

    assert told["platform"] == f"linux/{other}"
    assert image_config(name, other)["architecture"] == other
    with node.unpacked(name, f"linux/{other}") as root:
        assert machines(root) == {machine_there}


@pytest.mark.parametrize("where", ["layout", "image.tar"])
def test_an_image_is_written_where_skopeo_reads_it(
    seasoned: Any, project: Path, tmp_path: Path, where: str
) -> None:
    told = seasoned.build(project, "--output", str(tmp_path / where), MLFUNC_REGISTRY="")
    kind = "oci-archive" if where.endswith(".tar") else "oci"
    inspect = [program("skopeo", "skopeo"), "inspect", f"{kind}:{tmp_path / where}"]
    said = subprocess.run(inspect, capture_output=True, text=True, check=True)

    assert json.loads(said.stdout)["Digest"] == told["digest"]
    assert told["uploaded_bytes"] == 0
    assert (tmp_path / where).is_dir() is not where.endswith(".tar")
