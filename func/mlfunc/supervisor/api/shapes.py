"""What objects look like, as far as anybody here looks at them: the rest is as it comes.

A cluster knows this from the schemas of its kinds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from mlfunc.cluster import kinds
from mlfunc.supervisor.api import refusals

if TYPE_CHECKING:
    from mlfunc.cluster.kinds import Kind

Object = dict[str, Any]

_AT = re.compile(r"(?P<said>.*) - at `\$\.?(?P<path>.*)`")


class Owner(msgspec.Struct):
    """Whose an object is."""

    uid: str


class Metadata(msgspec.Struct):
    """Of any object."""

    name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    resourceVersion: str | None = None
    labels: dict[str, str | None] | None = None
    annotations: dict[str, str | None] | None = None
    ownerReferences: list[Owner] | None = None


class Variable(msgspec.Struct):
    """Of a container's environment."""

    name: str
    value: str | None = None
    valueFrom: Object | None = None


class Container(msgspec.Struct):
    """The one of a revision."""

    name: str | None = None
    image: str | None = None
    command: list[str] | None = None
    args: list[str] | None = None
    env: list[Variable] | None = None
    resources: Object | None = None
    readinessProbe: Object | None = None


class Pod(msgspec.Struct):
    """What a revision runs."""

    containers: list[Container] | None = None
    containerConcurrency: int | None = None
    timeoutSeconds: int | None = None
    volumes: list[Object] | None = None


class Template(msgspec.Struct):
    """Of the next revision."""

    metadata: Metadata | None = None
    spec: Pod | None = None


class Target(msgspec.Struct):
    """Of traffic."""

    percent: int | None = None
    latestRevision: bool | None = None
    revisionName: str | None = None
    tag: str | None = None


class ServiceSpec(msgspec.Struct):
    """Of Knative."""

    template: Template | None = None
    traffic: list[Target] | None = None


class Reference(msgspec.Struct):
    """An object that events go to."""

    kind: str | None = None
    name: str | None = None
    namespace: str | None = None
    apiVersion: str | None = None


class Destination(msgspec.Struct):
    """Where events go."""

    ref: Reference | None = None
    uri: str | None = None


class Delivery(msgspec.Struct):
    """How often, and what if it fails."""

    retry: int | None = None
    backoffPolicy: str | None = None
    backoffDelay: str | None = None
    timeout: str | None = None
    deadLetterSink: Destination | None = None


class Filter(msgspec.Struct):
    """The older one of two."""

    attributes: dict[str, str | None] | None = None


class TriggerSpec(msgspec.Struct):
    """Which events go where."""

    broker: str | None = None
    filter: Filter | None = None
    filters: list[Object] | None = None
    subscriber: Destination | None = None
    delivery: Delivery | None = None


class BrokerSpec(msgspec.Struct):
    """What holds for all its Triggers."""

    delivery: Delivery | None = None


class PingSourceSpec(msgspec.Struct):
    """What is sent when."""

    schedule: str | None = None
    timezone: str | None = None
    contentType: str | None = None
    data: str | None = None
    dataBase64: str | None = None
    sink: Destination | None = None


class Anything(msgspec.Struct):
    """An object of whatever kind."""

    metadata: Metadata | None = None
    spec: Object | None = None


class Service(msgspec.Struct):
    """Of Knative."""

    metadata: Metadata | None = None
    spec: ServiceSpec | None = None


class Trigger(msgspec.Struct):
    """Who is subscribed."""

    metadata: Metadata | None = None
    spec: TriggerSpec | None = None


class Broker(msgspec.Struct):
    """Where events come in."""

    metadata: Metadata | None = None
    spec: BrokerSpec | None = None


class PingSource(msgspec.Struct):
    """A schedule."""

    metadata: Metadata | None = None
    spec: PingSourceSpec | None = None


class Data(msgspec.Struct):
    """A Secret, or a ConfigMap."""

    metadata: Metadata | None = None
    data: dict[str, str | None] | None = None
    stringData: dict[str, str | None] | None = None


_SHAPES: dict[Kind, type[msgspec.Struct]] = {
    kinds.SERVICE: Service,
    kinds.TRIGGER: Trigger,
    kinds.BROKER: Broker,
    kinds.PING_SOURCE: PingSource,
    kinds.SECRET: Data,
    kinds.CONFIG_MAP: Data,
}


def check(kind: Kind, found: Object) -> None:
    """Whether an object, or a part of one, looks like one of its kind.

    Raises:
        Refused: it does not.

    """
    try:
        msgspec.convert(found, _SHAPES.get(kind, Anything))
    except msgspec.ValidationError as error:
        at = _AT.fullmatch(str(error))
        said, path = (at["said"], at["path"]) if at else (str(error), "")
        name = found.get("metadata")
        name = name.get("name") if isinstance(name, dict) else ""
        raise refusals.invalid(kind, str(name or ""), [(path, said)]) from error
