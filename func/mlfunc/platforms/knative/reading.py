"""What a cluster has of functions: all of them, or one with all that belongs to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlfunc.cluster import kinds
from mlfunc.cluster.failures import permitted
from mlfunc.errors import NotFound
from mlfunc.knative import coldstart, diagnosis, names, overview, schedules, subscriptions
from mlfunc.suggest import did_you_mean

if TYPE_CHECKING:
    from mlfunc.cluster.client import Cluster, Object
    from mlfunc.knative.coldstart import ColdStart
    from mlfunc.knative.overview import Summary
    from mlfunc.knative.schedules import Scheduled
    from mlfunc.knative.subscriptions import Subscribed
    from mlfunc.platforms.knative.addressing import Addressed

_SHOWN = 3  # namespaces that a hint names
_LOG_BYTES = 262_144  # of the beginning, where a start is told


@dataclass(frozen=True)
class Belongings:
    """A Service, and what it has made or is named by."""

    service: Object
    revisions: list[Object]
    pods: list[Object] | None  # None: this user may not look at them
    subscriptions: list[Subscribed]
    schedules: list[Scheduled]
    start: ColdStart | None  # of the newest pod that is ready, of the revision that serves


def functions(cluster: Cluster, *, everywhere: bool = False) -> list[Summary]:
    """All functions of a namespace or of the cluster, by name."""
    services = cluster.list(kinds.SERVICE, everywhere=everywhere)
    if not services:
        return []
    made = cluster.list(kinds.REVISION, everywhere=everywhere)
    pods = permitted(lambda: cluster.list(kinds.POD, labels=names.SERVICE, everywhere=everywhere))
    return [overview.summary(each, made, pods) for each in services]


def service(addressed: Addressed) -> Object:
    """The Service of a function.

    Raises:
        NotFound: there is none.

    """
    cluster, name = addressed.cluster, addressed.name
    found = cluster.get(kinds.SERVICE, name)
    if found is None:
        raise _absence(cluster, name)
    return found


def _absence(cluster: Cluster, name: str) -> NotFound:
    """That a function is not there, and where one of its name is, as far as this user may look."""
    message = f"there is no function {name} in {cluster.place}"
    if has_no_namespace(cluster):
        message += ": there is no such namespace"
    everywhere = permitted(lambda: cluster.list(kinds.SERVICE, everywhere=True)) or []
    metas = [each["metadata"] for each in everywhere]
    if elsewhere := sorted(each["namespace"] for each in metas if each["name"] == name):
        named = " or ".join(f"--namespace {each}" for each in elsewhere[:_SHOWN])
        return NotFound(message, f"there is one elsewhere: {named}")
    others = [each["metadata"]["name"] for each in cluster.list(kinds.SERVICE)]
    hint = "mlfunc deploy, or name another namespace: --namespace"
    return NotFound(message, did_you_mean(name, others) if others else hint)


def has_no_namespace(cluster: Cluster) -> bool:
    """Whether what is looked for can be nowhere; not where this user may not know, or none has to
    be made, as on the local platform.
    """
    if cluster.access.named:
        return False
    return permitted(lambda: cluster.get(kinds.NAMESPACE, cluster.namespace) is None) is True


def revisions(addressed: Addressed) -> list[Object]:
    """Those of a function that Knative keeps."""
    labels = f"{names.SERVICE}={addressed.name}"
    return addressed.cluster.list(kinds.REVISION, labels=labels)


def revision(addressed: Addressed, name: str) -> Object:
    """One revision of a function.

    Raises:
        NotFound: it has none of that name.

    """
    known = {each["metadata"]["name"]: each for each in revisions(addressed)}
    if name not in known:
        hint = did_you_mean(name, known) if known else "mlfunc describe"
        raise NotFound(f"{addressed.name} has no revision {name}", hint)
    return known[name]


def pods(addressed: Addressed) -> list[Object] | None:
    """Those of a function that are there now; None, where this user may not look at them."""
    labels = f"{names.SERVICE}={addressed.name}"
    return permitted(lambda: addressed.cluster.list(kinds.POD, labels=labels))


def belongings(addressed: Addressed) -> Belongings:
    """A function with all that belongs to it.

    Raises:
        NotFound: there is none.

    """
    found = service(addressed)
    own = pods(addressed)
    return Belongings(
        found,
        revisions(addressed),
        own,
        _subscribed(addressed.cluster, addressed.name),
        scheduled(addressed),
        _last_start(addressed.cluster, found, own or []),
    )


def triggers(cluster: Cluster, name: str) -> list[Object]:
    """Those that have events sent to a Service; none without Knative Eventing, or the right."""
    found = permitted(lambda: cluster.list(kinds.TRIGGER))
    return subscriptions.of_function(found or (), name)


def scheduled(addressed: Addressed) -> list[Scheduled]:
    """When events come to it of themselves; none without Knative Eventing, or the right."""
    found = permitted(lambda: addressed.cluster.list(kinds.PING_SOURCE))
    return [schedules.read(each) for each in schedules.of_function(found or (), addressed.name)]


def _subscribed(cluster: Cluster, name: str) -> list[Subscribed]:
    found = triggers(cluster, name)
    brokers = permitted(lambda: cluster.list(kinds.BROKER)) if found else []
    if brokers is None:  # then they are taken to be there
        return [subscriptions.read(each, {each["spec"]["broker"]}) for each in found]
    there = {each["metadata"]["name"] for each in brokers}
    return [subscriptions.read(each, there) for each in found]


def _last_start(cluster: Cluster, service: Object, pods: list[Object]) -> ColdStart | None:
    own = overview.running(pods, overview.serving(service))
    return start(cluster, diagnosis.newest(own))


def start(cluster: Cluster, pod: Object | None) -> ColdStart | None:
    """How a pod started, as far as its log still tells."""
    if pod is None:
        return None
    path = kinds.POD.path(cluster.namespace, pod["metadata"]["name"]) + "/log"
    query = {"container": names.CONTAINER, "limitBytes": str(_LOG_BYTES)}
    response = cluster.request("GET", path, query=query)
    if response.status != 200:
        return None  # it is gone, or this user may not read it
    return coldstart.of(pod, response.data.decode(errors="replace").splitlines())
