"""What the page shows of functions: plain data, out of what the parts say. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlfunc.cluster import kinds
from mlfunc.knative import names, overview, subscriptions
from mlfunc.supervisor.dashboard.measures import NOTHING
from mlfunc.supervisor.dashboard.sources import Counted
from mlfunc.supervisor.dashboard.timeline import Sample
from mlfunc.supervisor.parts import Key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlfunc.supervisor.dashboard.chronicle import Chronicle, Crash, Start
    from mlfunc.supervisor.dashboard.measures import Measures
    from mlfunc.supervisor.dashboard.scraping import Scraped
    from mlfunc.supervisor.parts import Instance, InstancePhase
    from mlfunc.supervisor.state.objects import Objects

Object = dict[str, Any]

_STARTING = frozenset(
    {"pending", "starting", "listening", "importing", "fetching", "loading", "warming"}
)


@dataclass(frozen=True)
class Process:
    """An instance, as far as it changes seldom."""

    name: str
    phase: InstancePhase
    since: float
    created: float
    pid: int | None
    restarts: int


@dataclass(frozen=True)
class Tag:
    """A name of a revision, under which it has an address."""

    name: str
    url: str


@dataclass(frozen=True)
class Revision:
    """A revision with its processes, and what became of those it had."""

    name: str
    created: float
    ready: str
    reason: str
    message: str
    percent: int
    tags: tuple[Tag, ...]
    scale: Mapping[str, str]
    instances: tuple[Process, ...]
    starts: tuple[Start, ...]
    crashes: tuple[Crash, ...]
    held: int  # requests that came while there was no instance


@dataclass(frozen=True)
class Subscription:
    """What it gets, and why not."""

    trigger: str
    broker: str
    takes: str
    ready: bool
    reason: str
    dead_letter: str | None


@dataclass(frozen=True)
class Function:
    """A function; its revisions are the newest first."""

    namespace: str
    name: str
    url: str
    ready: str
    reason: str
    message: str
    accelerator: str
    concurrency: int
    revisions: tuple[Revision, ...]
    subscriptions: tuple[Subscription, ...]
    schedules: tuple[str, ...]


@dataclass(frozen=True)
class Live:
    """What changes all the time, of a revision; `instances` by name."""

    starting: int
    ready: int
    in_flight: int
    waiting: int
    rates: Mapping[str, float]
    rate: float
    p50: float | None
    p99: float | None
    instances: Mapping[str, Scraped] = field(default_factory=dict)


def functions(
    objects: Objects,
    instances: Sequence[Instance],
    chronicle: Chronicle,
    stats: Mapping[Key, Counted],
) -> tuple[Function, ...]:
    """All functions, by namespace and name."""
    told = _Told(objects, instances, chronicle, stats)
    return tuple(_function(service, told) for service in objects.list(kinds.SERVICE))


def live(
    instances: Sequence[Instance],
    stats: Mapping[Key, Counted],
    measured: Mapping[Key, Measures],
    scraped: Mapping[str, Scraped],
) -> dict[str, Live]:
    """By `NAMESPACE/REVISION`: those that have instances, or requests."""
    present = samples(instances, stats, measured)
    own = _by_revision(instances)
    return {
        "/".join(revision): _live(sample, measured.get(revision, NOTHING), own[revision], scraped)
        for revision, sample in sorted(present.items())
    }


def samples(
    instances: Sequence[Instance], stats: Mapping[Key, Counted], measured: Mapping[Key, Measures]
) -> dict[Key, Sample]:
    """Of those revisions that have instances, or requests, or had some in the last seconds."""
    counted = Counter((each.revision, _stage(each)) for each in instances)
    found = {
        revision: _sample(revision, counted, stats, measured)
        for revision in {*stats, *measured, *(revision for revision, _ in counted)}
    }
    return {revision: sample for revision, sample in found.items() if sample != Sample()}


def _sample(
    revision: Key,
    counted: Mapping[tuple[Key, str], int],
    stats: Mapping[Key, Counted],
    measured: Mapping[Key, Measures],
) -> Sample:
    now, measures = stats.get(revision, Counted()), measured.get(revision, NOTHING)
    return Sample(
        starting=counted.get((revision, "starting"), 0),
        ready=counted.get((revision, "ready"), 0),
        in_flight=now.in_flight,
        waiting=now.waiting,
        rate=measures.rate,
        p99=_rounded(measures.p99),
    )


def _stage(instance: Instance) -> str:
    return "starting" if instance.phase in _STARTING else instance.phase


def _live(
    sample: Sample,
    measures: Measures,
    instances: Sequence[Instance],
    scraped: Mapping[str, Scraped],
) -> Live:
    return Live(
        sample.starting,
        sample.ready,
        sample.in_flight,
        sample.waiting,
        measures.rates,
        measures.rate,
        _rounded(measures.p50),
        _rounded(measures.p99),
        {each.name: scraped[each.name] for each in instances if each.name in scraped},
    )


class _Told:
    """What all functions are looked up in."""

    def __init__(
        self,
        objects: Objects,
        instances: Sequence[Instance],
        chronicle: Chronicle,
        stats: Mapping[Key, Counted],
    ) -> None:
        self.pods = objects.list(kinds.POD)
        self.brokers = objects.list(kinds.BROKER)
        self.triggers = objects.list(kinds.TRIGGER)
        self.pings = objects.list(kinds.PING_SOURCE)
        self.revisions = objects.list(kinds.REVISION)
        self.instances = _by_revision(instances)
        self.chronicle = chronicle
        self.stats = stats


def _function(service: Object, told: _Told) -> Function:
    summary = overview.summary(service, told.revisions, told.pods)
    return Function(
        namespace=summary.namespace,
        name=summary.name,
        # Of an origin of its own: a function's page cannot read what this one can.
        url=service.get("status", {}).get("url", ""),
        ready=summary.ready,
        reason=summary.reason,
        message=summary.message,
        accelerator=summary.accelerator,
        concurrency=summary.concurrency,
        revisions=_revisions(service, told),
        subscriptions=_subscriptions(service, told),
        schedules=tuple(_schedule(each) for each in told.pings if _is_sink(service, each)),
    )


def _revisions(service: Object, told: _Told) -> tuple[Revision, ...]:
    meta = service["metadata"]
    own = [each for each in told.revisions if _is_of(each, meta["namespace"], meta["name"])]
    scales = {each["metadata"]["name"]: overview.scaling(each) for each in own}
    urls = {
        each["tag"]: each.get("url", "")
        for each in service.get("status", {}).get("traffic") or ()
        if each.get("tag")
    }
    states = overview.revisions(service, own, told.pods)
    return tuple(
        _revision(state, Key(meta["namespace"], state.name), scales[state.name], urls, told)
        for state in states
    )


def _revision(
    state: overview.RevisionState,
    key: Key,
    scale: Mapping[str, str],
    urls: Mapping[str, str],
    told: _Told,
) -> Revision:
    return Revision(
        name=state.name,
        created=datetime.fromisoformat(state.created).timestamp(),
        ready=state.ready,
        reason=state.reason,
        message=state.message,
        percent=state.percent,
        tags=tuple(Tag(name, urls.get(name, "")) for name in state.tags),
        scale={name: scale[name] for name in ("min-scale", "max-scale") if name in scale},
        instances=tuple(_process(each) for each in told.instances[key]),
        starts=told.chronicle.starts(key),
        crashes=told.chronicle.crashes(key),
        held=told.stats.get(key, Counted()).held,
    )


def _process(instance: Instance) -> Process:
    return Process(
        instance.name,
        instance.phase,
        instance.since,
        instance.created,
        instance.pid,
        instance.restarts,
    )


def _subscriptions(service: Object, told: _Told) -> tuple[Subscription, ...]:
    namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
    brokers = [each["metadata"]["name"] for each in told.brokers if _lies_in(each, namespace)]
    there = [each for each in told.triggers if _lies_in(each, namespace)]
    found = (subscriptions.read(each, brokers) for each in subscriptions.of_function(there, name))
    return tuple(
        Subscription(
            each.trigger, each.broker, each.takes, each.ready, each.reason, each.dead_letter
        )
        for each in found
    )


def _schedule(ping: Object) -> str:
    spec = ping["spec"]
    zone = f" {spec['timezone']}" if spec.get("timezone") else ""
    return f"{spec.get('schedule', '')}{zone}"


def _is_sink(service: Object, ping: Object) -> bool:
    sink = ping["spec"].get("sink", {}).get("ref", {})
    meta = service["metadata"]
    named = (sink.get("kind"), sink.get("name")) == ("Service", meta["name"])
    return named and _lies_in(ping, meta["namespace"])


def _is_of(found: Object, namespace: str, service: str) -> bool:
    label = (found["metadata"].get("labels") or {}).get(names.SERVICE)
    return label == service and _lies_in(found, namespace)


def _lies_in(found: Object, namespace: str) -> bool:
    return bool(found["metadata"].get("namespace") == namespace)


def _by_revision(instances: Sequence[Instance]) -> defaultdict[Key, list[Instance]]:
    found: defaultdict[Key, list[Instance]] = defaultdict(list)
    for each in instances:
        found[each.revision].append(each)
    return found


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 5)
