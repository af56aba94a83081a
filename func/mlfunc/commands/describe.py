"""`mlfunc describe`: all that there is to know of a function."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from mlfunc import options

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.cluster.client import Object
    from mlfunc.knative.coldstart import ColdStart
    from mlfunc.knative.overview import RevisionState
    from mlfunc.knative.subscriptions import Subscribed
    from mlfunc.platforms.knative.reading import Belongings
    from mlfunc.ui import Ui

# As mlfunc.yaml calls what Knative's annotations have.
_SCALING = {
    "min_scale": "min",
    "max_scale": "max",
    "target": "target",
    "metric": "metric",
    "window": "window",
    "initial_scale": "initial",
}


@click.command("describe")
@click.argument("name", required=False)
@options.folder_if_given
@options.cluster
@options.reporting("Show tracebacks.")
@click.pass_obj
def command(
    ui: Ui,
    name: str | None,
    folder: Path | None,
    platform: str | None,
    context: str | None,
    namespace: str | None,
) -> None:
    """Show what there is to know of a function: what serves, since when, and if not, why.

    NAME is any Knative Service.  [default: the function of this folder]
    """
    from mlfunc.platforms.knative import addressing, reading

    where = addressing.Where(folder, context, namespace, platform)
    found = reading.belongings(addressing.find(name, where))
    data = _as_data(found, where.chosen().name)
    ui.show(data, human=lambda: _report(ui, found, data))


def _as_data(found: Belongings, deployer: str) -> dict[str, Any]:
    """What `func describe -o json` has as well is called as it is there."""
    from mlfunc.knative import overview, restarts, traffic, writers

    service = found.service
    summary = overview.summary(service, found.revisions, found.pods)
    spec = overview.of_serving(service, found.revisions)["spec"]
    shares = traffic.shares(service)
    return {
        "url": summary.url,
        "routes": _routes(service, summary.url),
        "name": summary.name,
        "image": spec["containers"][0]["image"],
        "namespace": summary.namespace,
        "deployer": deployer,
        "subscriptions": [_subscription(each) for each in found.subscriptions],
        "schedules": [asdict(each) for each in found.schedules],
        "labels": service["metadata"].get("labels") or {},
        "ready": summary.ready == "True",
        "reason": summary.reason or None,
        "message": summary.message or None,
        "runtime": summary.runtime,
        "origin": summary.origin,
        "revision": summary.revision or None,
        "replicas": summary.instances,
        "not_ready": dict(overview.conditions(service)),
        "traffic": [asdict(each) for each in shares],
        "revisions": [
            {**asdict(each), "ready": each.ready == "True"}
            for each in overview.revisions(service, found.revisions, found.pods)
        ],
        "models": [asdict(each) for each in summary.models],
        "accelerator": summary.accelerator,
        "concurrency": summary.concurrency,
        "scaling": _scaling(found),
        "bound": _bound(found, summary.revision),
        "timeouts": {
            "request_seconds": spec.get("timeoutSeconds"),
            "first_byte_seconds": spec.get("responseStartTimeoutSeconds"),
            "idle_seconds": spec.get("idleTimeoutSeconds"),
        },
        "start": _start(found.start),
        "restarts": [asdict(each) for each in restarts.of(found.pods or ())],
        "changed_by": [asdict(each) for each in writers.others(service)],
    }


def _routes(service: Object, url: str) -> list[str]:
    """All its addresses, that of any program first; those of its tags last."""
    from mlfunc.knative import traffic

    own = service.get("status", {}).get("url", "")
    tagged = (each.url for each in traffic.shares(service) if each.url)
    return [each for each in dict.fromkeys((url, own, *tagged)) if each]


def _subscription(each: Subscribed) -> dict[str, Any]:
    exact = each.filter
    return {"source": exact.get("source", ""), "type": exact.get("type", ""), **asdict(each)}


def _scaling(found: Belongings) -> dict[str, str | int | float]:
    """Of the revision itself: it can be told otherwise than the Service's template says."""
    from mlfunc.knative import overview

    told = overview.scaling(overview.of_serving(found.service, found.revisions))
    return {key.replace("-", "_"): _number(value) for key, value in told.items()}


def _number(text: str) -> str | int | float:
    """Annotations are texts, whatever they mean; a duration stays one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _bound(found: Belongings, revision: str) -> dict[str, Any] | None:
    """How many instances of it there can be, where its machine bounds that and not `max`."""
    from mlfunc.knative import carrying

    most = int(_scaling(found).get("max_scale") or 0)
    own = [each for each in found.revisions if each["metadata"]["name"] == revision]
    bound = carrying.bounding(own[0], most) if own else None
    return None if bound is None else asdict(bound)


def _start(start: ColdStart | None) -> dict[str, Any] | None:
    return None if start is None else {**asdict(start), "total": start.total}


def _report(ui: Ui, found: Belongings, data: dict[str, Any]) -> None:
    for name, text in _facts(data, found.start):
        ui.pair(name, text)
    _report_revisions(ui, found, made="release" if data["deployer"] == "local" else "image")
    told = [ui.paint(each, "yellow") for each in _troubles(data)]
    if remarks := [*told, *_restarts(data), *_events(found), *_changed(data)]:
        ui.say()
        ui.say("\n".join(remarks))


def _events(found: Belongings) -> list[str]:
    come = [f"schedule: {each}" for each in found.schedules]
    return [*map(_subscribed, found.subscriptions), *come]


def _subscribed(each: Subscribed) -> str:
    trouble = f"  not ready: {each.reason}" if each.reason else ""
    return f"{each.takes} from broker {each.broker}{trouble}"


def _restarts(data: dict[str, Any]) -> list[str]:
    return [
        f"{each['pod']} was started again ({each['count']}), the last time "
        f"{ago(each['time'])} ago: {each['reason']}; mlfunc logs --previous"
        for each in data["restarts"]
        if each["time"]
    ]


def _changed(data: dict[str, Any]) -> list[str]:
    return [
        f"{each['manager']} has changed it, at {each['time']}: {', '.join(each['fields'])}"
        for each in data["changed_by"]
    ]


def _facts(data: dict[str, Any], start: ColdStart | None) -> list[tuple[str, str]]:
    from mlfunc.commands.build import size

    models = [
        f"{each['name']} ({each['delivery']}, {size(each['size'])})" for each in data["models"]
    ]
    limits = data["timeouts"]
    facts = [
        ("name", f"{data['name']} in namespace {data['namespace']}{_maker(data['origin'])}"),
        ("ready", ": ".join(filter(None, (data["reason"], data["message"]))) or "yes"),
        ("url", "  ".join(data["routes"])),
        ("revision", _serving(data)),
        _made_of(data),
        ("models", ", ".join(models)),
        ("accelerator", data["accelerator"]),
        ("concurrency", _concurrency(data["concurrency"])),
        ("scaling", _told(data["scaling"]) + _at_most(data["bound"])),
        ("timeout", _limit(limits["request_seconds"])),
        ("cold start", str(start) if start else ""),
    ]
    return [(name, text) for name, text in facts if text]


def _concurrency(requests: int) -> str:
    from mlfunc.knative.wording import counted

    return f"{counted(requests) if requests else 'any number of requests'} in an instance"


def _maker(origin: str) -> str:
    return {"func": ", made by func", "knative": ", not made by mlfunc"}.get(origin, "")


def _serving(data: dict[str, Any]) -> str:
    """Which one the lines that follow are about, where it is not the newest, or not alone."""
    own = next((each for each in data["revisions"] if each["name"] == data["revision"]), None)
    if own is None or (own == data["revisions"][0] and own["percent"] in (0, 100)):
        return ""
    return f"{own['name']}, which gets {own['percent']} %; what follows is of it"


def _at_most(bound: dict[str, Any] | None) -> str:
    return f"; at most {bound['most']} here: {bound['why']}" if bound else ""


def _limit(seconds: int | None) -> str:
    return f"{seconds} s for a request, with its wait for an instance" if seconds else ""


def _made_of(data: dict[str, Any]) -> tuple[str, str]:
    """On this machine there is no image: what is called so there is a release."""
    if data["deployer"] == "local":
        return "release", _digest(data["image"])
    return "image", data["image"]


def _told(scaling: dict[str, str | int | float]) -> str:
    return ", ".join(f"{said} {scaling[key]}" for key, said in _SCALING.items() if key in scaling)


def _report_revisions(ui: Ui, found: Belongings, *, made: str) -> None:
    from mlfunc.knative import overview

    ui.say()
    states = overview.revisions(found.service, found.revisions, found.pods)
    headers = ("revision", "age", "ready", "instances", "traffic", "tags", made)
    ui.table(headers, [_row(each) for each in states])


def _troubles(data: dict[str, Any]) -> list[str]:
    """Of revisions that get requests, or are the newest, what is not said of the whole."""
    asked = [each for n, each in enumerate(data["revisions"]) if n == 0 or each["percent"]]
    above = data["message"] or ""
    told = [
        each
        for each in asked
        if not each["ready"] and each["message"] and each["message"].rstrip(".") not in above
    ]
    said = [f"{each['name']}: {each['message']}" for each in told]
    if said or above:
        return said
    return [f"{kind}: {message}" for kind, message in data["not_ready"].items()]


def _row(each: RevisionState) -> tuple[str, ...]:
    return (
        each.name,
        ago(each.created),
        _word(each),
        str(each.instances),
        f"{each.percent} %",
        ", ".join(each.tags) or "-",
        _digest(each.image),
    )


def _digest(image: str) -> str:
    """As short as people quote it."""
    _, mark, digest = image.partition("@sha256:")
    return digest[:12] if mark else image


def _word(state: RevisionState) -> str:
    """Reasons are those of machines: what there is to say is said in sentences."""
    if state.reason == "Superseded":
        return "superseded"
    return {"True": "yes", "False": "failed"}.get(state.ready, "starting")


def ago(created: str) -> str:
    """How long it has been there, for people."""
    from datetime import UTC, datetime

    return age((datetime.now(UTC) - datetime.fromisoformat(created)).total_seconds())


def age(seconds: float) -> str:
    """How long ago, for people."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
