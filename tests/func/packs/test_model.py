"""The model buildpack: layers from the lock alone, and what tells the function of them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from mlfunc import function
from mlfunc.errors import MlfuncError, UsageError
from mlfunc.function import Model
from mlfunc.layers import reading
from mlfunc.layers.tree import File, Tree
from mlfunc.lock import Lock, ModelFile, ModelPin
from mlfunc.models.pinning import Asked, pin
from mlfunc.models.shards import GIB
from mlfunc.packs import model as pack
from mlfunc.packs.layer import Making
from mlfunc.project import Project, Target

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

TARGET = Target("linux/amd64", "3.11", "cpu")
FILES = [ModelFile("config.json", 20, "a" * 64), ModelFile("model.safetensors", 9 * GIB, "b" * 64)]


def sha256_of(paths: Iterable[Path]) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def project(folder: Path, text: str, pins: dict[str, ModelPin]) -> Project:
    parsed = function.parse(b"name: x\nmodels:\n  " + text.encode())
    return Project(folder, parsed, Lock(models=pins), TARGET, "/usr/local/bin/python3.11")


def remote(folder: Path, delivery: str = "auto", **more: Any) -> Project:
    pinned = ModelPin("hf://org/big@main", "c0ffee", FILES, **more)
    text = f"my-model: {{uri: 'hf://org/big@main', delivery: {delivery}}}"
    return project(folder, text, {"my-model": pinned})


def files(tree: Tree) -> dict[str, bytes]:
    return {
        entry.path: b"".join(reading.read(entry.pieces))
        for entry in tree.entries
        if isinstance(entry, File)
    }


def test_a_local_model_that_is_another_by_now_gets_no_layer(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"first")
    pinned = pin(Asked("default", Model("./weights.bin"), tmp_path, None, sha256_of))
    (layer,) = pack.layers(project(tmp_path, "default: ./weights.bin", {"default": pinned}))
    (tmp_path / "weights.bin").write_bytes(b"other")

    with pytest.raises(MlfuncError, match=r"weights\.bin changed while it was read"):
        layer.make(Making(sha256_of=sha256_of))


def test_local_files_lie_in_the_folder_that_their_variable_names(tmp_path: Path) -> None:
    (tmp_path / "weights/sub").mkdir(parents=True)
    (tmp_path / "weights/sub/a.bin").write_bytes(b"a")
    (tmp_path / "weights/b.bin").write_bytes(b"b")
    pinned = pin(Asked("default", Model("./weights"), tmp_path, None, sha256_of))

    built = project(tmp_path, "default: ./weights", {"default": pinned})

    (layer,) = pack.layers(built)
    assert (layer.name, layer.folder, layer.size, layer.raw) == (
        "model default",
        "default",
        2,
        True,
    )
    assert files(layer.make(Making())) == {
        "layers/mlfunc_model/default/b.bin": b"b",
        "layers/mlfunc_model/default/sub/a.bin": b"a",
    }
    assert pack.launch(built).env == {"MLFUNC_MODEL_DEFAULT": "/layers/mlfunc_model/default"}


def test_the_variable_of_a_single_file_has_its_path(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"a")
    pinned = pin(Asked("default", Model("./m.onnx"), tmp_path, None, sha256_of))

    built = project(tmp_path, "default: ./m.onnx", {"default": pinned})

    (layer,) = pack.layers(built)
    assert list(files(layer.make(Making()))) == ["layers/mlfunc_model/default/m.onnx"]
    assert pack.launch(built).env == {"MLFUNC_MODEL_DEFAULT": "/layers/mlfunc_model/default/m.onnx"}


def test_layers_are_known_without_a_file_being_there(tmp_path: Path) -> None:
    layers = pack.layers(remote(tmp_path, partable=["model.safetensors"]))

    assert [layer.name for layer in layers] == [f"model my-model {n}/10" for n in range(1, 11)]
    assert len({layer.key for layer in layers}) == 10


def test_a_key_changes_with_what_its_layer_holds_and_where_alone(tmp_path: Path) -> None:
    keys = [layer.key for layer in pack.layers(remote(tmp_path))]
    pinned = ModelPin("hf://org/other", "main", [FILES[0], ModelFile("x.bin", 1, "c" * 64)])
    other = project(tmp_path, "my-model: hf://org/other", {"my-model": pinned})
    elsewhere = project(tmp_path, "b: hf://org/big", {"b": ModelPin("hf://org/big", "v2", FILES)})
    moved = ModelPin("hf://org/copy", "v2", FILES)

    assert [
        layer.key
        for layer in pack.layers(project(tmp_path, "my-model: hf://org/copy", {"my-model": moved}))
    ] == keys
    assert not {layer.key for layer in pack.layers(other)} & {*keys}
    assert not {layer.key for layer in pack.layers(elsewhere)} & {*keys}


def test_a_mounted_model_has_an_image_of_its_own_with_the_same_layers(tmp_path: Path) -> None:
    mounted, baked = remote(tmp_path, "volume"), remote(tmp_path, "baked")

    (image,) = pack.images(mounted)

    assert pack.layers(mounted) == ()
    assert [layer.key for layer in image.layers] == [layer.key for layer in pack.layers(baked)]
    assert pack.launch(mounted).env == {
        "MLFUNC_MODEL_MY_MODEL": "/volumes/my-model/layers/mlfunc_model/my-model"
    }
    assert image.labels == {"io.mlfunc.model": "/layers/mlfunc_model/my-model"}


def test_a_streamed_model_is_a_list_of_its_files(tmp_path: Path) -> None:
    streamed = remote(tmp_path, "stream")

    (layer,) = pack.layers(streamed)

    ((path, content),) = files(layer.make(Making())).items()
    assert pack.launch(streamed).env == {
        "MLFUNC_MODEL_MY_MODEL": "/tmp/models/my-model",
        "MLFUNC_STREAM_MY_MODEL": f"/{path}",
    }
    assert json.loads(content) == {
        "uri": "hf://org/big@main",
        "revision": "c0ffee",
        "files": [msgspec.to_builtins(file) for file in FILES],
    }


def test_a_streamed_model_of_s3_says_the_address_of_each_object(tmp_path: Path) -> None:
    pinned = ModelPin("s3://bucket/big/", "c0ffee", FILES)
    text = "default: {uri: 's3://bucket/big/', delivery: stream}"

    (layer,) = pack.layers(project(tmp_path, text, {"default": pinned}))

    (content,) = files(layer.make(Making())).values()
    assert json.loads(content)["files"][0]["url"] == "s3://bucket/big/config.json"


@pytest.mark.parametrize(
    ("uri", "path"),
    [("pvc://claim/a/b", "/volumes/default/a/b"), ("pvc://claim", "/volumes/default")],
)
def test_a_model_on_a_claim_is_mounted(tmp_path: Path, uri: str, path: str) -> None:
    built = project(tmp_path, f"default: '{uri}'", {"default": ModelPin(uri)})

    assert pack.layers(built) == ()
    assert pack.launch(built).env == {"MLFUNC_MODEL_DEFAULT": path}


def test_deploy_is_told_of_each_model(tmp_path: Path) -> None:
    told = json.loads(pack.label(remote(tmp_path, "volume"), {"my-model": "host/m@sha256:0"}))

    size = FILES[0].size + FILES[1].size
    model = {"name": "my-model", "uri": "hf://org/big@main", "revision": "c0ffee"}
    assert told == [{**model, "delivery": "volume", "size": size, "image": "host/m@sha256:0"}]


def test_a_function_without_models_needs_no_such_pack(tmp_path: Path) -> None:
    plain = Project(tmp_path, function.parse(b"name: x\n"), Lock(), TARGET, "/python")

    assert pack.detect(plain) is None
    assert pack.launch(plain).labels == {}


def test_what_cannot_be_delivered_so_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be delivered as `pvc`"):
        pack.layers(remote(tmp_path, "pvc"))


BIG = """
import json, sys
from pathlib import Path
from mlfunc import function
from mlfunc.layers import store
from mlfunc.lock import Lock
from mlfunc.models.pinning import Asked, pin
from mlfunc.packs import model as pack
from mlfunc.packs.layer import Making
from mlfunc.project import Project, Target

folder = Path(sys.argv[1])
parsed = function.parse(b"name: x\\nmodels: {default: ./weights}")
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
with store.opened(folder / "store") as kept:
    pinned = pin(Asked("default", parsed.all_models["default"], folder, None, kept.hashes.of_all))
built = Project(folder, parsed, Lock(models={"default": pinned}), Target("linux/amd64", "3.11", "cpu"), "")
layers = (*pack.layers(built), *(layer for image in pack.images(built) for layer in image.layers))
touched = [path for path in opened if path.endswith(".safetensors")]
trees = [layer.make(Making()) for layer in layers]
# What getrusage tells begins with the process that started this one.
status = Path("/proc/self/status").read_text().splitlines()
peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
print(json.dumps({
    "read": len(touched), "layers": len(layers), "size": sum(tree.size for tree in trees),
    "rss": peak,
}))
"""


def test_gigabytes_are_read_once_and_never_held(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "config.json").write_text('{"model_type": "llama"}')
    _write_sparse(weights / "model.safetensors", tensors=30, each=100 * 2**20)

    first, second = _run(tmp_path), _run(tmp_path)

    assert first["read"] == 1
    assert second["read"] == 0
    assert first["layers"] == 4
    assert first["size"] > 30 * 100 * 2**20
    assert max(first["rss"], second["rss"]) < 200 * 2**20


def _run(folder: Path) -> Any:
    finished = subprocess.run(
        [sys.executable, "-c", BIG, folder], stdout=subprocess.PIPE, check=True
    )
    return json.loads(finished.stdout)


def _write_sparse(path: Path, *, tensors: int, each: int) -> None:
    fields = {
        f"t{n}": {"dtype": "U8", "shape": [each], "data_offsets": [n * each, (n + 1) * each]}
        for n in range(tensors)
    }
    text = json.dumps(fields).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + tensors * each)
