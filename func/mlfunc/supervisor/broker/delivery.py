"""How often an event is sent, when, and what its answer means: by Knative's rules. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

DEFAULT: dict[str, Any] = {  # of a Broker, as Knative's config-br-defaults has it
    "retry": 10,
    "backoffPolicy": "exponential",
    "backoffDelay": "PT0.2S",
}
_RETRIED = {404, 408, 409, 429}
_LONGEST_PAUSE = 86_400.0
_UNBOUNDED = 900.0  # Knative's channel gives up after a quarter of an hour
_ISO = re.compile(
    r"P(?:(\d+(?:\.\d+)?)D)?(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?"
)
NO_ANSWER = -1  # what Knative notes in place of a status


@dataclass(frozen=True)
class Policy:
    """Times are seconds; `retry`: tries after the first."""

    retry: int = 0
    backoff: Literal["exponential", "linear"] | None = None
    delay: float = 0.0
    timeout: float = _UNBOUNDED

    def pause(self, failures: int) -> float | None:
        """Until the next try, after so many in vain; None: there is none.

        Knative counts from zero: the first pause of a linear one is none.
        """
        if failures > self.retry:
            return None
        number = failures - 1
        factor = {"exponential": 2.0 ** min(number, 60), "linear": float(number)}
        return min(self.delay * factor[self.backoff], _LONGEST_PAUSE) if self.backoff else 0.0


def policy(spec: dict[str, Any]) -> Policy:
    """Of a `delivery`, of a Trigger or a Broker."""
    timeout = spec.get("timeout")
    whole = spec.get("backoffPolicy") and spec.get("backoffDelay")
    return Policy(
        retry=spec.get("retry") or 0,
        backoff=spec["backoffPolicy"] if whole else None,
        delay=seconds(spec["backoffDelay"]) if whole else 0.0,
        timeout=(seconds(timeout) if timeout else 0.0) or _UNBOUNDED,
    )


def is_tried_again(status: int) -> bool:
    """Whether another try may come to another answer."""
    return status == NO_ANSWER or status >= 500 or status in _RETRIED


def seconds(iso: str) -> float:
    """Of a duration of ISO 8601, up to days.

    Raises:
        ValueError: it is none.

    """
    found = _ISO.fullmatch(iso)
    if not found or not any(found.groups()):
        raise ValueError(f"{iso!r} is no duration of ISO 8601, such as PT0.2S")
    days, hours, minutes, rest = (float(each or 0) for each in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest
