"""Models in object stores that speak S3: s3://bucket/prefix, where `$AWS_ENDPOINT_URL` says.

Credentials are found as everywhere by boto3: variables, profiles, roles.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from typing import TYPE_CHECKING, Any

from mlfunc.errors import MlfuncError, NotFound
from mlfunc.models.source import PIECE, Broken, Item, Listing

if TYPE_CHECKING:
    from collections.abc import Iterator

_CREDENTIALS_HINT = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
_DENIED = {"AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}
_PAGE = 1000
_MISSING = {"NoSuchBucket", "NoSuchKey", "404", "NotFound"}


class Bucket:
    """The objects at a prefix."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        self._prefix = prefix.rstrip("/")
        self._client = _client()

    def listing(self) -> Listing:
        """The objects, and the digest of what the store says of their versions."""
        with self._told():
            objects = [each for each in self._objects() if not each["Key"].endswith("/")]
            items = tuple(self._item(each) for each in objects)
        if not items:
            raise NotFound(f"nothing is at {self._uri}", "mend its bucket or prefix in mlfunc.yaml")
        state = "\n".join(f"{each['Key']} {each['ETag']}" for each in objects)
        return Listing(hashlib.sha256(state.encode()).hexdigest(), items)

    def read(self, revision: str, path: str, offset: int) -> Iterator[bytes]:  # noqa: ARG002 - a prefix has no revisions: hashes tell
        """An object's bytes from `offset` on."""
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        with self._told():
            got = self._client.get_object(
                Bucket=self._bucket, Key=self._key(path), Range=f"bytes={offset}-"
            )
        try:
            with contextlib.closing(got["Body"]) as body:
                yield from body.iter_chunks(PIECE)
        except (BotoCoreError, HTTPError) as error:
            raise Broken(str(error)) from error

    def _key(self, path: str) -> str:
        return url(self._uri, path).removeprefix(f"s3://{self._bucket}/")

    def _objects(self) -> Iterator[dict[str, Any]]:
        """One object, where the address is its key; else those below it."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix, PaginationConfig={"PageSize": _PAGE}
        )
        below = f"{self._prefix}/" if self._prefix else ""
        for page in pages:
            for each in page.get("Contents", ()):
                if each["Key"] == self._prefix or each["Key"].startswith(below):
                    yield each

    def _item(self, each: dict[str, Any]) -> Item:
        key = str(each["Key"])
        path = key.removeprefix(self._prefix).lstrip("/") or key.rpartition("/")[2]
        known = "SHA256" in each.get("ChecksumAlgorithm", ())
        return Item(path, int(each["Size"]), self._sha256(key) if known else None)

    def _sha256(self, key: str) -> str | None:
        """The store's own checksum, where it is that of the whole object."""
        head = self._client.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
        checksum = head.get("ChecksumSHA256", "")
        if head.get("ChecksumType") == "COMPOSITE" or "-" in checksum or not checksum:
            return None
        return base64.b64decode(checksum).hex()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """The failures of boto3, as ours."""
        from botocore import exceptions

        try:
            yield
        except (exceptions.NoCredentialsError, exceptions.ProfileNotFound) as error:
            raise MlfuncError(f"no credentials for {self._uri}", _CREDENTIALS_HINT) from error
        except exceptions.ClientError as error:
            raise self._refusal(error.response["Error"]) from error
        except exceptions.BotoCoreError as error:
            message = f"{self._uri} cannot be read: {error}"
            raise MlfuncError(message, "check the network, AWS_ENDPOINT_URL, AWS_REGION") from error

    def _refusal(self, error: dict[str, str]) -> MlfuncError:
        code = error.get("Code", "")
        if code in _MISSING:
            return NotFound(f"{self._uri} is not there: {code}", "mend it in mlfunc.yaml")
        if code in _DENIED:
            return MlfuncError(f"the store refuses {self._uri}: {code}", _CREDENTIALS_HINT)
        return MlfuncError(f"the store fails for {self._uri}: {code} {error.get('Message', '')}")


def url(uri: str, path: str) -> str:
    """The address of a file of the model: its own, where that is the file's already."""
    base = uri.rstrip("/")
    return base if base.endswith(f"/{path}") else f"{base}/{path}"


def _client() -> Any:
    try:
        from boto3.session import Session
    except ImportError as error:
        message = "models by s3:// need boto3"
        raise MlfuncError(message, "pip install 'mlfunc[s3]'") from error
    # A session of its own: the default one keeps credentials, and is none for several threads.
    return Session().client("s3")
