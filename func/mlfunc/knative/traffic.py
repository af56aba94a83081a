"""Who gets the requests, told and changed by hand: `status.traffic` -> `spec.traffic`.

What a deployment does to them, `rollout` says. Pure.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlfunc.errors import ClusterFailed, NotFound, UsageError
from mlfunc.knative import diagnosis
from mlfunc.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Object = dict[str, Any]
Target = dict[str, Any]

LATEST = "latest"
_ALL = 100


@dataclass(frozen=True)
class Share:
    """What one revision gets of the requests. With `follows`, it is whichever is the newest."""

    revision: str
    percent: int
    follows: bool = False
    tag: str | None = None
    url: str | None = None  # the tag's own


@dataclass(frozen=True)
class Wish:
    """What to change. Revisions go by their name, by a tag, or by `latest`."""

    shares: Mapping[str, int] = field(default_factory=dict)  # percent by revision; empty: as it is
    tags: Mapping[str, str] = field(default_factory=dict)  # revision by tag
    untag: Sequence[str] = ()


def shares(service: Object) -> list[Share]:
    """The split as it is."""
    return [
        Share(
            each["revisionName"],
            each.get("percent") or 0,
            bool(each.get("latestRevision")),
            each.get("tag"),
            each.get("url"),
        )
        for each in service.get("status", {}).get("traffic") or ()
    ]


def change(service: Object, revisions: Sequence[Object], wish: Wish) -> list[Target]:
    """The split as it shall be, for `spec.traffic`; tags that nobody named stay.

    Raises:
        UsageError: the percents do not sum up.
        NotFound: there is no such revision or tag.
        ClusterFailed: a revision that shall get requests cannot answer them.

    """
    now = shares(service)
    known = _Known(service, revisions, now)
    percents = Counter[str]()
    for name, share in wish.shares.items():
        percents[known.find(name)] += share  # one revision may be given by two names
    if wish.shares:
        _check_sum(percents, now)
    for revision, percent in percents.items():
        if percent:
            known.check_ready(revision)
    tags = {**_kept(now, wish.untag), **{tag: known.find(to) for tag, to in wish.tags.items()}}
    before = {_key(each): each.percent for each in now if each.percent}
    return _targets(percents or before, tags)


def promotion(service: Object, revisions: Sequence[Object]) -> list[Target]:
    """All requests to the newest revision that is ready, and to those that come after it."""
    return change(service, revisions, Wish(shares={LATEST: _ALL}))


def previous(service: Object, revisions: Sequence[Object], *, to: str | None = None) -> Object:
    """The revision to go back to: the newest one that is ready and older than what serves now.

    Raises:
        NotFound: there is none.
        ClusterFailed: the one that was named cannot answer.

    """
    now = shares(service)
    known = _Known(service, revisions, now)
    if to is not None:
        return known.check_ready(known.find(to))
    serving = {each.revision for each in now if each.percent}
    ordered = sorted(revisions, key=age)
    newest = max((i for i, each in enumerate(ordered) if _name(each) in serving), default=0)
    older = [each for each in ordered[:newest] if is_ready(each)]
    if not older:
        raise _nothing_before(service, ordered, serving)
    return older[-1]


def back_to(service: Object, revisions: Sequence[Object], revision: Object) -> list[Target]:
    """All requests to one revision, for good."""
    return change(service, revisions, Wish(shares={_name(revision): _ALL}))


def is_ready(revision: Object) -> bool:
    """Whether it can answer; one that is scaled to zero can."""
    return diagnosis.condition(revision, "Ready").get("status") == "True"


def age(revision: Object) -> tuple[int, str]:
    """What sorts revisions by when they were made, the newest last: times are in whole seconds."""
    meta = revision["metadata"]
    generation = meta.get("labels", {}).get("serving.knative.dev/configurationGeneration", "0")
    return int(generation), meta["creationTimestamp"]


class _Known:
    """What a name of the command line can stand for."""

    def __init__(self, service: Object, revisions: Sequence[Object], now: Sequence[Share]) -> None:
        self._service = service["metadata"]["name"]
        self._latest = service.get("status", {}).get("latestReadyRevisionName")
        self._revisions = {_name(each): each for each in revisions}
        self._tags = {each.tag: _key(each) for each in now if each.tag}

    def find(self, name: str) -> str:
        if name.removeprefix("@") == LATEST:
            return LATEST
        if name in self._revisions:
            return name
        if name in self._tags:
            return self._tags[name]
        known = [*self._revisions, *self._tags, LATEST]
        raise NotFound(f"{self._service} has no revision {name}", did_you_mean(name, known))

    def check_ready(self, name: str) -> Object:
        if name == LATEST and self._latest is None:
            hint = f"mlfunc describe {self._service}"
            raise ClusterFailed(f"no revision of {self._service} has been ready yet", hint)
        revision = self._revisions.get(self._latest if name == LATEST else name)
        if revision is None or not is_ready(revision):
            why = diagnosis.condition(revision or {}, "Ready").get("message") or "it does not run"
            raise ClusterFailed(
                f"{self._latest if name == LATEST else name} is not ready: {why}",
                f"mlfunc describe {self._service} tells more; choose one that is ready",
            )
        return revision


def _key(share: Share) -> str:
    return LATEST if share.follows else share.revision


def _check_sum(percents: Mapping[str, int], now: Sequence[Share]) -> None:
    given = sum(percents.values())
    if given != _ALL:
        hint = "give less to one of them" if given > _ALL else _rest(percents, now)
        raise UsageError(f"the percents sum up to {given}, not to 100", hint)


def _rest(percents: Mapping[str, int], now: Sequence[Share]) -> str:
    """Who might get what is left: one that has requests now, else the last that is given any."""
    left = _ALL - sum(percents.values())
    for each in now:
        if each.percent and percents.keys().isdisjoint((_key(each), each.revision)):
            return f"add {each.revision}={left}"
    name, percent = [*percents.items()][-1]
    return f"{name}={percent + left}"


def _kept(now: Sequence[Share], untag: Sequence[str]) -> dict[str, str]:
    there = {each.tag: _key(each) for each in now if each.tag}
    for tag in untag:
        if tag not in there:
            hint = did_you_mean(tag, there) if there else ""
            raise NotFound(f"no revision has the tag {tag}", hint)
    return {tag: key for tag, key in there.items() if tag not in untag}


def _targets(percents: Mapping[str, int], tags: Mapping[str, str]) -> list[Target]:
    """One for each revision with its first tag, and one for each further tag."""
    found: list[Target] = []
    for key in dict.fromkeys((*percents, *tags.values())):
        names = [tag for tag, to in tags.items() if to == key]
        percent = percents.get(key, 0)
        if percent or names:
            found.append(_target(key, percent, names[0] if names else None))
        found += [_target(key, 0, tag) for tag in names[1:]]
    return found


def _target(key: str, percent: int, tag: str | None) -> Target:
    which = {"latestRevision": True}
    if key != LATEST:
        which = {"latestRevision": False, "revisionName": key}  # type: ignore[dict-item]
    return {**which, "percent": percent, **({"tag": tag} if tag else {})}


def _name(found: Object) -> str:
    name: str = found["metadata"]["name"]
    return name


def _nothing_before(service: Object, ordered: Sequence[Object], serving: set[str]) -> NotFound:
    name = _name(service)
    others = [_name(each) for each in ordered if _name(each) not in serving and is_ready(each)]
    hint = f"--to {others[-1]}" if others else "Knative keeps those of the last 48 hours"
    return NotFound(f"{name} has no revision that was ready before the one that serves", hint)
