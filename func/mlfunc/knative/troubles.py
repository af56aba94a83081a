"""What keeps a function from being ready, or from answering although Knative calls it ready. Pure.

`shares` are percent of the requests, by revision: those that get some.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlfunc.knative import diagnosis, names
from mlfunc.knative.progress import Snapshot
from mlfunc.knative.sentences import sentence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Object = dict[str, Any]

FAILED = "failed"


@dataclass(frozen=True)
class Trouble:
    """Why a function is not ready: a phase of its start, or FAILED; empty, where it is."""

    word: str
    sentence: str


def of(
    service: Object,
    revisions: Sequence[Object],
    pods: Sequence[Object],
    shares: Mapping[str, int],
) -> Trouble:
    """That no request is answered comes before that the newest revision does not get there."""
    trouble = _of_serving(service, pods, shares)
    if trouble.word or diagnosis.condition(service, "Ready").get("status") == "True":
        return trouble
    return _of_newest(service, revisions, pods, shares)


def _of_serving(service: Object, pods: Sequence[Object], shares: Mapping[str, int]) -> Trouble:
    """What keeps those that get requests from answering them.

    Knative says nothing of it: a revision that was ready once stays so.
    """
    for name in shares:
        if (found := of_instances(service, name, pods)).word:
            whose = f"{name}: " if len(shares) > 1 else ""
            return Trouble(found.word, whose + found.sentence)
    return Trouble("", "")


def of_instances(service: Object, revision: str, pods: Sequence[Object]) -> Trouble:
    """Why none of a revision answers; nothing where one does, or none is wanted or only starts."""
    own = [each for each in pods if _revision(each) == revision]
    if not own or _answers(own) or diagnosis.may_recover(own):
        return Trouble("", "")
    progress = diagnosis.of_instances(Snapshot(service, None, own))
    if progress.failure is not None:
        return Trouble(FAILED, progress.failure.message)
    stays = progress.phase == "scheduling" and progress.detail
    return Trouble(progress.phase, progress.detail) if stays else Trouble("", "")


def _of_newest(
    service: Object,
    revisions: Sequence[Object],
    pods: Sequence[Object],
    shares: Mapping[str, int],
) -> Trouble:
    """The newest revision, and the pods of that, know sooner than the Service."""
    name = service.get("status", {}).get("latestCreatedRevisionName")
    newest = next((each for each in revisions if each["metadata"]["name"] == name), None)
    own = [each for each in pods if name and _revision(each) == name]
    progress = diagnosis.diagnose(Snapshot(service, newest, own))
    others = [each for each in shares if each != name]
    beside = f"; {' and '.join(others)} {'serve' if others[1:] else 'serves'} on" if others else ""
    told = diagnosis.condition(newest or service, "Ready")
    whose = f"{name}: " if others else ""
    if progress.failure is not None:
        return Trouble(FAILED, whose + progress.failure.message + beside)
    if told.get("status") == "False":
        return Trouble(FAILED, whose + _clause(told) + beside)
    if progress.detail or beside:
        return Trouble(progress.phase, f"{progress.detail}{beside}".removeprefix("; "))
    return Trouble(progress.phase, _clause(diagnosis.condition(service, "Ready")))


def _clause(condition: Object) -> str:
    """Its message, to which more can be added."""
    return sentence(condition.get("message", "")).rstrip(".")


def _answers(pods: Sequence[Object]) -> bool:
    ready = (diagnosis.condition(each, "Ready") for each in diagnosis.staying(pods))
    return any(each.get("status") == "True" for each in ready)


def _revision(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get(names.REVISION, ""))
