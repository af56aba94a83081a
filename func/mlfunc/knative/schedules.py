"""The PingSources of a function: at which times it gets an event, with which data."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlfunc.errors import UsageError
from mlfunc.knative import names, sinks, triggers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlfunc.function import Function, Schedule

Object = dict[str, Any]

_LONGEST_NAME = 63


@dataclass(frozen=True)
class Scheduled:
    """One schedule as it is; `reason`: why no event comes of it."""

    source: str
    cron: str
    timezone: str
    ready: bool
    reason: str

    def __str__(self) -> str:
        """As it is listed."""
        ready = "ready" if self.ready else f"not ready: {self.reason}"
        return f"{self.cron} in {self.timezone}, {ready} ({self.source})"


def check(function: Function) -> None:
    """Two alike would each send an event.

    Raises:
        UsageError: there are.

    """
    seen: dict[str, int] = {}
    for index, each in enumerate(function.schedule):
        first = seen.setdefault(_key(each), index)
        if first != index:
            message = f"schedule[{index}] is the same as [{first}]"
            raise UsageError(message, "leave one of them out")


def manifests(function: Function, namespace: str, owner: Object | None) -> list[Object]:
    """One PingSource for each schedule; `owner` is the Service, if it is there.

    Raises:
        UsageError: as `check`.

    """
    check(function)
    made = [_manifest(each, function.name, namespace) for each in function.schedule]
    return [triggers.owned(each, owner) for each in made] if owner else made


def prune(wanted: Sequence[Object], live: Iterable[Object]) -> list[str]:
    """The names of those that mlfunc.yaml had once and has no more."""
    kept = {each["metadata"]["name"] for each in wanted}
    return [
        each["metadata"]["name"]
        for each in live
        if each["metadata"]["name"] not in kept and not triggers.is_going(each)
    ]


def of_function(found: Iterable[Object], function: str) -> list[Object]:
    """The PingSources that send to a function, whoever made them."""
    wanted = sinks.destination(f"ksvc:{function}", "")["ref"]
    return [each for each in found if _is(each["spec"].get("sink") or {}, wanted)]


def read(source: Object) -> Scheduled:
    """A PingSource."""
    spec, status = source["spec"], source.get("status") or {}
    ready = {each["type"]: each for each in status.get("conditions", ())}.get("Ready", {})
    known = status.get("observedGeneration") == source["metadata"]["generation"]
    is_ready = known and ready.get("status") == "True"
    said = ready.get("message") or ready.get("reason") or ""
    return Scheduled(
        source=source["metadata"]["name"],
        cron=spec["schedule"],
        timezone=spec.get("timezone") or "UTC",
        ready=is_ready,
        reason="" if is_ready else (said if known else "") or "Knative has not come to it yet",
    )


def _manifest(schedule: Schedule, function: str, namespace: str) -> Object:
    return {
        "apiVersion": "sources.knative.dev/v1",
        "kind": "PingSource",
        "metadata": {
            "name": _name(function, schedule),
            "namespace": namespace,
            "labels": {names.OWNER: function, names.MANAGED_BY: "mlfunc"},
        },
        "spec": {
            "schedule": schedule.cron,
            **({"timezone": schedule.timezone} if schedule.timezone else {}),
            **_data(schedule.data),
            "sink": sinks.destination(f"ksvc:{function}", namespace),
        },
    }


def _data(data: dict[str, Any] | str | None) -> Object:
    if data is None:
        return {}
    if isinstance(data, str):
        return {"contentType": "text/plain", "data": data}
    return {"contentType": "application/json", "data": json.dumps(data, ensure_ascii=False)}


def _name(function: str, schedule: Schedule) -> str:
    digest = hashlib.sha256(f"{function}\n{_key(schedule)}".encode()).hexdigest()[:8]
    return f"{function[: _LONGEST_NAME - len(digest) - 3].rstrip('-')}-{digest}"


def _key(schedule: Schedule) -> str:
    return json.dumps([schedule.cron, schedule.timezone, schedule.data], sort_keys=True)


def _is(sink: Object, wanted: Object) -> bool:
    ref = sink.get("ref") or {}
    return all(ref.get(key) == wanted[key] for key in ("apiVersion", "kind", "name"))
