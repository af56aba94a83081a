"""How long a request, a stop and a start may take: set together, for each alone misleads Knative.

The grace that a pod is stopped with is its `timeoutSeconds`, of which the queue-proxy keeps the
first 30 s for itself. Where only `timeoutSeconds` is set, 300 s without a first byte end a request.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mlfunc.function import seconds

if TYPE_CHECKING:
    from mlfunc.function import Function
    from mlfunc.knative.release import Release

_QUIET = 30  # queue-proxy, of a pod that is stopped: until no request has come for so long
_LEAST = 60
_PROGRESS = 600  # Knative's own, for a start without a pull
_BYTES_PER_SECOND = 20 * 10**6  # pulled, unpacked and loaded, on a slow day


def request_timeout(function: Function) -> int:
    """Whole seconds that a request may take, a cold start included, and a stop likewise."""
    serve = function.serve
    longest = max(seconds(each) for each in (serve.timeout, serve.hooks.timeout, serve.drain))
    return max(_LEAST, _QUIET + math.ceil(longest))


def of(function: Function) -> dict[str, int]:
    """For the spec of a revision.

    `idleTimeoutSeconds` too: what an administrator has set for all counts before the first byte.
    """
    limit = request_timeout(function)
    return {
        "timeoutSeconds": limit,
        "responseStartTimeoutSeconds": limit,
        "idleTimeoutSeconds": limit,
    }


def progress_deadline(release: Release) -> int:
    """Seconds after which Knative gives a revision up that is not ready."""
    mounted = sum(model.size for model in release.models if model.delivery != "baked")
    return _PROGRESS + (release.size + mounted) // _BYTES_PER_SECOND
