from __future__ import annotations

import argparse
import importlib.util
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from tests.rig import base, containers
from tests.rig.registry import registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rig.registry import Registry

YAML = "name: hello\npredictor: predictor.py:Sentiment\n"
TEMPLATE = Path(__file__).parents[3] / "templates" / "plain"


@pytest.fixture(scope="module")
def base_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base.write(tmp_path_factory.mktemp("base") / "layout")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@dataclass(frozen=True)
class Project:
    """A project, the cache that its builds share, and where its image goes."""

    folder: Path
    home: Path
    image: str
    base: str

    def run(self, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """`mlfunc`, in the project's folder."""
        given = {"MLFUNC_HOME": str(self.home), "MLFUNC_BASE_IMAGE": self.base, **variables}
        known = {k: v for k, v in os.environ.items() if not k.startswith("MLFUNC_")}
        argv = [sys.executable, "-m", "mlfunc", *args]
        return subprocess.run(
            argv, cwd=self.folder, env={**known, **given}, capture_output=True, text=True
        )

    def build(self, *args: str, **variables: str) -> dict[str, Any]:
        """What a build says for programs."""
        ended = self.run("build", "-o", "json", "--image", self.image, *args, **variables)
        assert ended.returncode == 0, ended.stderr
        said: dict[str, Any] = json.loads(ended.stdout)
        return said

    def change(self) -> None:
        """One line of the predictor."""
        path = self.folder / "predictor.py"
        path.write_text(path.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path, base_image: Path, here: Registry) -> Project:
    folder = copied(tmp_path / "project")
    image = f"{here.address}/{tmp_path.name.lower().replace('_', '-')}/hello"
    return Project(folder, tmp_path.parent / "home", image, f"oci:{base_image}")


def copied(folder: Path) -> Path:
    shutil.copytree(TEMPLATE, folder)
    (folder / "mlfunc.yaml").write_text(YAML, encoding="utf-8")
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def statuses(said: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["status"] for each in said["layers"]}


def test_a_build_that_changes_nothing_sends_nothing(project: Project) -> None:
    first = project.build()
    second = project.build()
    assert second["digest"] == first["digest"]
    assert second["uploaded_bytes"] == 0
    assert set(statuses(second).values()) == {"reused"}


def test_what_a_cluster_alone_reads_of_mlfunc_yaml_makes_nothing_and_sends_nothing(
    project: Project,
) -> None:
    first = project.build()
    (project.folder / "mlfunc.yaml").write_text(f"{YAML}scale: {{max: 3}}\n# why\n")
    second = project.build()
    assert (second["digest"], second["uploaded_bytes"]) == (first["digest"], 0)
    assert {each["why"] for each in second["layers"][1:]} == {"unchanged"}


def test_one_line_moves_the_app_alone(project: Project) -> None:
    project.build()
    project.change()
    said = project.build()
    moved = {each["name"]: each["why"] for each in said["layers"] if each["status"] != "reused"}
    assert moved == {"app": "predictor.py changed"}
    assert said["uploaded_bytes"] < 100_000


def test_a_machine_without_cache_reuses_what_the_registry_has(project: Project) -> None:
    """Nothing is resolved, downloaded or made: no index and no store can help."""
    first = project.build()
    elsewhere = Project(project.folder, project.home / "none", project.image, project.base)
    said = elsewhere.build(UV_OFFLINE="1", UV_NO_CACHE="1", UV_DEFAULT_INDEX="")
    assert (said["digest"], said["uploaded_bytes"]) == (first["digest"], 0)


def test_two_clean_builds_on_two_paths_are_one_image(project: Project, tmp_path: Path) -> None:
    other = Project(
        copied(tmp_path / "other"), tmp_path / "home", project.image + "2", project.base
    )
    assert other.build()["digest"] == project.build()["digest"]


def test_it_answers_as_nobody_on_a_root_that_cannot_be_written(
    project: Project, tmp_path: Path
) -> None:
    project.build()
    with (
        containers.containerd(tmp_path / "containerd") as daemon,
        daemon.unpacked(project.image + ":latest") as root,
        containers.running(
            root, containers.image_config(project.image), tmp_path / "run", port=free_port()
        ) as container,
    ):
        container.wait_ready()
        assert container.post({"text": "hello"})
        assert container.stop() == 0


def test_a_plan_changes_nothing(project: Project, tmp_path: Path) -> None:
    # A store of its own: in another one its layers may be there already.
    project = replace(project, home=tmp_path / "home")
    ended = project.run("build", "--plan", "-o", "json", "--image", project.image)
    said = json.loads(ended.stdout)
    sizes = {each["name"]: each["size"] for each in said["layers"]}
    assert said["size"] == sum(sizes.values())
    assert said["size"] > said["to_build"] >= sizes["app"] > 0
    assert not (project.folder / "mlfunc.lock").exists()
    assert project.run("images", project.image).returncode == 6


def test_a_plan_for_nowhere_does_not_say_that_something_is_there(project: Project) -> None:
    ended = project.run("build", "--plan")
    assert (ended.returncode, ended.stderr) == (0, "resolving ...\n")
    assert " in all, of which about " in ended.stdout.splitlines()[-1]


def test_a_base_in_a_registry_without_tls_is_told_how_to_be_written(
    project: Project, here: Registry
) -> None:
    ended = project.run("build", MLFUNC_BASE_IMAGE=f"https://{here.address}/base:1")
    assert ended.returncode == 6
    assert f"cannot get the base image {here.address}/base" in ended.stderr
    assert f"write http://{here.address}/..." in ended.stderr


@pytest.mark.parametrize("place", ["out", "out.tar"])
def test_it_is_written_where_skopeo_reads_it(project: Project, tmp_path: Path, place: str) -> None:
    said = project.build("--output", str(tmp_path / place))
    kind = "oci-archive" if place.endswith(".tar") else "oci"
    argv = [containers.program("skopeo", "skopeo"), "inspect", f"{kind}:{tmp_path / place}:latest"]
    read = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
    assert read["Digest"] == said["digest"]
    assert said["pushed"] is False


def test_images_shows_the_layers_of_what_was_built_last(project: Project) -> None:
    built = project.build("--no-push", "--image", "hello.example.com/hello")
    ended = project.run("images", "-o", "json", MLFUNC_REGISTRY="hello.example.com")
    said = json.loads(ended.stdout)
    assert said["digest"] == built["digest"]
    assert [each["digest"] for each in said["layers"]] == [e["digest"] for e in built["layers"]]


def test_images_finds_what_was_pushed_by_the_name_of_the_function(project: Project) -> None:
    built = project.build()
    for args in ((), ("hello",), (project.image,)):
        said = json.loads(project.run("images", *args, "-o", "json").stdout)
        assert (said["digest"], project.image in said["image"]) == (built["digest"], True)


@pytest.mark.parametrize("place", ["out", "out.tar"])
def test_what_was_written_is_said_and_shown_by_its_path(project: Project, place: str) -> None:
    ended = project.run("build", "--output", place, "--tag", "v1")
    assert ended.returncode == 0, ended.stderr
    assert f"it is in {place}" in ended.stderr
    for name in (place, f"oci:{place}:v1"):
        shown = project.run("images", name)
        assert (shown.returncode, "/workspace" in shown.stdout) == (0, True), shown.stderr


def test_an_image_of_a_model_is_written_beside_and_never_lost(project: Project) -> None:
    (project.folder / "weights").mkdir()
    (project.folder / "weights/a.bin").write_bytes(b"0" * 1000)
    models = "models: {default: {uri: ./weights, delivery: volume}}\n"
    (project.folder / "mlfunc.yaml").write_text(YAML + models, encoding="utf-8")

    refused = project.run("build", "--output", "out.tar")
    said = project.build("--output", "out")

    assert (refused.returncode, "--output FOLDER" in refused.stderr) == (2, True)
    index = json.loads((project.folder / "out/index.json").read_text())
    assert len(index["manifests"]) == 2
    assert said["digest"] in project.run("images", "out").stdout


@pytest.mark.parametrize("name", ["oci:nowhere", "oci:predictor.py", "nope.tar", "predictor.py"])
def test_what_is_no_image_is_said_with_what_to_do(project: Project, name: str) -> None:
    ended = project.run("images", name)
    assert ended.returncode in {2, 5}
    assert "try: " in ended.stderr


def test_a_base_that_cannot_be_had_is_named(project: Project) -> None:
    ended = project.run("build", MLFUNC_BASE_IMAGE="127.0.0.1:1/python:3.11-slim")
    assert ended.returncode == 6
    assert "the base image 127.0.0.1:1/python:3.11-slim: nothing listens" in ended.stderr
    assert "build: {base: ...}" in ended.stderr


def test_a_cache_of_no_size_is_refused_before_anything_is_made(project: Project) -> None:
    ended = project.run("build", MLFUNC_CACHE_SIZE="lots")
    assert (ended.returncode, "resolving" in ended.stderr) == (2, False)


def test_without_a_registry_it_is_kept_and_said_how_to_push(project: Project) -> None:
    ended = project.run("build")
    assert ended.returncode == 0, ended.stderr
    assert "--registry" in ended.stderr


def test_locked_refuses_what_would_change_the_lock(project: Project) -> None:
    ended = project.run("build", "--locked", "--image", project.image)
    assert (ended.returncode, "bases, python" in ended.stderr) == (2, True)
    project.build()
    project.build("--locked")


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--push"], 2, "which registry"),
        (["--image", "example.com/UPPER"], 2, "names no image"),
        (["--image", "x.io/y@sha256:" + "0" * 64], 2, "by its digest"),
        (["--platform", "windows/amd64"], 2, "linux/amd64"),
        (["--registry", "127.0.0.1:1"], 6, "127.0.0.1:1"),
        (["--registry", "127.0.0.1:1", "--tag", "a b"], 2, "the tag 'a b'"),
        (["--tag", "a b"], 2, "the tag 'a b'"),
    ],
    ids=["no registry", "capitals", "digest", "platform", "nobody listens", "tag", "tag alone"],
)
def test_what_cannot_be_done_is_said(
    project: Project, args: list[str], code: int, said: str
) -> None:
    ended = project.run("build", *args)
    assert (ended.returncode, said in ended.stderr) == (code, True), ended.stderr


def test_a_project_without_its_predictor_is_refused(project: Project) -> None:
    (project.folder / "predictor.py").unlink()
    ended = project.run("build")
    assert (ended.returncode, "predictor.py" in ended.stderr) == (2, True)


def test_a_base_without_the_python_is_refused_with_those_that_it_has(project: Project) -> None:
    (project.folder / "mlfunc.yaml").write_text(YAML + 'python: "3.9"\n', encoding="utf-8")
    ended = project.run("build")
    assert (ended.returncode, "no Python 3.9" in ended.stderr) == (2, True), ended.stderr


def test_a_base_for_another_platform_is_refused(project: Project) -> None:
    ended = project.run("build", "--platform", "linux/arm64")
    assert ended.returncode == 5, ended.stderr
    assert "linux/amd64" in ended.stderr


def test_a_tag_that_was_for_another_platform_is_said_to_be_replaced(
    project: Project, tmp_path: Path
) -> None:
    (other, _) = base.OTHER
    there = base.write(tmp_path / "other", other)
    project.build("--platform", f"linux/{other}", MLFUNC_BASE_IMAGE=f"oci:{there}")

    ended = project.run("build", "--image", project.image)

    assert f"is no image for linux/{base._ARCHS[base.MACHINE]}, and is replaced" in ended.stderr
    assert "is replaced" not in project.run("build", "--image", project.image).stderr


def test_a_time_that_no_image_can_have_is_said_before_anything_is_made(project: Project) -> None:
    ended = project.run(
        "build", "--image", project.image, SOURCE_DATE_EPOCH="99999999999999999", MLFUNC_HOME="none"
    )

    assert ended.returncode == 2
    assert "is no number of seconds" in ended.stderr
    assert "packing" not in ended.stderr


def test_a_tag_that_breaks_the_rules_is_refused_with_the_rule(project: Project) -> None:
    ended = project.run("build", "--image", project.image, "--tag", "not/a tag")

    assert ended.returncode == 2
    assert "names no image" in ended.stderr


def test_a_base_without_compiled_modules_gets_them(project: Project, tmp_path: Path) -> None:
    bare = base.write(tmp_path / "bare", bare=True)
    output = tmp_path / "image"

    built = project.build("--output", str(output), MLFUNC_BASE_IMAGE=f"oci:{bare}")

    _, layer, *_ = built["layers"]
    assert layer["name"] == "standard library"
    compiled = _contents(output, layer["digest"])
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    path = f"usr/local/lib/python{version}/__pycache__/argparse.{sys.implementation.cache_tag}.pyc"
    assert compiled[path][4:8] == b"\x03\0\0\0"  # PEP 552: by hash, which is checked
    source = Path(argparse.__file__).read_bytes()
    assert compiled[path][8:16] == importlib.util.source_hash(source)
    assert not any("/test/" in name for name in compiled)


def _contents(layout: Path, digest: str) -> dict[str, bytes]:
    blob = (layout / "blobs" / digest.replace(":", "/")).read_bytes()
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(blob)
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        files = ((each.name, archive.extractfile(each)) for each in archive if each.isreg())
        return {name: file.read() for name, file in files if file}
