"""How a request gets to a function: by its own name, or by the ingress of its cluster."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlfunc.cluster import kinds, watching
from mlfunc.cluster.failures import Forbidden
from mlfunc.cluster.kinds import Kind
from mlfunc.cluster.watching import Topic
from mlfunc.errors import ClusterFailed, NotFound
from mlfunc.knative import diagnosis, names, overview, traffic
from mlfunc.platforms.knative import reading
from mlfunc.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlfunc.cluster.client import Cluster, Object
    from mlfunc.knative.coldstart import ColdStart
    from mlfunc.platforms.knative.addressing import Addressed
    from mlfunc.platforms.platform import Platform

INGRESS = "MLFUNC_INGRESS"

_PORTS = {"http": 80, "https": 443}
_CONNECT_SECONDS = 2.0
_TOLD_SECONDS = 10.0
_NODES = 3  # that are tried, of however many
_SERVICE = Kind("", "v1", "services", "Service")
# Where Kourier, Istio and Contour have what takes requests from outside.
_GATEWAYS = (
    ("kourier-system", "kourier"),
    ("istio-system", "istio-ingressgateway"),
    ("contour-external", "envoy"),
    ("projectcontour", "envoy"),
)


@dataclass(frozen=True)
class Reached:
    """A function, and where it takes requests; `host` goes with them where it is not in `url`."""

    addressed: Addressed
    revision: str
    url: str
    host: str | None
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
    url, host = platform.way(addressed.cluster, own, ingress)
    pods = reading.pods(addressed)
    has_instance = pods is None or bool(overview.running(pods, revision))
    return Reached(addressed, revision, url, host, has_instance)


def _revision_and_url(service: Object, tag: str | None) -> tuple[str, str]:
    name, url = service["metadata"]["name"], service.get("status", {}).get("url")
    if tag is not None:
        tagged = {each.tag: each for each in traffic.shares(service) if each.tag}
        if tag not in tagged:
            hint = did_you_mean(tag, tagged) if tagged else f"mlfunc traffic {name} --tag {tag}=..."
            raise NotFound(f"{name} has no revision with the tag {tag}", hint)
        return tagged[tag].revision, tagged[tag].url or ""
    if not url or not any(each.percent for each in traffic.shares(service)):
        message = f"{name} has no revision that takes requests"
        raise ClusterFailed(message, f"mlfunc describe {name} tells why")
    return overview.serving(service), url


def way(
    cluster: Cluster,
    own: str,
    ingress: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> tuple[str, str | None]:
    """Its own URL where this machine knows the name; else an ingress, and the name as Host.

    Raises:
        ClusterFailed: it has no ingress that could be found.

    """
    host = urlsplit(own).netloc
    if ingress := ingress or environ.get(INGRESS):
        return (ingress if "://" in ingress else f"http://{ingress}"), host
    if _resolves(own):
        return own, None
    for address, port in _gateways(cluster):
        if _answers(address, port):
            return f"http://{_bracketed(address)}:{port}", host
    hint = f"name its ingress: --ingress URL or {INGRESS}; kubectl port-forward makes one"
    raise ClusterFailed(f"no way leads from here to {own}: nobody knows that name here", hint)


def _gateways(cluster: Cluster) -> Iterator[tuple[str, int]]:
    """Addresses and ports to try: load balancers, then ports of nodes."""
    found = [each for each in (_gateway(cluster, *at) for at in _GATEWAYS) if each]
    for service in found:
        yield from balancers(service)
    nodes = _nodes(cluster)
    for service in found:
        yield from ((address, port) for port in node_ports(service) for address in nodes)
    # An ingress that has the network of its node.
    yield from ((address, _PORTS["http"]) for address in nodes)


def balancers(service: Object) -> Iterator[tuple[str, int]]:
    """Where the outside reaches a Service of an ingress; pure."""
    status = service.get("status", {}).get("loadBalancer", {}).get("ingress") or ()
    for each in status:
        yield each.get("ip") or each["hostname"], _PORTS["http"]
    for address in service["spec"].get("externalIPs") or ():
        yield address, _PORTS["http"]


def node_ports(service: Object) -> Iterator[int]:
    """The port that each node has for HTTP to a Service of an ingress; pure."""
    for each in service["spec"].get("ports") or ():
        if each.get("port") == _PORTS["http"] and each.get("nodePort"):
            yield each["nodePort"]


def addresses(nodes: Sequence[Object]) -> list[str]:
    """Of a few nodes, those for the outside first; pure."""
    told = [
        each for node in nodes[:_NODES] for each in node.get("status", {}).get("addresses") or ()
    ]
    kinds_of = ("ExternalIP", "InternalIP")
    return [each["address"] for kind in kinds_of for each in told if each["type"] == kind]


def _gateway(cluster: Cluster, namespace: str, name: str) -> Object | None:
    try:
        return cluster.get(_SERVICE, name, namespace=namespace)
    except Forbidden:
        return None  # not everybody may look there


def _nodes(cluster: Cluster) -> list[str]:
    try:
        return addresses(cluster.list(kinds.NODE))
    except Forbidden:
        return []


def _resolves(url: str) -> bool:
    try:
        socket.getaddrinfo(urlsplit(url).hostname, None)
    except (OSError, UnicodeError):
        return False
    return True


def _answers(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), _CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
