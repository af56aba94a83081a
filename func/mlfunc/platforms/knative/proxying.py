"""Requests to a function by way of the API server, which passes them on to the ingress.

So nothing has to be reached but the API server. It leaves the Host header as it is, and so the
ingress knows whom a request is for. Nothing is sent twice: the function may have acted on it.
"""

from __future__ import annotations

import http.client
import io
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlfunc.cluster import failures, refusals
from mlfunc.errors import ClusterFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import urllib3

    from mlfunc.cluster.client import Cluster
    from mlfunc.knative.ingress import Entrance

# Of the login to the API server, which keeps them from what is behind it.
_TAKEN = ("authorization", "impersonate-")


class Proxy:
    """The API server, as what carries requests to an entrance of the ingress.

    `timeout` is how many seconds nothing may come.
    """

    def __init__(self, cluster: Cluster, entrance: Entrance, timeout: float) -> None:
        where = f"/api/v1/namespaces/{entrance.namespace}/services/http:{entrance.service}:80"
        self.title = f"the API server of context {cluster.access.context}"
        self._root = f"{where}/proxy"
        self._cluster = cluster
        self._entrance = entrance
        self._timeout = timeout

    def send(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
    ) -> _Reply:
        """One request, and what the function answers.

        Raises:
            UsageError: a header is for the API server.
            ClusterFailed: it cannot be reached, or does not pass it on.

        """
        self._refuse_taken(headers)
        with self._told(body):
            reply = self._cluster.pass_on(
                method, f"{self._root}{target}", body, headers, read_seconds=self._timeout
            )
        if reply.status < 400:
            return _Reply(reply)
        with _as_of_http_client():
            said = reply.read(decode_content=False)
        if failures.is_status(said):
            raise self._refusal(reply.status, said)
        return _Reply(reply, said)

    def close(self) -> None:
        """Nothing: connections are the cluster's own."""

    @contextmanager
    def _told(self, body: bytes | None) -> Iterator[None]:
        """Of what ends without a reply, what is not the API server's fault."""
        from urllib3 import exceptions as wrong

        try:
            yield
        except failures.Unavailable as error:
            if isinstance(error.__cause__, wrong.ReadTimeoutError):
                raise TimeoutError(error.message) from error
            # Of one that is too large only a part is read; the answer to it is lost with the rest.
            if body and _is_cut(error.__cause__):
                message = f"{self.title} ended the connection, and gave no reply"
                hint = f"is the body larger than serve.max_body? it has {len(body)} bytes"
                raise ClusterFailed(message, hint) from error
            raise

    def _refuse_taken(self, headers: Mapping[str, str]) -> None:
        for name in headers:
            if name.lower().startswith(_TAKEN):
                message = f"{self.title} keeps the header {name} for itself"
                raise UsageError(message, f"reach the ingress: {self._forwarding()}")

    def _refusal(self, code: int, said: bytes) -> ClusterFailed:
        """Why the API server does not pass it on."""
        status, at = refusals.status(code, said), self._entrance
        error = failures.told(status, self._cluster.access)
        if isinstance(error, failures.Forbidden):
            message = f"you may not send requests by way of the API server: {error.message}"
            rights = f"the rights to get and create services/proxy in namespace {at.namespace}"
            return failures.Forbidden(message, f"it takes {rights}; or --ingress URL")
        if code == 401:
            return error
        service = f"Service {at.service} in namespace {at.namespace}"
        message = f"{self.title} does not pass requests on to {service}: {status['message']}"
        return ClusterFailed(message, f"kubectl get pods -n {at.namespace}; {self._forwarding()}")

    def _forwarding(self) -> str:
        at = self._entrance
        forward = f"kubectl port-forward -n {at.namespace} service/{at.service} 8080:80"
        return f"{forward}, and --ingress http://127.0.0.1:8080"


class _Reply:
    """A reply of urllib3, as http.client has it; `body`, if it was read already."""

    def __init__(self, reply: urllib3.BaseHTTPResponse, body: bytes | None = None) -> None:
        self.status = reply.status
        self.reason = reply.reason or ""
        self._reply = reply
        self._body = None if body is None else io.BytesIO(body)

    @property
    def length(self) -> int | None:
        return None  # urllib3 itself says if some is missing

    def getheaders(self) -> list[tuple[str, str]]:
        return list(self._reply.headers.items())

    def read1(self, n: int) -> bytes:
        if self._body is not None:
            return self._body.read1(n)
        with _as_of_http_client():
            return self._reply.read1(n, decode_content=False)

    def close(self) -> None:
        self._reply.close()


def _is_cut(error: BaseException | None) -> bool:
    """Whether the connection was ended by the other end, while something was sent."""
    from urllib3 import exceptions as wrong

    if isinstance(error, wrong.SSLError):
        return "EOF occurred" in str(error)
    return isinstance(error, wrong.ProtocolError) and isinstance(
        error.args[-1], ConnectionResetError
    )


@contextmanager
def _as_of_http_client() -> Iterator[None]:
    import urllib3

    try:
        yield
    except urllib3.exceptions.ReadTimeoutError as error:
        raise TimeoutError(str(error)) from error
    except urllib3.exceptions.HTTPError as error:
        raise http.client.HTTPException(str(error)) from error
