from __future__ import annotations

import functools
import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from mlfunc.errors import MlfuncError, RegistryFailed
from mlfunc.oci import content, pull
from mlfunc.oci.content import Descriptor, Image, Source
from mlfunc.oci.push import push
from mlfunc.oci.reference import parse
from mlfunc.oci.sessions import Unkept
from mlfunc.oci.transport import Access

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.func.oci.conftest import Line
    from tests.rig.registry import Registry

    MakeImage = Callable[..., Image]
    MakeNoise = Callable[..., bytes]

MIB = 1 << 20
QUICK = Access(waits=(0, 0, 0))


def test_a_pushed_image_is_what_skopeo_reads(plain: Registry, make_image: MakeImage) -> None:
    image = make_image(b"one", b"two")
    pushed = push(image, parse(f"{plain.address}/team/x:1"), tags=["2"])
    assert set(pushed.blobs.values()) == {"uploaded"}
    assert pushed.uploaded_bytes == 6 + len(image.config.data)
    for tag in ("1", "2"):
        url = f"docker://{plain.address}/team/x:{tag}"
        argv = ["skopeo", "inspect", "--tls-verify=false", url]
        seen = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
        assert seen["Digest"] == pushed.digest
        assert seen["Layers"] == [layer.descriptor.digest for layer in image.layers]


def test_an_image_that_is_there_costs_a_request_and_no_layer_is_opened(
    plain: Registry, make_image: MakeImage
) -> None:
    image, to = make_image(b"one"), parse(f"{plain.address}/x:1")
    push(image, to)
    again = push(closed(image), to)
    assert again.uploaded_bytes == 0
    assert set(again.blobs.values()) == {"reused"}


def closed(image: Image) -> Image:
    """The same image, whose layers cannot be read."""

    def refuse() -> content.Blob:
        raise AssertionError("nobody needs these bytes")

    layers = tuple(Source(source.descriptor, refuse, source.origins) for source in image.layers)
    return Image(image.manifest, image.config, layers)


def test_a_blob_of_another_repository_is_mounted_without_being_opened(
    plain: Registry, make_image: MakeImage
) -> None:
    base, to = parse(f"{plain.address}/base:1"), parse(f"{plain.address}/team/x:1")
    push(make_image(b"one", b"two"), base)
    image = pull.load(base, "linux/amd64", to=to)
    pushed = push(closed(image), to)
    assert [pushed.blobs[layer.descriptor.digest] for layer in image.layers] == ["mounted"] * 2


def test_a_mount_that_is_not_possible_becomes_an_upload(
    plain: Registry, make_image: MakeImage
) -> None:
    (source,) = (image := make_image(b"one")).layers
    layers = (Source(source.descriptor, source.open, ("no/such", "nor/this")),)
    pushed = push(Image(image.manifest, image.config, layers), parse(f"{plain.address}/x:1"))
    assert pushed.blobs[source.descriptor.digest] == "uploaded"


def test_a_big_blob_goes_in_chunks_and_says_how_far_it_is(
    plain: Registry, make_image: MakeImage, make_noise: MakeNoise
) -> None:
    big = make_noise(70 * MIB)
    seen: list[int] = []
    image = make_image(big)
    digest = content.digest(big)

    def report(blob: str, done: int, size: int) -> None:
        if blob == digest:
            assert size == len(big)
            seen.append(done)

    pushed = push(image, parse(f"{plain.address}/x:1"), report=report)
    assert pushed.blobs[digest] == "uploaded"
    assert seen == sorted(seen)
    assert seen[-1] == len(big)
    (layer,) = pull.load(parse(f"{plain.address}/x:1"), "linux/amd64").layers
    assert b"".join(layer.open().read()) == big
    assert b"".join(layer.open().read(MIB + 1)) == big[MIB + 1 :]


def test_a_push_over_a_line_that_breaks_twice_arrives_whole(
    plain: Registry, line: Callable[..., Line], make_image: MakeImage, make_noise: MakeNoise
) -> None:
    flaky = line(plain.address, 30 * MIB, 90 * MIB)
    big = make_noise(150 * MIB)
    pushed = push(make_image(big), parse(f"{flaky.address}/x:1"), access=QUICK)
    assert pushed.blobs[content.digest(big)] == "uploaded"
    assert not flaky.cuts
    # Debian's registry gives up a session whose chunk broke off: the blob begins anew.
    check_content(plain, big)


def check_content(plain: Registry, big: bytes) -> None:
    (layer,) = pull.load(parse(f"{plain.address}/x:1"), "linux/amd64").layers
    assert content.digest(b"".join(layer.open().read())) == content.digest(big)


def test_a_pull_goes_on_where_its_line_broke(
    plain: Registry, line: Callable[..., Line], make_image: MakeImage, make_noise: MakeNoise
) -> None:
    big = make_noise(20 * MIB)
    push(make_image(big), parse(f"{plain.address}/x:1"))
    flaky = line(plain.address, down=(5 * MIB, 12 * MIB))
    (layer,) = pull.load(parse(f"{flaky.address}/x:1"), "linux/amd64", QUICK).layers
    assert b"".join(layer.open().read()) == big
    assert flaky.down < 21 * MIB


def test_a_line_that_always_breaks_ends_the_push(
    plain: Registry, line: Callable[..., Line], make_image: MakeImage
) -> None:
    flaky = line(plain.address, *range(2000, 100 * MIB, 2000))
    with pytest.raises(RegistryFailed, match=flaky.address):
        push(make_image(b"a" * 10 * MIB), parse(f"{flaky.address}/x:1"), access=QUICK)


def test_a_layer_that_has_changed_is_not_taken(plain: Registry, make_image: MakeImage) -> None:
    image = make_image(b"before")
    for after in (b"after!", b"short"):
        other = content.Bytes(after, content.LAYER)
        layers = (Source(image.layers[0].descriptor, functools.partial(_Other, image, other)),)
        with pytest.raises(MlfuncError):
            push(Image(image.manifest, image.config, layers), parse(f"{plain.address}/x:1"))


class _Other:
    def __init__(self, image: Image, data: content.Bytes) -> None:
        self.descriptor: Descriptor = image.layers[0].descriptor
        self.read = data.read


def test_one_failure_ends_the_other_uploads(plain: Registry, make_image: MakeImage) -> None:
    image = make_image(*(bytes([n]) * 1000 for n in range(12)))

    def broken() -> content.Blob:
        raise MlfuncError("this one cannot be made")

    layers = (Source(image.layers[0].descriptor, broken), *image.layers[1:])
    with pytest.raises(MlfuncError, match="cannot be made"):
        push(Image(image.manifest, image.config, layers), parse(f"{plain.address}/x:1"))


KILLED = """
import json, os, pathlib, signal, sys
from mlfunc.oci import content
from mlfunc.oci.content import Bytes, Descriptor, Image
from mlfunc.oci.push import push
from mlfunc.oci.reference import parse
from mlfunc.oci.sessions import Unkept

class Kept(Unkept):
    count = 0

    def put(self, *key):
        pathlib.Path(sys.argv[2]).write_text(json.dumps(key))
        self.count += 1
        if self.count == 3:
            os.kill(os.getpid(), signal.SIGKILL)

blob = Bytes(b"\\0" * 200 * 1024 * 1024, content.LAYER)
config = Bytes(b"{}", content.CONFIG)
image = Image(Bytes(b"{}", content.MANIFEST), config, (blob.as_source(),))
push(image, parse(sys.argv[1]), sessions=Kept())
"""


def test_a_push_killed_between_chunks_goes_on_where_it_was(
    plain: Registry, line: Callable[..., Line], make_image: MakeImage, tmp_path: Path
) -> None:
    kept = tmp_path / "session"
    slow = line(plain.address)
    argv = [sys.executable, "-c", KILLED, f"{slow.address}/x:1", str(kept)]
    assert subprocess.run(argv, check=False).returncode == -signal.SIGKILL
    sessions = Unkept()
    sessions.put(*json.loads(kept.read_text()))
    before = slow.up
    zeros = b"\0" * 200 * MIB
    push(make_image(zeros), parse(f"{slow.address}/x:1"), sessions=sessions)
    assert slow.up - before < 73 * MIB + MIB  # 128 MiB, two chunks, were there
    assert not sessions.locations
    check_content(plain, zeros)
