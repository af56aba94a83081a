from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mlfunc.errors import MlfuncError, NotFound, UsageError
from mlfunc.oci import content, layout
from mlfunc.oci.content import Image, Source
from mlfunc.oci.layout import Place
from mlfunc.oci.reference import parse

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeImage = Callable[..., Image]

NAME = parse("registry.example.com/team/x:1")


def inspect(name: str) -> dict[str, object]:
    argv = ["skopeo", "inspect", name]
    done = subprocess.run(argv, check=True, capture_output=True)
    return dict(json.loads(done.stdout))


def test_skopeo_reads_a_folder(make_image: MakeImage, tmp_path: Path) -> None:
    image = make_image(b"one", b"")
    layout.write(image, tmp_path / "out", NAME)
    seen = inspect(f"oci:{tmp_path / 'out'}:1")
    assert seen["Digest"] == image.manifest.descriptor.digest
    assert seen["Layers"] == [layer.descriptor.digest for layer in image.layers]


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_skopeo_reads_an_archive(make_image: MakeImage, tmp_path: Path, kind: str) -> None:
    image = make_image(b"one", b"two")
    layout.write(image, tmp_path / "out.tar", NAME)
    layers = [layer.descriptor.digest for layer in image.layers]
    assert inspect(f"{kind}:{tmp_path / 'out.tar'}")["Layers"] == layers


@pytest.mark.parametrize("name", ["out", "out.tar"])
def test_what_is_written_is_read_again(make_image: MakeImage, tmp_path: Path, name: str) -> None:
    image = make_image(b"one", b"two")
    layout.write(image, tmp_path / name, NAME)
    read = layout.read(Place(tmp_path / name, "1"), "linux/amd64")
    assert (read.manifest, read.config) == (image.manifest, image.config)
    assert [b"".join(layer.open().read(1)) for layer in read.layers] == [b"ne", b"wo"]
    with pytest.raises(NotFound, match="there is no image") as caught:
        layout.read(Place(tmp_path / name, "2"), "linux/amd64")
    assert caught.value.hint == "it has 1"


def test_a_folder_keeps_the_images_of_other_tags(make_image: MakeImage, tmp_path: Path) -> None:
    images = {tag: make_image(tag.encode()) for tag in ("1", "2")}
    for tag, image in images.items():
        layout.write(image, tmp_path / "out", NAME.tagged(tag))
    for tag, image in images.items():
        read = layout.read(Place(tmp_path / "out", tag), "linux/amd64")
        assert read.manifest == image.manifest


def test_a_folder_of_something_else_is_left_alone(make_image: MakeImage, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(UsageError, match="is no OCI layout"):
        layout.write(make_image(b"one"), tmp_path, NAME)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("name", ["out", "out.tar"])
def test_a_layer_that_has_changed_is_not_written(
    make_image: MakeImage, tmp_path: Path, name: str
) -> None:
    image = make_image(b"one")
    other = content.Bytes(b"two", content.LAYER)
    layers = (Source(image.layers[0].descriptor, lambda: other),)
    with pytest.raises(MlfuncError, match="has changed"):
        layout.write(Image(image.manifest, image.config, layers), tmp_path / name, NAME)
    assert not list(tmp_path.rglob(".*"))
    assert not (tmp_path / "out.tar").exists()


KILLED = """
import os, pathlib, signal, sys
from mlfunc.oci import content, layout
from mlfunc.oci.content import Bytes, Image
from mlfunc.oci.reference import parse

blob = Bytes(b"one", content.LAYER)
image = Image(Bytes(b"{}", content.MANIFEST), Bytes(b"{}", content.CONFIG), (blob.as_source(),))
kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
layout.write(image, pathlib.Path(sys.argv[1]), parse("x:1"), kill)
"""


@pytest.mark.parametrize("name", ["out", "out.tar"])
def test_what_a_killed_program_left_is_removed_by_the_next(
    make_image: MakeImage, tmp_path: Path, name: str
) -> None:
    argv = [sys.executable, "-c", KILLED, str(tmp_path / name)]
    assert subprocess.run(argv, check=False).returncode == -signal.SIGKILL
    assert list(tmp_path.rglob(".*"))
    layout.write(make_image(b"another"), tmp_path / name, NAME)
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("oci:a/b", Place(Path("a/b"))),
        ("oci:a/b:1", Place(Path("a/b"), "1")),
        ("oci-archive:/a:b/c.tar", Place(Path("/a:b/c.tar"))),
        ("python:3.11", None),
    ],
)
def test_a_place_is_read_as_skopeo_reads_it(text: str, place: Place | None) -> None:
    assert layout.parse(text) == place
