"""`mlfunc describe`: all that there is to know of a function."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from mlfunc import options

if TYPE_CHECKING:
    from pathlib import Path

    from mlfunc.knative.coldstart import ColdStart
    from mlfunc.knative.overview import RevisionState
    from mlfunc.knative.subscriptions import Subscribed
    from mlfunc.platforms.knative.reading import Belongings
    from mlfunc.ui import Ui

_SCALING = ("min-scale", "max-scale", "target", "metric", "window", "initial-scale")


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
    spec = overview.template(service)["spec"]
    shares = traffic.shares(service)
    return {
        "url": summary.url,
        "routes": list(dict.fromkeys([summary.url, *(each.url for each in shares if each.url)])),
        "name": summary.name,
        "image": spec["containers"][0]["image"],
        "namespace": summary.namespace,
        "deployer": deployer,
        "subscriptions": [_subscription(each) for each in found.subscriptions],
        "schedules": [asdict(each) for each in found.schedules],
        "labels": service["metadata"].get("labels") or {},
        "ready": summary.ready,
        "reason": summary.reason or None,
        "message": summary.message or None,
        "runtime": summary.runtime,
        "origin": summary.origin,
        "replicas": summary.instances,
        "not_ready": dict(overview.conditions(service)),
        "traffic": [asdict(each) for each in shares],
        "revisions": [
            asdict(each) for each in overview.revisions(service, found.revisions, found.pods)
        ],
        "models": [asdict(each) for each in summary.models],
        "accelerator": summary.accelerator,
        "concurrency": summary.concurrency,
        "scaling": _scaling(found, summary.revision),
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


def _subscription(each: Subscribed) -> dict[str, Any]:
    exact = each.filter
    return {"source": exact.get("source", ""), "type": exact.get("type", ""), **asdict(each)}


def _scaling(found: Belongings, revision: str) -> dict[str, str]:
    """Of the revision itself: it can be told otherwise than the Service's template says."""
    from mlfunc.knative import overview

    own = [each for each in found.revisions if each["metadata"]["name"] == revision]
    told = overview.scaling(own[0] if own else overview.template(found.service))
    return {key.replace("-", "_"): value for key, value in told.items()}


def _bound(found: Belongings, revision: str) -> dict[str, Any] | None:
    """How many instances of it there can be, where its machine bounds that and not `max`."""
    from mlfunc.knative import carrying

    most = int(_scaling(found, revision).get("max_scale") or 0)
    own = [each for each in found.revisions if each["metadata"]["name"] == revision]
    bound = carrying.bounding(own[0], most) if own else None
    return None if bound is None else asdict(bound)


def _start(start: ColdStart | None) -> dict[str, Any] | None:
    return None if start is None else {**asdict(start), "total": start.total}


def _report(ui: Ui, found: Belongings, data: dict[str, Any]) -> None:
    for name, text in _facts(data, found.start):
        ui.say(f"{ui.paint(f'{name:<14}', 'cyan')}{text}")
    for kind, message in data["not_ready"].items():
        if message != data["message"]:  # which is told above
            ui.say(ui.paint(f"  {kind}: {message}", "yellow"))
    _report_revisions(ui, found)
    if remarks := [*_troubles(ui, found), *_restarts(data), *_events(found), *_changed(data)]:
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
        f"{_age(each['time'])} ago: {each['reason']}; mlfunc logs --previous"
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
        ("image", data["image"]),
        ("models", ", ".join(models)),
        ("accelerator", data["accelerator"]),
        ("concurrency", _concurrency(data["concurrency"])),
        ("scaling", _told(data["scaling"]) + _at_most(data["bound"])),
        ("timeout", f"{limits['request_seconds']} s" if limits["request_seconds"] else ""),
        ("cold start", str(start) if start else ""),
    ]
    return [(name, text) for name, text in facts if text]


def _concurrency(requests: int) -> str:
    from mlfunc.knative.wording import counted

    return f"{counted(requests) if requests else 'any number of requests'} in an instance"


def _maker(origin: str) -> str:
    return {"func": ", made by func", "knative": ", not made by mlfunc"}.get(origin, "")


def _told(scaling: dict[str, str]) -> str:
    names = {key: key.replace("-", "_") for key in _SCALING}
    return ", ".join(f"{key} {scaling[name]}" for key, name in names.items() if name in scaling)


def _at_most(bound: dict[str, Any] | None) -> str:
    return f"; at most {bound['most']} here: {bound['why']}" if bound else ""


def _report_revisions(ui: Ui, found: Belongings) -> None:
    from mlfunc.knative import overview

    ui.say()
    states = overview.revisions(found.service, found.revisions, found.pods)
    headers = ("revision", "age", "ready", "instances", "traffic", "tags", "image")
    ui.table(headers, [_row(each) for each in states])


def _troubles(ui: Ui, found: Belongings) -> list[str]:
    from mlfunc.knative import overview

    states = overview.revisions(found.service, found.revisions, found.pods)
    told = [
        f"{each.name}: {each.message}" for each in states if each.ready != "True" and each.message
    ]
    return [ui.paint(each, "yellow") for each in told]


def _row(each: RevisionState) -> tuple[str, ...]:
    return (
        each.name,
        _age(each.created),
        "yes" if each.ready == "True" else each.reason or each.ready.lower(),
        str(each.instances),
        f"{each.percent} %",
        ", ".join(each.tags) or "-",
        _digest(each.image),
    )


def _digest(image: str) -> str:
    """As short as people quote it."""
    _, mark, digest = image.partition("@sha256:")
    return digest[:12] if mark else image


def _age(created: str) -> str:
    from datetime import UTC, datetime

    return age((datetime.now(UTC) - datetime.fromisoformat(created)).total_seconds())


def age(seconds: float) -> str:
    """How long ago, for people."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
