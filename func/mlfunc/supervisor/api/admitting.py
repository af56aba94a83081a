"""What Knative's webhooks would add to an object, and what they would refuse. Pure.

The texts are those of Knative 1.23, where it has the same to say.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlfunc import cron
from mlfunc.cluster import kinds
from mlfunc.knative import syntax
from mlfunc.supervisor.api import refusals
from mlfunc.supervisor.broker.delivery import seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlfunc.cluster.kinds import Kind

Object = dict[str, Any]

# It reads as the start of a sentence: "the local platform refuses: ...".
_WEBHOOK = "the local platform"
_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LONGEST_LABEL = 63
_MOST_AT_ONCE = 1000
_LONGEST_SECONDS = 600
_POD = {"containerConcurrency": 0, "timeoutSeconds": 300, "enableServiceLinks": False}
_ALL = 100
_CONTAINER = "user-container"
_SCALES = ("min-scale", "max-scale", "initial-scale")
_AUTOSCALING = "autoscaling.knative.dev/"


def admitted(kind: Kind, found: Object, before: Object | None) -> Object:
    """An object with what it leaves open.

    Raises:
        Refused: it cannot be.

    """
    _check_metadata(kind, found)
    fill = _DEFAULTS.get(kind)
    with_defaults = fill(found) if fill else found
    problems = list(_PROBLEMS.get(kind, _none)(with_defaults, before))
    if problems:
        raise refusals.denied(_WEBHOOK, problems)
    return with_defaults


def _none(_: Object, __: Object | None) -> Iterator[str]:
    return iter(())


def _check_metadata(kind: Kind, found: Object) -> None:
    meta = found["metadata"]
    problems = []
    if not syntax.is_name(meta["name"]):
        told = f'Invalid value: "{meta["name"]}": a lowercase RFC 1123 subdomain is wanted'
        problems.append(("metadata.name", told))
    for key, value in (meta.get("labels") or {}).items():
        if not (isinstance(value, str) and syntax.is_key(key) and syntax.is_label(value)):
            problems.append(("metadata.labels", f'Invalid value: "{key}: {value}"'))
    for key, value in (meta.get("annotations") or {}).items():
        if not (isinstance(value, str) and syntax.is_key(key.lower())):
            problems.append(("metadata.annotations", f'Invalid value: "{key}: {value}"'))
    if problems:
        raise refusals.invalid(kind, meta["name"], problems)


def _service(found: Object) -> Object:
    spec = found.get("spec") or {}
    template = spec.get("template") or {}
    pod = {**_POD, **(template.get("spec") or {})}
    containers = pod.get("containers") or []
    if len(containers) == 1:
        pod["containers"] = [_container(containers[0])]
    traffic = spec.get("traffic") or [{"latestRevision": True, "percent": _ALL}]
    traffic = [_target(each) for each in traffic]
    template = {"metadata": {}, **template, "spec": pod}
    return {**found, "spec": {**spec, "template": template, "traffic": traffic}}


def _container(found: Object) -> Object:
    probe = {"successThreshold": 1, **(found.get("readinessProbe") or {"tcpSocket": {"port": 0}})}
    return {"name": _CONTAINER, "resources": {}, **found, "readinessProbe": probe}


def _target(found: Object) -> Object:
    return {"latestRevision": not found.get("revisionName"), **found}


def _service_problems(found: Object, _: Object | None) -> Iterator[str]:
    name, spec = found["metadata"]["name"], found["spec"]
    if len(name) > _LONGEST_LABEL or not _LABEL.fullmatch(name):
        yield f"not a DNS 1035 label: {name}: metadata.name"
    yield from _traffic_problems(spec["traffic"])
    template = spec["template"]
    yield from _scale_problems(template.get("metadata", {}).get("annotations") or {})
    yield from _pod_problems(template["spec"])


def _pod_problems(pod: Object) -> Iterator[str]:
    at = "spec.template.spec"
    yield from _outside(pod["containerConcurrency"], _MOST_AT_ONCE, f"{at}.containerConcurrency")
    yield from _outside(pod["timeoutSeconds"], _LONGEST_SECONDS, f"{at}.timeoutSeconds")
    containers = pod.get("containers") or []
    if not containers:
        yield f"missing field(s): {at}.containers"
    elif len(containers) > 1:
        yield f"it runs one container of a revision, not {len(containers)}: {at}.containers"
    elif not containers[0].get("image"):
        yield f"missing field(s): {at}.containers[0].image"


def _outside(value: Any, most: int, at: str) -> Iterator[str]:
    if not (isinstance(value, int) and 0 <= value <= most):
        yield f"expected 0 <= {value} <= {most}: {at}"


def _traffic_problems(traffic: list[Object]) -> Iterator[str]:
    total = sum(each.get("percent") or 0 for each in traffic)
    if total != _ALL:
        yield f"Traffic targets sum to {total}, want {_ALL}: spec.traffic"
    tags = [each["tag"] for each in traffic if each.get("tag")]
    for index, each in enumerate(traffic):
        if each["latestRevision"] == bool(each.get("revisionName")):
            yield f"expected exactly one: spec.traffic[{index}].latestRevision, revisionName"
        percent = each.get("percent") or 0
        yield from _outside(percent, _ALL, f"spec.traffic[{index}].percent")
        if tags.count(each.get("tag")) > 1:
            yield f"Multiple definitions for {each['tag']}: spec.traffic[{index}].tag"


def _scale_problems(annotations: Object) -> Iterator[str]:
    at = f"spec.template.metadata.annotations.{_AUTOSCALING}"
    given = {name: annotations.get(_AUTOSCALING + name) for name in _SCALES}
    wrong = {name: each for name, each in given.items() if each and not each.isdecimal()}
    for name, each in wrong.items():
        yield f"invalid value: {each}: {at}{name}"
    least, most = given["min-scale"], given["max-scale"]
    if least and most and not wrong and 0 < int(most) < int(least):
        yield f"max-scale={most} is less than min-scale={least}: {at}max-scale"


def _trigger(found: Object) -> Object:
    spec, meta = found.get("spec") or {}, found["metadata"]
    labels = {**(meta.get("labels") or {}), "eventing.knative.dev/broker": spec.get("broker") or ""}
    spec = {"filter": {}, **spec, "subscriber": _destination(spec.get("subscriber"), meta)}
    delivery = spec.get("delivery") or {}
    if delivery.get("deadLetterSink"):
        sink = _destination(delivery["deadLetterSink"], meta)
        spec["delivery"] = {**delivery, "deadLetterSink": sink}
    return {**found, "metadata": {**meta, "labels": labels}, "spec": spec}


def _destination(found: Object | None, meta: Object) -> Object:
    """One that names an object means one of its own namespace, where it names none."""
    if not (found and found.get("ref")):
        return found or {}
    return {**found, "ref": {"namespace": meta.get("namespace", ""), **found["ref"]}}


def _trigger_problems(found: Object, before: Object | None) -> Iterator[str]:
    spec = found["spec"]
    if not spec.get("broker"):
        yield "missing field(s): spec.broker"
    elif before is not None and before["spec"].get("broker") != spec["broker"]:
        yield "Immutable fields changed (-old +new): spec.broker"
    yield from _nowhere(spec["subscriber"], "spec.subscriber")
    delivery = spec.get("delivery") or {}
    yield from _delivery_problems(delivery)
    if delivery.get("deadLetterSink"):
        yield from _nowhere(delivery["deadLetterSink"], "spec.delivery.deadLetterSink")
    if any(_has_cesql(each) for each in spec.get("filters") or ()):
        yield "it knows no CESQL, for which no Python library is kept; a cluster does: spec.filters"


def _delivery_problems(found: Object) -> Iterator[str]:
    for key in ("backoffDelay", "timeout"):
        try:
            seconds(found.get(key) or "PT0S")
        except ValueError:
            yield f"invalid value: {found[key]}: spec.delivery.{key}"
    if (found.get("backoffPolicy") or "linear") not in ("linear", "exponential"):
        yield f"invalid value: {found['backoffPolicy']}: spec.delivery.backoffPolicy"
    if not (isinstance(found.get("retry") or 0, int) and (found.get("retry") or 0) >= 0):
        yield f"invalid value: {found['retry']}: spec.delivery.retry"


def _has_cesql(term: Any) -> bool:
    if not isinstance(term, dict):
        return False
    within = [*(term.get("all") or ()), *(term.get("any") or ()), term.get("not")]
    return "cesql" in term or any(_has_cesql(each) for each in within)


def _nowhere(destination: Object, at: str) -> Iterator[str]:
    if not (destination.get("ref") or destination.get("uri")):
        yield f"expected at least one, got none: {at}.ref, {at}.uri"
    elif destination.get("ref") and not destination["ref"].get("name"):
        yield f"missing field(s): {at}.ref.name"


def _ping_source(found: Object) -> Object:
    spec = found.get("spec") or {}
    sink = _destination(spec.get("sink"), found["metadata"])
    return {**found, "spec": {"schedule": "* * * * *", **spec, "sink": sink}}


def _ping_source_problems(found: Object, _: Object | None) -> Iterator[str]:
    spec = found["spec"]
    yield from _nowhere(spec["sink"], "spec.sink")
    if problem := cron.problem(spec["schedule"], spec.get("timezone")):
        yield f"{problem}: spec.schedule"
    if spec.get("data") and spec.get("dataBase64"):
        yield "expected exactly one, got both: spec.data, spec.dataBase64"


def _secret(found: Object) -> Object:
    """Texts are kept as data, as all values of a Secret are."""
    import base64

    given = {key: base64.b64encode(str(each).encode()).decode() for key, each in _texts(found)}
    kept = {key: each for key, each in found.items() if key != "stringData"}
    return {**kept, "type": found.get("type", "Opaque"), "data": {**_data(found), **given}}


def _texts(found: Object) -> list[tuple[str, Any]]:
    return list((found.get("stringData") or {}).items())


def _data(found: Object) -> Object:
    data: Object = found.get("data") or {}
    return data


def _data_problems(found: Object, _: Object | None) -> Iterator[str]:
    for key, value in _data(found).items():
        if not syntax.is_data_key(key):
            yield f"Invalid value: {key!r}: data"
        if not isinstance(value, str):
            yield f"not a text: data.{key}"


_DEFAULTS: dict[Kind, Callable[[Object], Object]] = {
    kinds.SERVICE: _service,
    kinds.TRIGGER: _trigger,
    kinds.PING_SOURCE: _ping_source,
    kinds.SECRET: _secret,
}
_PROBLEMS: dict[Kind, Callable[[Object, Object | None], Iterator[str]]] = {
    kinds.SERVICE: _service_problems,
    kinds.TRIGGER: _trigger_problems,
    kinds.PING_SOURCE: _ping_source_problems,
    kinds.SECRET: _data_problems,
    kinds.CONFIG_MAP: _data_problems,
}
