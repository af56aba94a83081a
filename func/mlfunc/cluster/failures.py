"""What an API server refuses, as sentences with the next step; and which of it may pass."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, TypeVar

from mlfunc.cluster import refusals
from mlfunc.cluster.refusals import Asked
from mlfunc.errors import ClusterFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    import urllib3

    from mlfunc.cluster.access import Access

T = TypeVar("T")

_BAD = 400
# urllib3 puts before the reason which object of its own failed.
_OF_URLLIB3 = re.compile(r"^(\w+\([^)]*\)|<[^>]*>): ")


class Unavailable(ClusterFailed):
    """No answer, or one that may be another the next time."""


class Expired(ClusterFailed):
    """The API server has forgotten the version that a watch would go on from (410)."""


class Forbidden(ClusterFailed):
    """This user may not do that (403), or nobody can (405)."""


class Absent(ClusterFailed):
    """There is no such object, no such kind of it, or no such namespace (404)."""


class Conflict(ClusterFailed):
    """Fields that differ belong to others: `fields` are paths, each with the manager it has."""

    def __init__(self, message: str, fields: tuple[tuple[str, str], ...]) -> None:
        super().__init__(message, "mlfunc deploy --force takes them over")
        self.fields = fields


_CLASSES = {403: Forbidden, 404: Absent, 405: Forbidden, 410: Expired}
_MAY_PASS = (429, 500, 502, 503, 504)


def check(response: urllib3.BaseHTTPResponse, access: Access) -> None:
    """Raise what a reply of 400 or more means.

    Raises:
        ClusterFailed: of the class above that it belongs to, if any.

    """
    if response.status < _BAD:
        return
    status = refusals.status(response.status, response.data)
    raise told(status, access, path=response.url or "")


def told(status: dict[str, Any], access: Access, *, path: str = "") -> ClusterFailed:
    """What a Status of the API server means, as an error to be raised; `path` is what was asked."""
    message, hint = refusals.sentence(status, Asked(access.context, access.title, path))
    code, details = status["code"], refusals.evidence(status)
    if fields := refusals.conflicts(status):
        return Conflict(message, fields)
    # A 500 without a reason is about what was sent.
    if code in _MAY_PASS and (code != 500 or "reason" in status):
        return Unavailable(message, hint)
    return _CLASSES.get(code, ClusterFailed)(message, hint, evidence=details)


def permitted(ask: Callable[[], T]) -> T | None:
    """What is answered; None where this user may not ask, or the kind is not known there."""
    try:
        return ask()
    except (Forbidden, Absent):
        return None


def is_missing(response: urllib3.BaseHTTPResponse) -> bool:
    """Whether the object that was asked for is not there, though its kind is known (404)."""
    if response.status != 404:
        return False
    status = refusals.status(response.status, response.data)
    return "name" in (status.get("details") or {})


def is_status(body: bytes) -> bool:
    """Whether a reply is the API server's own, and not that of what it passes requests on to."""
    try:
        found = json.loads(body)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("kind") == "Status" and "code" in found


def unreachable(access: Access, error: Exception) -> Unavailable:
    """Nothing answers, the answer breaks off, or no TLS comes to be."""
    reason, hint = _reason(error)
    if access.named:
        return Unavailable(f"{access.named} cannot be reached: {reason}", access.help)
    where = f"the cluster at {access.server} (context {access.context})"
    return Unavailable(f"{where} cannot be reached: {reason}", hint)


def no_api_server(access: Access, said: bytes) -> ClusterFailed:
    """What answers is something else, such as the page of a portal that wants a login."""
    text = " ".join(said.decode(errors="replace").split())[:80]
    message = f"what answers at {access.server} (context {access.context}) is no API server"
    return ClusterFailed(message, "a proxy, or a login to the network?", evidence=text)


def _reason(error: Exception) -> tuple[str, str]:
    from urllib3 import exceptions as wrong

    text = _OF_URLLIB3.sub("", str(error))
    if isinstance(error, wrong.SSLError):
        return _tls(text)
    if isinstance(error, wrong.ProxyError):
        hint = "HTTPS_PROXY, or proxy-url of kubeconfig, names it; NO_PROXY=HOST goes without"
        return f"the proxy fails: {_of_system(str(error.original_error))}", hint
    if isinstance(error, wrong.NewConnectionError) and not isinstance(
        error, wrong.NameResolutionError
    ):
        return _of_system(text), "does it run? kubectl cluster-info"
    sentences = {
        wrong.NameResolutionError: ("nobody knows its name here", "is it one of a VPN?"),
        wrong.ConnectTimeoutError: ("it does not answer in time", "a VPN, or a firewall?"),
        wrong.ReadTimeoutError: ("it says nothing for too long", "kubectl get --raw /readyz"),
        wrong.ProtocolError: ("the connection broke off", "kubectl get --raw /readyz"),
    }
    return sentences.get(type(error), (text, "kubectl cluster-info"))


def _of_system(text: str) -> str:
    """Of all that urllib3 says, what the system said."""
    return re.sub(r".*\[Errno -?\d+\] ", "", text).lower()


def _tls(text: str) -> tuple[str, str]:
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text:
        return "it speaks no TLS", "is its server in kubeconfig http:// rather than https://?"
    reason = re.sub(r"^\[SSL[^\]]*\] | \(_ssl\.c:\d+\)$", "", text)
    if "CERTIFICATE_VERIFY_FAILED" not in text:
        return f"no TLS comes to be: {reason}", "kubectl cluster-info, with the same KUBECONFIG"
    hint = "kubeconfig has the certificate of another cluster, or of an older one: fetch it anew"
    return f"its certificate is not good: {reason}", hint
