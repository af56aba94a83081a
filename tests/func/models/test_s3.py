"""Models in an object store: boto3 against moto's server on loopback."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from mlfunc.errors import MlfuncError, NotFound
from mlfunc.models import fetching, s3
from mlfunc.models.fetching import fetch
from mlfunc.models.places import is_single
from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlfunc.lock import ModelPin

    Pinned = Callable[..., ModelPin]

WEIGHTS = bytes(range(256)) * 4000


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def store(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for key, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "mine",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(key, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="models")
    yield client
    for each in client.list_objects_v2(Bucket="models").get("Contents", ()):
        client.delete_object(Bucket="models", Key=each["Key"])
    client.delete_bucket(Bucket="models")
    client.close()


def put(store: Any, key: str, data: bytes, **more: str) -> None:
    store.put_object(Bucket="models", Key=key, Body=data, **more)


def test_a_prefix_is_pinned_and_fetched_with_the_hash_of_each_object(
    store: Any, pinned: Pinned
) -> None:
    put(store, "bert/config.json", b"{}")
    put(store, "bert/sub/model.bin", WEIGHTS)
    put(store, "bert-large/model.bin", b"of another model")
    put(store, "bert/", b"")

    pin = pinned("s3://models/bert/")
    folder = fetch("default", pin)

    assert [(file.path, file.sha256) for file in pin.files] == [
        ("config.json", hashlib.sha256(b"{}").hexdigest()),
        ("sub/model.bin", hashlib.sha256(WEIGHTS).hexdigest()),
    ]
    assert (folder / "sub/model.bin").read_bytes() == WEIGHTS


def test_a_checksum_of_the_store_spares_fetching(
    store: Any, pinned: Pinned, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "bert/model.bin", WEIGHTS, ChecksumAlgorithm="SHA256")
    monkeypatch.setattr(s3.Bucket, "read", None)

    pin = pinned("s3://models/bert")

    assert pin.files[0].sha256 == hashlib.sha256(WEIGHTS).hexdigest()


def test_one_object_is_a_model_of_one_file(store: Any, pinned: Pinned) -> None:
    put(store, "bert/model.onnx", WEIGHTS)

    pin = pinned("s3://models/bert/model.onnx")
    folder = fetch("default", pin)

    assert is_single(pin)
    assert (folder / "model.onnx").read_bytes() == WEIGHTS


def test_a_whole_bucket_may_be_a_model(store: Any, pinned: Pinned) -> None:
    put(store, "model.onnx", WEIGHTS)

    pin = pinned("s3://models")

    assert (fetch("default", pin) / "model.onnx").read_bytes() == WEIGHTS


def test_a_prefix_of_more_objects_than_a_page_has_is_listed_whole(
    store: Any, pinned: Pinned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_PAGE", 2)
    for number in range(5):
        put(store, f"many/{number}", b"x")

    assert [file.path for file in pinned("s3://models/many").files] == ["0", "1", "2", "3", "4"]


def test_objects_that_did_not_change_keep_their_pin_in_an_upgrade(
    store: Any, pinned: Pinned, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, "bert/model.bin", WEIGHTS)
    first = pinned("s3://models/bert")
    monkeypatch.setattr(s3.Bucket, "read", None)

    assert pinned("s3://models/bert", first, upgrade=True) is first


def test_an_object_that_changed_since_it_was_pinned_is_refused(store: Any, pinned: Pinned) -> None:
    put(store, "bert/model.bin", WEIGHTS, ChecksumAlgorithm="SHA256")
    pin = pinned("s3://models/bert")
    put(store, "bert/model.bin", bytes(len(WEIGHTS)))

    with pytest.raises(MlfuncError, match="not what was pinned") as caught:
        fetch("default", pin)

    assert "--upgrade" in caught.value.hint


def test_a_transfer_goes_on_where_a_part_ends(store: Any, pinned: Pinned) -> None:
    put(store, "bert/model.bin", WEIGHTS, ChecksumAlgorithm="SHA256")
    pin = pinned("s3://models/bert")
    part = fetching.blob(pin.files[0].sha256).with_suffix(".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(WEIGHTS[:5000])

    assert (fetch("default", pin) / "model.bin").read_bytes() == WEIGHTS


@pytest.mark.parametrize("uri", ["s3://models/none", "s3://none/bert"], ids=["prefix", "bucket"])
def test_what_is_not_there_is_told_by_its_address(store: Any, pinned: Pinned, uri: str) -> None:
    with pytest.raises(NotFound, match=uri):
        pinned(uri)


def test_without_credentials_it_says_which_variables_have_them(
    store: Any, pinned: Pinned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(MlfuncError, match="no credentials for s3://models/bert") as caught:
        pinned("s3://models/bert")

    assert "AWS_ACCESS_KEY_ID" in caught.value.hint


def test_a_store_that_does_not_answer_is_told_by_the_models_address(
    store: Any, pinned: Pinned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    with pytest.raises(MlfuncError, match="s3://models/bert cannot be read"):
        pinned("s3://models/bert")


def test_without_boto3_it_says_what_to_install(
    pinned: Pinned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "boto3.session", None)

    with pytest.raises(MlfuncError) as caught:
        pinned("s3://models/bert")

    assert caught.value.hint == "pip install 'mlfunc[s3]'"
