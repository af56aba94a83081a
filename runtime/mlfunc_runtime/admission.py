"""Which requests are taken on, and until when they must be answered."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from mlfunc_runtime.errors import Problem, SettingsError
from mlfunc_runtime.quantities import seconds

if TYPE_CHECKING:
    from mlfunc_runtime.messages import Request

_HEADER = "X-Request-Timeout"


class Refused(Problem):
    """A 503 on arrival. `reason` is what it is counted under."""

    def __init__(self, reason: str, detail: str, retry_after: float) -> None:
        super().__init__(503, detail, headers={"Retry-After": str(max(1, ceil(retry_after)))})
        self.reason = reason


def deadline(request: Request, timeout: float) -> float:
    """When the caller stops waiting (time.perf_counter): after `serve.timeout`, or sooner if it
    says so. Its limit counts from the head of its request, ours from when all of it was there.

    Raises:
        Problem: 400, the header is no duration.

    """
    given = request.headers.get("x-request-timeout")
    if given is None:
        return request.arrived + timeout
    return min(request.arrived + timeout, request.asked + _duration(given))


def check_room(places: int, limit: int, predicted: float) -> None:
    """The hard bound, for each request that waits holds memory and a connection: those that are
    here take `places`, this one included. In `predicted` seconds there may be room again.

    Raises:
        Refused: more are here.

    """
    if places > limit:
        raise Refused("full", f"{limit} requests are waiting already", predicted)


def check_wait(predicted: float, left: float) -> None:
    """Rather no at once than a wait in vain.

    Raises:
        Refused: `predicted`, seconds until the prediction would be there, is more than is `left`.

    """
    if predicted > left:
        told = f"the prediction would take {predicted:.3g} s, the request has {left:.3g} s"
        raise Refused("wait", told, predicted - left)


def _duration(given: str) -> float:
    try:
        found = seconds(given, _HEADER)
    except SettingsError:
        found = 0.0
    if not found:
        wanted = f"{_HEADER}: {given!r} is no duration; write it like 2, 2s or 500ms"
        raise Problem(400, wanted, field=_HEADER)
    return found
