"""Object stores that speak S3: s3://bucket/prefix. Requests are signed (Signature Version 4)."""

from __future__ import annotations

import hashlib
import hmac
import time
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from mlfunc_runtime.weights import credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlfunc_runtime.weights.credentials import Credentials
    from mlfunc_runtime.weights.http import Refused
    from mlfunc_runtime.weights.listing import Listing

_NO_BODY = hashlib.sha256(b"").hexdigest()
_DENIED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class Bucket:
    """The objects at a prefix, where `$AWS_ENDPOINT_URL` and `$AWS_REGION` say."""

    def __init__(self, listing: Listing, environ: Mapping[str, str]) -> None:
        self._bucket, _, prefix = listing.uri.removeprefix("s3://").partition("/")
        self._prefix = prefix.rstrip("/")
        self._region = credentials.region(environ)
        self._credentials = credentials.find(environ)
        endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
        self._base = _base(endpoint, self._bucket, self._region)

    def request(self, path: str) -> tuple[str, dict[str, str]]:
        """Signed for a quarter of an hour, or not at all where there are no credentials."""
        url = f"{self._base}/{quote(self._key(path))}"
        if self._credentials is None:
            return url, {}
        return url, sign(url, self._credentials, self._region, time.gmtime())

    def hint(self, refused: Refused) -> str:
        """What to do about a refusal."""
        home = refused.headers.get("x-amz-bucket-region", self._region)
        if home != self._region:
            return f"the bucket is in another region: set AWS_REGION to {home}"
        if refused.status in _DENIED and self._credentials is not None:
            return f"the credentials of {self._credentials.of} may not read it"
        if refused.status in _DENIED:
            return f"no credentials were found: {credentials.PLACES}"
        return "see whether its bucket and prefix are still there"

    def _key(self, path: str) -> str:
        """The prefix may be the object itself."""
        whole = self._prefix == path or self._prefix.endswith(f"/{path}")
        return self._prefix if whole or not self._prefix else f"{self._prefix}/{path}"


def sign(url: str, who: Credentials, region: str, now: time.struct_time) -> dict[str, str]:
    """The headers of a GET without a query.

    Spec: AWS General Reference, "Create a signed AWS API request".
    """
    parts = urlsplit(url)
    moment, day = time.strftime("%Y%m%dT%H%M%SZ", now), time.strftime("%Y%m%d", now)
    headers = {"host": parts.netloc, "x-amz-content-sha256": _NO_BODY, "x-amz-date": moment}
    if who.token:
        headers["x-amz-security-token"] = who.token
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = "\n".join(["GET", parts.path, "", lines, names, _NO_BODY])
    scope = f"{day}/{region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{who.secret}".encode()
    for text in scope.split("/"):
        key = _mac(key, text)
    signature = _mac(key, f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}").hex()
    told = f"Credential={who.key}/{scope}, SignedHeaders={names}, Signature={signature}"
    del headers["host"]  # http.client writes it itself
    return {**headers, "Authorization": f"AWS4-HMAC-SHA256 {told}"}


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _base(endpoint: str | None, bucket: str, region: str) -> str:
    """Other stores have their buckets in the path; so has AWS those whose dots no certificate
    covers.
    """
    if endpoint:
        return f"{endpoint.rstrip('/')}/{bucket}"
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    if "." in bucket:
        return f"https://s3.{region}.{domain}/{bucket}"
    return f"https://{bucket}.s3.{region}.{domain}"
