"""Models in object stores: signed as AWS's own library signs, and fetched from a server of S3."""

from __future__ import annotations

import json
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st
from mlfunc_runtime.errors import StartupError
from mlfunc_runtime.models import Place
from mlfunc_runtime.weights import credentials, fetching
from mlfunc_runtime.weights.credentials import Credentials
from mlfunc_runtime.weights.listing import Listing
from mlfunc_runtime.weights.s3 import Bucket, sign
from moto.server import ThreadedMotoServer

from .stores import listed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
FILES = {
    "model-00001.safetensors": random.Random(1).randbytes(100_000),
    "sub/a file+with (odd) näme.json": b"{}",
}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str) -> Any:
    """A client with a bucket that holds a model at a prefix."""
    s3: Any = boto3.client(
        "s3",
        "us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    s3.create_bucket(Bucket="models")
    for name, data in FILES.items():
        s3.put_object(Bucket="models", Key=f"deep/prefix/{name}", Body=data)
    return s3


def fetch(folder: Path, uri: str, files: dict[str, bytes], **environ: str) -> dict[str, bytes]:
    """What is there afterwards."""
    path = listed(folder / "list.json", uri, files)
    fetching.fetch([Place(uri, "MLFUNC_MODEL_DEFAULT", folder / "model", path)], environ)
    found = (path for path in (folder / "model").rglob("*") if path.is_file())
    return {str(path.relative_to(folder / "model")): path.read_bytes() for path in found}


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("uri", ["s3://models/deep/prefix", "s3://models/deep/prefix/"])
def test_a_prefix_is_fetched(endpoint: str, tmp_path: Path, uri: str) -> None:
    assert fetch(tmp_path, uri, FILES, AWS_ENDPOINT_URL=endpoint, **KEYS) == FILES


@pytest.mark.usefixtures("bucket")
def test_a_single_object_is_fetched(endpoint: str, tmp_path: Path) -> None:
    name = "model-00001.safetensors"
    uri, one = f"s3://models/deep/prefix/{name}", {name: FILES[name]}
    assert fetch(tmp_path, uri, one, AWS_ENDPOINT_URL=endpoint, **KEYS) == one


@pytest.mark.usefixtures("bucket")
def test_an_object_that_is_gone_says_what_to_look_for(endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(
        StartupError, match=r"gone of s3://models/x cannot be fetched.*404"
    ) as raised:
        fetch(tmp_path, "s3://models/x", {"gone": b"a"}, AWS_ENDPOINT_URL=endpoint, **KEYS)
    assert raised.value.hint == "see whether its bucket and prefix are still there"


@given(
    path=st.text(min_size=1, max_size=30).filter(
        lambda text: text.strip("/.") and "\\" not in text
    ),
    secret=st.text("abcXYZ019+/=", min_size=1),
    token=st.sampled_from(["", "a+session/token=="]),
    region=st.sampled_from(["us-east-1", "eu-west-3", "auto"]),
)
def test_a_request_is_signed_as_botocore_signs_it(
    path: str, secret: str, token: str, region: str
) -> None:
    listing = Listing("s3://bucket/a", [])
    source = Bucket(listing, {"AWS_ENDPOINT_URL": "https://store.example:9000", **KEYS})
    try:
        url, _ = source.request(path)
    except UnicodeEncodeError:  # a lone surrogate is no name
        return
    now = time.gmtime(1_700_000_000)
    ours = sign(url, Credentials("key", secret, token, ""), region, now)
    assert ours["Authorization"] == theirs(url, secret, token, region, ours)


def theirs(url: str, secret: str, token: str, region: str, ours: dict[str, str]) -> str:
    """The signature of AWS's own library for the same moment."""
    signer = S3SigV4Auth(BotoCredentials("key", secret, token or None), "s3", region)
    request = AWSRequest("GET", url, headers={"X-Amz-Date": ours["x-amz-date"]})
    request.context["timestamp"] = ours["x-amz-date"]
    request.headers["X-Amz-Content-SHA256"] = ours["x-amz-content-sha256"]
    if token:
        request.headers["X-Amz-Security-Token"] = token
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    names = signer.signed_headers(signer.headers_to_sign(request))
    scope = signer.scope(request)
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={names}, Signature={signature}"


@pytest.mark.parametrize(
    ("bucket", "environ", "url"),
    [
        ("b", {}, "https://b.s3.us-east-1.amazonaws.com/p/f"),
        ("b", {"AWS_REGION": "eu-west-1"}, "https://b.s3.eu-west-1.amazonaws.com/p/f"),
        ("b", {"AWS_DEFAULT_REGION": "cn-north-1"}, "https://b.s3.cn-north-1.amazonaws.com.cn/p/f"),
        ("b.c", {}, "https://s3.us-east-1.amazonaws.com/b.c/p/f"),
        ("b", {"AWS_ENDPOINT_URL": "http://minio:9000/"}, "http://minio:9000/b/p/f"),
        ("b", {"AWS_ENDPOINT_URL_S3": "http://s3", "AWS_ENDPOINT_URL": "x"}, "http://s3/b/p/f"),
    ],
    ids=["default", "region", "china", "dots", "other store", "of s3 first"],
)
def test_an_object_has_the_address_that_its_store_gives_it(
    bucket: str, environ: dict[str, str], url: str
) -> None:
    assert Bucket(Listing(f"s3://{bucket}/p", []), environ).request("f")[0] == url


class Refuses(BaseHTTPRequestHandler):
    """A store, and an agent with credentials: what it has seen is in `seen`."""

    region = ""
    seen: list[dict[str, str]]

    def do_GET(self) -> None:
        self.seen.append(dict(self.headers))
        body = b""
        if self.path.startswith("/v1/credentials"):
            body = json.dumps({"AccessKeyId": "a", "SecretAccessKey": "b", "Token": "c"}).encode()
        self.send_response(200 if body else 403)
        if self.region:
            self.send_header("x-amz-bucket-region", self.region)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def refuses() -> Iterator[tuple[str, type[Refuses]]]:
    handler = type("Handler", (Refuses,), {"seen": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("environ", "region", "hint"),
    [
        ({}, "", "no credentials were found: set AWS_ACCESS_KEY_ID"),
        (KEYS, "", "the credentials of AWS_ACCESS_KEY_ID may not read it"),
        (KEYS, "eu-west-1", "the bucket is in another region: set AWS_REGION to eu-west-1"),
    ],
    ids=["none", "not allowed", "elsewhere"],
)
def test_a_refusal_says_what_is_missing(
    refuses: tuple[str, type[Refuses]],
    tmp_path: Path,
    environ: dict[str, str],
    region: str,
    hint: str,
) -> None:
    url, handler = refuses
    handler.region = region
    with pytest.raises(StartupError, match="403") as raised:
        fetch(tmp_path, "s3://b/p", {"f": b"a"}, AWS_ENDPOINT_URL=url, **environ)
    assert raised.value.hint.startswith(hint)


def test_credentials_of_a_pods_agent_are_asked_for_with_its_token(
    refuses: tuple[str, type[Refuses]], tmp_path: Path
) -> None:
    url, handler = refuses
    (tmp_path / "token").write_text("of the pod\n")
    environ = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token"),
    }
    assert credentials.find(environ) == Credentials("a", "b", "c", "the pod's agent")
    assert handler.seen[0]["Authorization"] == "of the pod"


def test_credentials_of_a_role_are_had_for_a_token_of_kubernetes(
    endpoint: str, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("a.web.token")
    role = "arn:aws:iam::123456789012:role/reader"
    environ = {
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
        "AWS_ROLE_ARN": role,
        "AWS_ENDPOINT_URL": endpoint,
    }
    found = credentials.find(environ)
    assert found is not None
    assert (found.key[:4], found.of, bool(found.secret and found.token)) == ("ASIA", role, True)


def test_credentials_that_cannot_be_had_are_an_error(
    refuses: tuple[str, type[Refuses]],
) -> None:
    url, _ = refuses
    with pytest.raises(
        StartupError, match=r"AWS credentials cannot be had: Refused: .* 403"
    ) as raised:
        credentials.find({"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/no"})
    assert raised.value.hint == "see the role of the pod's service account"


def test_variables_win_over_all_other_credentials() -> None:
    environ = {**KEYS, "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1"}
    assert credentials.find(environ) == Credentials("key", "secret", "", "AWS_ACCESS_KEY_ID")
