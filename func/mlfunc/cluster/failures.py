"""What an API server refuses, as sentences with the next step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mlfunc.errors import ClusterFailed

if TYPE_CHECKING:
    import urllib3

    from mlfunc.cluster.access import Access
    from mlfunc.errors import MlfuncError

_BAD = 400
_CONFLICT = 409


class Conflict(ClusterFailed):
    """Fields that differ belong to another manager: `fields` are paths, with who owns each."""

    def __init__(self, message: str, fields: tuple[tuple[str, str], ...]) -> None:
        super().__init__(message, "mlfunc deploy --force takes them over")
        self.fields = fields


def unreachable(access: Access, error: Exception) -> MlfuncError:
    """Nothing answers, or no TLS comes to be."""
    return ClusterFailed(
        f"the cluster at {access.server} (context {access.context}) cannot be reached: {error}",
        "kubectl cluster-info, with the same KUBECONFIG",
    )


def check(response: urllib3.BaseHTTPResponse, access: Access) -> None:
    """Raise what a reply of 400 or more means."""
    if response.status < _BAD:
        return
    body = response.data or b"{}"
    try:
        status = json.loads(body)
    except ValueError:
        status = {"message": body.decode(errors="replace")}
    message = status.get("message") or f"HTTP {response.status}"
    if response.status == _CONFLICT:
        causes = (status.get("details") or {}).get("causes") or ()
        fields = tuple((each.get("field", ""), each.get("message", "")) for each in causes)
        raise Conflict(message, fields)
    raise ClusterFailed(f"the cluster of context {access.context} refuses: {message}")
