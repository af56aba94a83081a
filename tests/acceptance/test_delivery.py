"""Models from wherever they lie, by each way of delivery, until the function answers with them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.rig.containers import containerd, image_config, running
from tests.rig.hub import hub
from tests.rig.registry import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rig.containers import Containerd
    from tests.rig.hub import Hub
    from tests.rig.registry import Registry

FILES = {"words.txt": b"zero one two", "model.bin": bytes(range(256)) * 8000}
PREDICTOR = """
class Words:
    def load(self, context):
        folder = context.model("default")
        self.words = (folder / "words.txt").read_text().split()
        self.size = (folder / "model.bin").stat().st_size

    def predict(self, n: int) -> str:
        return f"{self.words[n]} of {self.size}"
"""
ANSWER = f"two of {len(FILES['model.bin'])}"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    with containerd(tmp_path_factory.mktemp("containerd")) as started:
        yield started


@pytest.fixture(scope="module")
def there() -> Iterator[Hub]:
    with hub() as started:
        started.add("org/words", FILES)
        yield started


@pytest.fixture(scope="module")
def bucket() -> Iterator[dict[str, str]]:
    """A store that has the model below models/words; the variables that lead there."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "secret"}
    given = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1", **keys}
    client = boto3.client(
        "s3",
        endpoint_url=given["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="mine",
        aws_secret_access_key="secret",
    )
    client.create_bucket(Bucket="models")
    for path, data in FILES.items():
        client.put_object(Bucket="models", Key=f"words/{path}", Body=data)
    client.close()
    yield given
    server.stop()


def project(folder: Path, uri: str, delivery: str = "auto") -> Path:
    folder.mkdir()
    model = f"{{uri: '{uri}', delivery: {delivery}}}"
    text = f"name: words\npredictor: predictor.py:Words\nmodels:\n  default: {model}\n"
    (folder / "mlfunc.yaml").write_text(text)
    (folder / "predictor.py").write_text(PREDICTOR)
    return folder


def local(folder: Path, delivery: str = "auto") -> Path:
    made = project(folder, "./weights", delivery)
    (made / "weights").mkdir()
    for path, data in FILES.items():
        (made / "weights" / path).write_bytes(data)
    return made


def answer(node: Containerd, name: str, folder: Path, **env: str) -> Any:
    """What the function of an image says to 2."""
    with (
        node.unpacked(name) as root,
        running(root, image_config(name), folder, port=free_port(), **env) as container,
    ):
        container.wait_ready()
        said = container.post({"n": 2})
        assert container.stop() == 0
    return said


@pytest.mark.parametrize("delivery", ["baked", "stream"])
def test_a_model_of_a_hub(
    shelf: Registry, seasoned: Any, node: Containerd, there: Hub, tmp_path: Path, delivery: str
) -> None:
    name = f"{shelf.address}/hub/{delivery}:latest"
    env = {"HF_ENDPOINT": there.endpoint}
    folder = project(tmp_path / "words", "hf://org/words", delivery)
    told = seasoned.build(folder, "--image", name, **env)

    weights = sum(x["size"] for x in told["layers"] if x["name"].startswith("model"))
    assert (weights > len(FILES["model.bin"])) is (delivery == "baked")
    at_start = env if delivery == "stream" else {}
    assert answer(node, name, tmp_path / "run", **at_start) == ANSWER


@pytest.mark.parametrize("delivery", ["baked", "stream"])
def test_a_model_of_a_bucket(
    shelf: Registry,
    seasoned: Any,
    node: Containerd,
    bucket: dict[str, str],
    tmp_path: Path,
    delivery: str,
) -> None:
    name = f"{shelf.address}/bucket/{delivery}:latest"
    folder = project(tmp_path / "words", "s3://models/words", delivery)
    seasoned.build(folder, "--image", name, **bucket)

    at_start = bucket if delivery == "stream" else {}
    assert answer(node, name, tmp_path / "run", **at_start) == ANSWER


def test_a_model_in_an_image_of_its_own_is_mounted_or_composed(
    shelf: Registry, seasoned: Any, node: Containerd, tmp_path: Path
) -> None:
    """The function's image has no weights; another takes the layers of the model's by digest."""
    name = f"{shelf.address}/beside/words:latest"
    told = seasoned.build(local(tmp_path / "mounted", "volume"), "--image", name)

    model = told["models"]["default"]
    (label,) = json.loads(image_config(name)["config"]["Labels"]["io.mlfunc.models"])
    assert (label["delivery"], label["image"]) == ("volume", model)
    with node.unpacked(name) as root:
        assert not list(root.rglob("model.bin"))
    with node.unpacked(model) as root:
        assert (root / "layers/mlfunc_model/default/model.bin").read_bytes() == FILES["model.bin"]

    composed = f"{shelf.address}/composed/words:latest"
    folder = project(tmp_path / "composed", f"oci://{model}")
    layers = seasoned.build(folder, "--image", composed)["layers"]

    assert {x["status"] for x in layers if x["name"].startswith("model")} <= {"mounted", "reused"}
    assert answer(node, composed, tmp_path / "run") == ANSWER
