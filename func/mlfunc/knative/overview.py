"""A Knative Service and what belongs to it -> what people ask of a function.

Services that func or kn made are told as well, as far as they say it. Pure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlfunc import accelerators
from mlfunc.knative import diagnosis, names, traffic
from mlfunc.knative.progress import Snapshot
from mlfunc.knative.sentences import sentence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlfunc.knative.traffic import Share

Object = dict[str, Any]
Origin = Literal["mlfunc", "func", "knative"]

FAILED = "failed"


@dataclass(frozen=True)
class Model:
    """A model that a function carries or mounts; `size` in bytes."""

    name: str
    uri: str
    delivery: str
    size: int = 0


@dataclass(frozen=True)
class Summary:
    """A function in a line. `ready` is True, False or Unknown, as Kubernetes writes it.

    A Service stays ready whose function was so once: here it is not while no instance comes to be.
    What is told of models, accelerator and concurrency holds for `revision`.
    """

    name: str
    namespace: str
    origin: Origin
    runtime: str
    url: str
    ready: str
    reason: str  # how far it is, if it is not ready: a phase of its start, or FAILED
    message: str  # the same in a sentence
    revision: str  # the one that serves, else the newest
    instances: int
    models: tuple[Model, ...]
    accelerator: str
    concurrency: int  # requests in one instance at once; 0: as many as come
    shares: Mapping[str, int]  # percent of the requests, by revision: those that get some
    created: str


@dataclass(frozen=True)
class RevisionState:
    """A revision; `percent` of the requests go to it."""

    name: str
    created: str
    ready: str
    reason: str
    message: str
    instances: int
    percent: int
    tags: tuple[str, ...]
    image: str


@dataclass(frozen=True)
class _Trouble:
    """Why a function is not ready, if it is not."""

    word: str
    sentence: str


def summary(service: Object, revisions: Sequence[Object], pods: Sequence[Object] | None) -> Summary:
    """A function in a line; of `revisions` and `pods` those that are its own count.

    Without `pods`, which not everybody may look at, revisions tell how many there are.
    """
    meta = service["metadata"]
    own = None if pods is None else [each for each in pods if _is_of(each, service)]
    made = [each for each in revisions if _is_of(each, service)]
    trouble = _trouble(service, made, own or ())
    spec = of_serving(service, made)
    return Summary(
        name=meta["name"],
        namespace=meta["namespace"],
        origin=origin(service),
        runtime=_label(service, names.FUNCTION_RUNTIME),
        url=url(service),
        ready=_ready(service, trouble),
        reason=trouble.word,
        message=trouble.sentence,
        revision=serving(service),
        instances=_counted(made) if own is None else len(running(own)),
        models=models(spec),
        accelerator=accelerator(spec),
        concurrency=spec["spec"].get("containerConcurrency") or 0,
        shares=_shared(service),
        created=meta["creationTimestamp"],
    )


def url(service: Object) -> str:
    """Where any program reaches it. In a cluster `address` is for those within; on the local
    platform it leads to what `url`, whose name not each resolver knows, leads to.
    """
    status = service.get("status", {})
    own: str = status.get("url", "")
    reached: str = status.get("address", {}).get("url", "")
    return own if not reached or ".svc." in reached else reached


def obstacle(service: Object, revision: str, pods: Sequence[Object] | None) -> str:
    """What keeps instances of a revision from answering, in a sentence; mostly nothing."""
    return _of_instances(service, revision, pods or ()).sentence


def origin(service: Object) -> Origin:
    """Whose command line made it."""
    if _label(service, names.MANAGED_BY) == "mlfunc":
        return "mlfunc"
    return "func" if _label(service, names.FUNCTION_NAME) else "knative"


def serving(service: Object) -> str:
    """The revision that gets most of the requests, else the newest; empty: there is none."""
    shares = [each for each in traffic.shares(service) if each.percent]
    if shares:
        return max(shares, key=lambda each: each.percent).revision
    newest: str = service.get("status", {}).get("latestCreatedRevisionName", "")
    return newest


def of_serving(service: Object, revisions: Sequence[Object]) -> Object:
    """The revision that serves, else what the next one is made of."""
    name = serving(service)
    found = (each for each in revisions if each["metadata"]["name"] == name)
    return next(found, template(service))


def running(pods: Sequence[Object], revision: str | None = None) -> list[Object]:
    """The pods that answer, of all revisions or of one."""
    return [
        each
        for each in pods
        if revision in (None, _label(each, names.REVISION))
        and not each["metadata"].get("deletionTimestamp")
        and diagnosis.condition(each, "Ready").get("status") == "True"
    ]


def template(service: Object) -> Object:
    """What revisions are made of."""
    found: Object = service["spec"].get("template") or {"spec": {}}
    return found


def models(template: Object) -> tuple[Model, ...]:
    """Those of a Service's template, or of a revision."""
    told = _annotations(template).get(names.MODELS, "[]")
    try:
        listed = json.loads(told)
    except ValueError:
        return ()  # somebody has edited it by hand
    return tuple(
        Model(each["name"], each["uri"], each["delivery"], each.get("size") or 0) for each in listed
    )


def accelerator(template: Object) -> str:
    """As `nvidia x2`, by what the container asks for."""
    containers = template["spec"].get("containers") or [{}]
    limits: Mapping[str, Any] = containers[0].get("resources", {}).get("limits") or {}
    for name, row in accelerators.TABLE.items():
        if row.resource and row.resource in limits:
            count = str(limits[row.resource])
            return name if count == "1" else f"{name} x{count}"
    return _annotations(template).get(names.ACCELERATOR, "cpu")


def scaling(revision: Object) -> dict[str, str]:
    """What the autoscaler is told of a revision, without the prefix of all its keys."""
    told = _annotations(revision)
    return {
        key.removeprefix(names.AUTOSCALING): value
        for key, value in told.items()
        if key.startswith(names.AUTOSCALING)
    }


def revisions(
    service: Object, found: Sequence[Object], pods: Sequence[Object] | None
) -> list[RevisionState]:
    """The revisions, the newest first; `pods` as above."""
    shares = traffic.shares(service)
    ordered = sorted(found, key=traffic.age, reverse=True)
    return [_revision(service, each, shares, pods) for each in ordered]


def conditions(service: Object) -> list[tuple[str, str]]:
    """What is not as it should be, as type and sentence."""
    found = service.get("status", {}).get("conditions") or ()
    return [
        (each["type"], sentence(each.get("message") or each.get("reason") or each["status"]))
        for each in found
        if each["status"] != "True" and each.get("severity") != "Info"
    ]


def _counted(revisions: Sequence[Object]) -> int:
    """Their instances, as they count them."""
    return sum(each.get("status", {}).get("actualReplicas") or 0 for each in revisions)


def _revision(
    service: Object, found: Object, shares: Sequence[Share], pods: Sequence[Object] | None
) -> RevisionState:
    name, told = found["metadata"]["name"], diagnosis.condition(found, "Ready")
    trouble = _of_instances(service, name, pods or ())
    ready = told.get("status", "Unknown")
    own = [each for each in shares if each.revision == name]
    return RevisionState(
        name=name,
        created=found["metadata"]["creationTimestamp"],
        ready="False" if trouble.word == FAILED else ready,
        reason=told.get("reason", ""),
        message=trouble.sentence or sentence(told.get("message", "")),
        instances=_counted([found]) if pods is None else len(running(pods, name)),
        percent=sum(each.percent for each in own),
        tags=tuple(each.tag for each in own if each.tag),
        image=found["spec"]["containers"][0]["image"],
    )


def _label(found: Object, label: str) -> str:
    return str((found["metadata"].get("labels") or {}).get(label, ""))


def _annotations(found: Object) -> Mapping[str, str]:
    annotations: Mapping[str, str] = (found.get("metadata") or {}).get("annotations") or {}
    return annotations


def _is_of(found: Object, service: Object) -> bool:
    meta = service["metadata"]
    same_place: bool = found["metadata"].get("namespace") == meta["namespace"]
    return same_place and _label(found, names.SERVICE) == meta["name"]


def _ready(service: Object, trouble: _Trouble) -> str:
    told: str = diagnosis.condition(service, "Ready").get("status", "Unknown")
    if told != "True" or not trouble.word:
        return told
    return "False" if trouble.word == FAILED else "Unknown"


def _shared(service: Object) -> dict[str, int]:
    """The largest share first."""
    found: dict[str, int] = {}
    for each in traffic.shares(service):
        if each.percent:
            found[each.revision] = found.get(each.revision, 0) + each.percent
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _trouble(service: Object, revisions: Sequence[Object], pods: Sequence[Object]) -> _Trouble:
    """That no request is answered comes before that the newest revision does not get there."""
    trouble = _of_serving(service, pods)
    if trouble.word or diagnosis.condition(service, "Ready").get("status") == "True":
        return trouble
    return _of_newest(service, revisions, pods)


def _of_serving(service: Object, pods: Sequence[Object]) -> _Trouble:
    """What keeps those that get requests from answering them.

    Knative says nothing of it: a revision that was ready once stays so.
    """
    shares = _shared(service)
    for name in shares:
        if (found := _of_instances(service, name, pods)).word:
            whose = f"{name}: " if len(shares) > 1 else ""
            return _Trouble(found.word, whose + found.sentence)
    return _Trouble("", "")


def _of_instances(service: Object, revision: str, pods: Sequence[Object]) -> _Trouble:
    """Why none of a revision answers; nothing where one does, or none is wanted or only starts."""
    own = [each for each in pods if _label(each, names.REVISION) == revision]
    if not own or running(own) or diagnosis.may_recover(own):
        return _Trouble("", "")
    progress = diagnosis.of_instances(Snapshot(service, None, own))
    if progress.failure is not None:
        return _Trouble(FAILED, progress.failure.message)
    stays = progress.phase == "scheduling" and progress.detail
    return _Trouble(progress.phase, progress.detail) if stays else _Trouble("", "")


def _of_newest(service: Object, revisions: Sequence[Object], pods: Sequence[Object]) -> _Trouble:
    """The newest revision, and the pods of that, know sooner than the Service."""
    name = service.get("status", {}).get("latestCreatedRevisionName")
    newest = next((each for each in revisions if each["metadata"]["name"] == name), None)
    own = [each for each in pods if name and _label(each, names.REVISION) == name]
    progress = diagnosis.diagnose(Snapshot(service, newest, own))
    others = [each for each in _shared(service) if each != name]
    beside = f"; {' and '.join(others)} {'serve' if others[1:] else 'serves'} on" if others else ""
    told = diagnosis.condition(newest or service, "Ready")
    whose = f"{name}: " if others else ""
    if progress.failure is not None:
        return _Trouble(FAILED, whose + progress.failure.message + beside)
    if told.get("status") == "False":
        return _Trouble(FAILED, whose + _clause(told) + beside)
    if progress.detail or beside:
        return _Trouble(progress.phase, f"{progress.detail}{beside}".removeprefix("; "))
    return _Trouble(progress.phase, _clause(diagnosis.condition(service, "Ready")))


def _clause(condition: Object) -> str:
    """Its message, to which more can be added."""
    return sentence(condition.get("message", "")).rstrip(".")
