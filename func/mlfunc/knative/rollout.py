"""Who gets the requests when a new revision comes: `spec.traffic` of the Service."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

Target = dict[str, Any]
_ALL = 100


def traffic(
    live: Sequence[Target], percent: int | None, tag: str | None, *, newest: str | None = None
) -> list[Target]:
    """The targets with the newest revision among them.

    `live` is what the Service's status has: each target with the name of its revision. A new one
    gets all without `percent`; else those before share what is left as they did. Tags stay.

    `newest` names one that is there already: it keeps what is not asked for otherwise.
    """
    own = [each for each in live if each["revisionName"] == newest]
    if newest is not None and percent is None:
        percent = sum(each.get("percent") or 0 for each in own)
    tag = tag or next((each["tag"] for each in own if each.get("tag")), None)
    tags = [each for each in live if each.get("tag") and each.get("tag") != tag]
    live = [each for each in live if each not in own]
    share = _ALL if percent is None or not any(each.get("percent") for each in live) else percent
    latest: Target = {"latestRevision": True, "percent": share, **({"tag": tag} if tag else {})}
    others = _shared([each for each in live if each.get("percent")], _ALL - share)
    return [latest, *others, *map(_tagged, tags)]


def _shared(live: Sequence[Target], left: int) -> list[Target]:
    """`left` percent among those that had some, in the old proportions; no percent is lost."""
    had = _percents(live)
    whole = sum(had.values())
    ends = [0, *itertools.accumulate(had.values())]
    shares = [
        left * end // whole - left * begin // whole for begin, end in itertools.pairwise(ends)
    ]
    return [
        {"revisionName": revision, "latestRevision": False, "percent": share}
        for revision, share in zip(had, shares, strict=True)
        if share
    ]


def _percents(live: Sequence[Target]) -> Counter[str]:
    """What each revision has; once each: Knative never calls a Service ready that has one twice."""
    had = Counter[str]()
    for each in live:
        had[each["revisionName"]] += each["percent"]
    return had


def _tagged(target: Target) -> Target:
    return {
        "revisionName": target["revisionName"],
        "latestRevision": False,
        "percent": 0,
        "tag": target["tag"],
    }
