"""How a request gets to a function: by its own name, by the ingress of its cluster, or by the API
server to that.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlfunc import abreast, wire
from mlfunc.cluster import kinds, watching
from mlfunc.cluster.failures import Forbidden, permitted
from mlfunc.cluster.kinds import Kind
from mlfunc.cluster.watching import Topic
from mlfunc.errors import ClusterFailed, NotFound
from mlfunc.knative import diagnosis, names, overview, traffic
from mlfunc.knative import ingress as ingresses
from mlfunc.knative.ingress import is_private
from mlfunc.platforms.knative import reading
from mlfunc.platforms.knative.proxying import Proxy
from mlfunc.platforms.way import Way
from mlfunc.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlfunc.cluster.client import Cluster, Object
    from mlfunc.knative.coldstart import ColdStart
    from mlfunc.knative.ingress import Entrance
    from mlfunc.platforms.knative.addressing import Addressed
    from mlfunc.platforms.platform import Platform

INGRESS = "MLFUNC_INGRESS"

# Of what needs longer, the API server is the better way.
_CONNECT_SECONDS = 1.0
_TOLD_SECONDS = 10.0
_INGRESS = Kind("networking.internal.knative.dev", "v1alpha1", "ingresses", "Ingress")


@dataclass(frozen=True)
class Reached:
    """A function, and the way to where it takes requests."""

    addressed: Addressed
    revision: str
    way: Way
    has_instance: bool

    def start(self) -> ColdStart | None:
        """How the instance that it waited for started.

        The reply comes before the API server knows that it is there: the kubelet tells it later.
        """
        cluster = self.addressed.cluster
        own = Topic(kinds.POD, labels=f"{names.REVISION}={self.revision}")
        with watching.follow(cluster, own) as changes:
            for seen in changes.until(time.monotonic() + _TOLD_SECONDS):
                # The first of them: what came after was not waited for.
                for pod in diagnosis.staying(seen.objects):
                    if start := reading.start(cluster, pod):
                        return start
        return None


def reach(
    addressed: Addressed, platform: Platform, *, tag: str | None = None, ingress: str | None = None
) -> Reached:
    """The way to a function, or to its revision with a tag.

    Raises:
        NotFound: there is no such function or tag.
        ClusterFailed: it has no URL yet, or none that leads there from here.

    """
    service = reading.service(addressed)
    revision, own = _revision_and_url(service, tag)
    found = platform.way(addressed.cluster, service, own, ingress)
    pods = reading.pods(addressed)
    has_instance = pods is None or bool(overview.running(pods, revision))
    return Reached(addressed, revision, found, has_instance)


def _revision_and_url(service: Object, tag: str | None) -> tuple[str, str]:
    name, url = service["metadata"]["name"], service.get("status", {}).get("url")
    if tag is not None:
        tagged = {each.tag: each for each in traffic.shares(service) if each.tag}
        if tag not in tagged:
            hint = did_you_mean(tag, tagged) if tagged else f"mlfunc traffic {name} --tag {tag}=..."
            raise NotFound(f"{name} has no revision with the tag {tag}", hint)
        if of_tag := tagged[tag].url:
            return tagged[tag].revision, of_tag
        message = f"the tag {tag} of {name} has no URL yet"
        raise ClusterFailed(message, f"mlfunc describe {name} tells why")
    if not url or not any(each.percent for each in traffic.shares(service)):
        message = f"{name} has no revision that takes requests"
        raise ClusterFailed(message, f"mlfunc describe {name} tells why")
    return overview.serving(service), url


def way(
    cluster: Cluster,
    service: Object,
    own: str,
    ingress: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Way:
    """The first of: an ingress that is named, its own URL, an address of its ingress, the API
    server. The last always leads there; the others are faster, where anything answers there.

    Raises:
        ClusterFailed: none leads there, or it may not be looked for.

    """
    meta, host = service["metadata"], urlsplit(own).netloc
    named = ingress or (not is_private(own, meta["namespace"]) and environ.get(INGRESS))
    if named:
        return Way(named if "://" in named else f"http://{named}", host)
    if _answers(wire.address(own)):
        return Way(own)
    entrance = _entrance(cluster, meta["name"], own)
    if open_ := _open(cluster, entrance):
        return Way(open_, host)
    return Way(own, entrance.host, partial(Proxy, cluster, entrance))


def _entrance(cluster: Cluster, name: str, own: str) -> Entrance:
    problem = f"no way leads from here to {own}: nothing answers at that name"
    named = f"name its ingress: --ingress URL or {INGRESS}"
    try:
        found = cluster.get(_INGRESS, name)
    except Forbidden as error:
        hint = f"{named}; else it takes the right to get {_INGRESS.plural}.{_INGRESS.group}"
        raise ClusterFailed(f"{problem}, and {error.message}", hint) from error
    entrance = ingresses.entrance(found, own) if found else None
    if entrance is None:
        raise ClusterFailed(f"{problem}, and Knative tells of no ingress that has it", named)
    return entrance


def _open(cluster: Cluster, entrance: Entrance) -> str | None:
    """The URL of an entrance that something answers at from here."""
    if not entrance.open:
        return None
    name, namespace = entrance.service, entrance.namespace
    service = permitted(lambda: cluster.get(kinds.CORE_SERVICE, name, namespace=namespace))
    if service is None:
        return None
    nodes = permitted(lambda: cluster.list(kinds.NODE)) or []
    told = ingresses.addresses(service, nodes)
    # All at once: one that no packet comes back from takes its time.
    answers = abreast.each(_answers, told, at_once=max(len(told), 1), stop=lambda: None)
    found = (at for at, answered in zip(told, answers, strict=True) if answered)
    return next((f"http://{_bracketed(host)}:{port}" for host, port in found), None)


def _answers(address: tuple[str, int]) -> bool:
    """Whether a connection comes to be: nothing is sent."""
    try:
        socket.create_connection(address, _CONNECT_SECONDS).close()
    except (OSError, UnicodeError):
        return False
    return True


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
