"""Who gets the requests when a new revision comes: `spec.traffic` of the Service."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

Target = dict[str, Any]
_ALL = 100


def traffic(live: Sequence[Target], percent: int | None, tag: str | None) -> list[Target]:
    """The targets with a new revision among them.

    `live` is what the Service's status has: each target with the name of its revision. Without
    `percent` the new one gets all; else those before share what is left as they did. Tags stay.
    """
    share = _ALL if percent is None or not any(each.get("percent") for each in live) else percent
    newest: Target = {"latestRevision": True, "percent": share, **({"tag": tag} if tag else {})}
    others = _shared([each for each in live if each.get("percent")], _ALL - share)
    kept = [_tagged(each) for each in live if each.get("tag") and each.get("tag") != tag]
    return [newest, *others, *kept]


def _shared(live: Sequence[Target], left: int) -> list[Target]:
    """`left` percent among those that had some, in the old proportions; no percent is lost."""
    if not live or not left:
        return []
    whole = sum(each["percent"] for each in live)
    ends = [0, *itertools.accumulate(each["percent"] for each in live)]
    shares = [
        left * end // whole - left * begin // whole for begin, end in itertools.pairwise(ends)
    ]
    return [
        {"revisionName": each["revisionName"], "latestRevision": False, "percent": share}
        for each, share in zip(live, shares, strict=True)
        if share
    ]


def _tagged(target: Target) -> Target:
    return {
        "revisionName": target["revisionName"],
        "latestRevision": False,
        "percent": 0,
        "tag": target["tag"],
    }
