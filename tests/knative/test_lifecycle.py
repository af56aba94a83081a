"""Our buildpacks under the real lifecycle of Cloud Native Buildpacks, and our images before it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.rig import base, containers
from tests.rig.containers import Containerd, containerd, image_config, running
from tests.rig.lifecycle import BuildImage, build_image
from tests.rig.registry import Registry, free_port, registry

if TYPE_CHECKING:
    from collections.abc import Iterator

_MLFUNC = str(Path(sys.executable).with_name("mlfunc"))
_PREDICTOR = """
class Words:
    def load(self, context):
        self.words = (context.model("default") / "words.txt").read_text().split()

    def predict(self, n: int) -> str:
        return self.words[n]
"""


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry(tmp_path_factory.mktemp("registry")) as running_registry:
        yield running_registry


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base.write(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def build(layout: Path, shelf: Registry, tmp_path_factory: pytest.TempPathFactory) -> BuildImage:
    run_image = f"{shelf.address}/base:1"
    _copy(f"oci:{layout}:latest", run_image)
    return build_image(layout, tmp_path_factory.mktemp("build"), run_image)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    with containerd(tmp_path_factory.mktemp("containerd")) as started:
        yield started


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "words"
    (folder / "weights").mkdir(parents=True)
    (folder / "weights" / "words.txt").write_text("zero one two")
    (folder / "predictor.py").write_text(_PREDICTOR)
    (folder / "requirements.txt").write_text("tabulate==0.9.0\n")
    text = "name: words\npredictor: predictor.py:Words\nmodels: {default: ./weights}\n"
    (folder / "mlfunc.yaml").write_text(text)
    return folder


def _copy(source: str, reference: str) -> None:
    skopeo = [containers.program("skopeo", "skopeo"), "copy", "--quiet", "--dest-tls-verify=false"]
    subprocess.run([*skopeo, source, f"docker://{reference}"], check=True)


def _config(shelf: Registry, repository: str) -> dict[str, Any]:
    """The configuration of `latest`. The rebaser mixes media types, which skopeo does not read."""
    manifest = _get(shelf, f"{repository}/manifests/latest")
    return _get(shelf, f"{repository}/blobs/{manifest['config']['digest']}")


def _get(shelf: Registry, path: str) -> dict[str, Any]:
    accept = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
    request = urllib.request.Request(f"http://{shelf.address}/v2/{path}", headers=accept)
    with urllib.request.urlopen(request) as reply:
        found: dict[str, Any] = json.load(reply)
        return found


def test_the_lifecycle_builds_an_image_that_answers_and_has_the_weights_once(
    build: BuildImage, shelf: Registry, daemon: Containerd, app: Path, tmp_path: Path
) -> None:
    image = f"{shelf.address}/words:1"

    build.create(image, app)

    with (
        daemon.unpacked(image) as root,
        running(root, image_config(image), tmp_path / "run", port=free_port()) as container,
    ):
        found = [str(path.relative_to(root)) for path in root.rglob("words.txt")]
        assert found == ["layers/mlfunc_model/default/words.txt"]
        assert not list(root.glob("workspace/requirements.txt"))
        container.wait_ready()
        assert container.post({"n": 2}) == "two"
        assert container.stop() == 0


def test_a_second_build_makes_no_layer_of_what_the_runtime_does_not_read(
    build: BuildImage, shelf: Registry, app: Path
) -> None:
    image = f"{shelf.address}/words:2"
    build.create(image, app)
    with (app / "mlfunc.yaml").open("a") as described:
        described.write("scale: {max: 3}\n")

    said = build.create(image, app)

    assert "Adding layer" not in said
    for layer in ("mlfunc/model:default", "mlfunc/python:deps"):
        assert f"Reusing layer '{layer}'" in said


def test_a_model_that_is_dropped_leaves_the_image(
    build: BuildImage, shelf: Registry, daemon: Containerd, app: Path
) -> None:
    image = f"{shelf.address}/words:3"
    build.create(image, app)
    (app / "mlfunc.yaml").write_text("name: words\npredictor: predictor.py:Words\n")
    (app / "weights" / "words.txt").unlink()

    build.create(image, app)

    with daemon.unpacked(image) as root:
        assert not list(root.rglob("words.txt"))


def test_our_own_image_is_put_on_another_base_by_the_lifecycle(
    build: BuildImage,
    shelf: Registry,
    daemon: Containerd,
    app: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFUNC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFUNC_BASE_IMAGE", f"http://{build.run_image}")
    command = [_MLFUNC, "build", "--registry", shelf.address, "--path", str(app)]
    subprocess.run(command, check=True)
    image = f"{shelf.address}/words:latest"
    before = image_config(image)["rootfs"]["diff_ids"]
    # A new version of the base, by the same name.
    _copy(f"oci:{base.write(tmp_path / 'other', note='another')}:latest", build.run_image)

    build.call("rebaser", f"-insecure-registry={shelf.address}", image)

    after = _config(shelf, "words")
    assert after["rootfs"]["diff_ids"][0] != before[0]
    assert after["rootfs"]["diff_ids"][1:] == before[1:]
    with (
        daemon.unpacked(image) as root,
        running(root, after, tmp_path / "run", port=free_port()) as container,
    ):
        assert (root / "etc" / "note").read_text() == "another"
        container.wait_ready()
        assert container.post({"n": 1}) == "one"
