from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from mlfunc.errors import NotFound, RegistryFailed
from mlfunc.oci import content, platforms, pull
from mlfunc.oci.push import push
from mlfunc.oci.reference import parse
from mlfunc.oci.sessions import Unkept
from mlfunc.oci.transport import Access

from tests.rig.spec import Spec, serve
from tests.rig.wire import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mlfunc.oci.content import Image

    from tests.func.oci.conftest import Line

    MakeImage = Callable[..., Image]
    MakeNoise = Callable[..., bytes]

MIB = 1 << 20
QUICK = Access(waits=(0, 0, 0))


@pytest.fixture
def spec() -> Iterator[Spec]:
    """A registry that does what the specification says."""
    with serve(Spec()) as running:
        yield running


def test_an_upload_goes_on_at_the_byte_where_its_line_broke(
    spec: Spec, line: Callable[..., Line], make_image: MakeImage, make_noise: MakeNoise
) -> None:
    big = make_noise(70 * MIB)
    flaky = line(spec.address, 30 * MIB, 50 * MIB)
    push(make_image(big), parse(f"{flaky.address}/x:1"), access=QUICK)
    assert not flaky.cuts
    assert spec.blobs[content.digest(big)] == big
    assert spec.received < 71 * MIB  # no byte that had come was sent again


KILLED = """
import json, pathlib, sys
from mlfunc.oci import content
from mlfunc.oci.content import Bytes, Image
from mlfunc.oci.push import push
from mlfunc.oci.reference import parse
from mlfunc.oci.sessions import Unkept

class Kept(Unkept):
    def put(self, *key):
        pathlib.Path(sys.argv[2]).write_text(json.dumps(key))

blob = Bytes(bytes(100 << 20), content.LAYER)
image = Image(Bytes(b"{}", content.MANIFEST), Bytes(b"{}", content.CONFIG), (blob.as_source(),))
push(image, parse(sys.argv[1]), sessions=Kept())
"""


def test_a_push_killed_in_the_middle_of_a_chunk_goes_on_at_the_byte(
    spec: Spec, make_image: MakeImage, tmp_path: Path
) -> None:
    kept = tmp_path / "session"
    with wire(spec.address, pinched_at=30 * MIB) as cable:
        argv = [sys.executable, "-c", KILLED, f"{cable.address}/x:1", str(kept)]
        with subprocess.Popen(argv) as process:
            assert cable.is_pinched.wait(60)
            process.kill()
            assert process.wait() == -signal.SIGKILL
        cable.reset()
        sessions = Unkept()
        sessions.put(*json.loads(kept.read_text()))
        zeros = bytes(100 * MIB)
        push(make_image(zeros), parse(f"{cable.address}/x:1"), access=QUICK, sessions=sessions)
    assert spec.blobs[content.digest(zeros)] == zeros
    assert spec.received < 101 * MIB


def test_a_session_goes_on_that_has_got_more_than_it_first_said(
    spec: Spec, line: Callable[..., Line], make_image: MakeImage, make_noise: MakeNoise
) -> None:
    spec.late = 5 * MIB
    big = make_noise(70 * MIB)
    flaky = line(spec.address, 30 * MIB)
    push(make_image(big), parse(f"{flaky.address}/x:1"), access=QUICK)
    assert spec.blobs[content.digest(big)] == big
    assert spec.received < 71 * MIB


def test_a_registry_that_never_agrees_on_a_size_gets_the_blob_whole(
    spec: Spec, make_image: MakeImage, make_noise: MakeNoise
) -> None:
    spec.fails = [("PATCH", 416, {})] * 3
    big = make_noise(65 * MIB)
    push(make_image(big), parse(f"{spec.address}/x:1"), access=QUICK)
    assert spec.blobs[content.digest(big)] == big


def test_a_registry_that_takes_no_chunks_gets_the_blob_whole(
    spec: Spec, make_image: MakeImage, make_noise: MakeNoise
) -> None:
    spec.chunks = False
    big = make_noise(65 * MIB)
    push(make_image(big), parse(f"{spec.address}/x:1"), access=QUICK)
    assert spec.blobs[content.digest(big)] == big


def test_chunks_are_as_big_as_the_registry_wants_them(
    spec: Spec, make_image: MakeImage, make_noise: MakeNoise
) -> None:
    spec.least = 80 * MIB
    push(make_image(make_noise(90 * MIB)), parse(f"{spec.address}/x:1"), access=QUICK)
    ranges = [headers["content-range"] for _, headers, _ in spec.asked("PATCH")]
    assert ranges == [f"0-{80 * MIB - 1}", f"{80 * MIB}-{90 * MIB - 1}"]


def test_a_layer_without_bytes_arrives(spec: Spec, make_image: MakeImage) -> None:
    push(make_image(b""), parse(f"{spec.address}/x:1"), access=QUICK)
    assert spec.blobs[content.digest(b"")] == b""


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT"])
def test_a_gateway_that_fails_once_is_asked_again(
    spec: Spec, make_image: MakeImage, method: str
) -> None:
    spec.fails.append((method, 502, {}))
    push(make_image(b"one"), parse(f"{spec.address}/x:1"), access=QUICK)
    assert not spec.fails
    assert content.digest(b"one") in spec.blobs


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH"])
def test_a_registry_that_asks_us_to_wait_is_obeyed(
    spec: Spec, make_image: MakeImage, method: str
) -> None:
    spec.fails.append((method, 429, {"Retry-After": "1"}))
    big = bytes(65 * MIB if method == "PATCH" else 10)
    push(make_image(big), parse(f"{spec.address}/x:1"), access=QUICK)
    (_, _, first), (_, _, second), *_ = spec.asked(method)
    assert second - first >= 1


def test_a_registry_that_is_always_busy_ends_the_push(spec: Spec, make_image: MakeImage) -> None:
    spec.fails.extend([("PUT", 429, {})] * 20)
    with pytest.raises(RegistryFailed, match="come back later"):
        push(make_image(b"one"), parse(f"{spec.address}/x:1"), access=QUICK)


def test_an_upload_is_not_sent_to_a_private_address(spec: Spec, make_image: MakeImage) -> None:
    with serve(Spec()) as other:
        spec.location = f"http://127.0.0.2:{other.address.rpartition(':')[2]}/uploads/{{}}"
        with pytest.raises(RegistryFailed, match=r"127\.0\.0\.2, a private address"):
            push(make_image(b"one"), parse(f"{spec.address}/x:1"), access=QUICK)
        assert not other.log


def test_a_port_and_scheme_that_a_proxy_has_hidden_are_put_right(
    spec: Spec, make_image: MakeImage
) -> None:
    spec.location = "https://127.0.0.1:1/v2/x/blobs/uploads/{}?state=a"
    push(make_image(b"one"), parse(f"{spec.address}/x:1"), access=QUICK)
    assert content.digest(b"one") in spec.blobs
    assert all("?state=a&digest=" in path for path, _, _ in spec.asked("PUT")[:2])


def test_where_blobs_lie_elsewhere_we_go_without_our_password(
    spec: Spec, make_image: MakeImage
) -> None:
    push(make_image(b"one"), parse(f"{spec.address}/x:1"), access=QUICK)
    with serve(Spec(blobs=spec.blobs)) as other:
        spec.elsewhere = other.address
        challenge = {"WWW-Authenticate": 'Basic realm="here"'}
        spec.fails.append(("GET", 401, challenge))
        environ = {"MLFUNC_REGISTRY_USER": "ada", "MLFUNC_REGISTRY_PASSWORD": "secret"}
        access = Access(environ, own=spec.address, waits=(0, 0, 0))
        image = pull.load(parse(f"{spec.address}/x:1"), "linux/amd64", access)
        assert b"".join(image.layers[0].open().read()) == b"one"
        sent = "Basic " + base64.b64encode(b"ada:secret").decode()
        assert spec.asked("GET")[-1][1]["authorization"] == sent
        assert len(other.log) == 2
        assert not any("authorization" in headers for _, _, headers, _ in other.log)


def test_a_registry_that_always_refuses_a_password_is_asked_twice(
    spec: Spec, make_image: MakeImage
) -> None:
    challenge = {"WWW-Authenticate": 'Basic realm="here"'}
    spec.fails.extend([("HEAD", 401, challenge)] * 9)
    environ = {"MLFUNC_REGISTRY_USER": "ada", "MLFUNC_REGISTRY_PASSWORD": "secret"}
    access = Access(environ, own=spec.address, waits=(0, 0, 0))
    with pytest.raises(RegistryFailed, match="does not accept the user ada"):
        push(make_image(b"one"), parse(f"{spec.address}/x:1"), access=access)
    assert len(spec.log) == 2


def listed(spec: Spec, kind: str, *images: tuple[str, Image]) -> None:
    """Let the tag 1 stand for an index of these images."""
    entries = []
    for platform, image in images:
        push(image, parse(f"{spec.address}/x@{image.manifest.descriptor.digest}"))
        system, architecture = platform.split("/")
        about = {"platform": {"os": system, "architecture": architecture}}
        entries.append({**image.manifest.descriptor.as_json(), **about})
    data = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": entries}).encode()
    spec.manifests["1"] = (kind, data)


@pytest.mark.parametrize("kind", [content.INDEX, platforms.DOCKER_INDEX])
def test_of_an_index_the_image_of_the_platform_is_taken(
    spec: Spec, make_image: MakeImage, kind: str
) -> None:
    arm = make_image(b"arm", architecture="arm64")
    images = (("linux/amd64", make_image(b"amd")), ("linux/arm64", arm), ("unknown/unknown", arm))
    listed(spec, kind, *images)
    named = parse(f"{spec.address}/x:1")
    assert pull.load(named, "linux/arm64").manifest == arm.manifest
    with pytest.raises(NotFound, match=r"linux/s390x; it has linux/amd64, linux/arm64"):
        pull.load(named, "linux/s390x")


def test_layers_of_docker_have_the_types_of_oci(spec: Spec, make_image: MakeImage) -> None:
    image = make_image(b"one")
    push(image, parse(f"{spec.address}/x:1"))
    parts = json.loads(image.manifest.data)
    parts["mediaType"] = platforms.DOCKER_MANIFEST
    parts["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json"
    parts["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    spec.manifests["1"] = (platforms.DOCKER_MANIFEST, json.dumps(parts).encode())
    pulled = pull.load(parse(f"{spec.address}/x:1"), "linux/amd64")
    assert pulled.layers[0].descriptor.media_type == content.LAYER_GZIP
    assert pulled.config.media_type == content.CONFIG


def test_a_manifest_of_docker_before_2016_is_refused(spec: Spec) -> None:
    kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    spec.manifests["1"] = (kind, b'{"schemaVersion": 1, "fsLayers": []}')
    with pytest.raises(NotFound, match="is no image of OCI or Docker"):
        pull.load(parse(f"{spec.address}/x:1"), "linux/amd64")
