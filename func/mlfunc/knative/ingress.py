"""By which Service of its ingress a function is reached, as Knative's own Ingress says. Pure.

Whatever implements it (Kourier, Istio, Contour, a Gateway) says so in the same place:
https://github.com/knative/networking/blob/main/pkg/apis/networking/v1alpha1/ingress_types.go
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Object = dict[str, Any]

_HTTP = 80
_NODES = 3  # that are tried, of however many
_PRIVATE = "ClusterLocal"


@dataclass(frozen=True)
class Entrance:
    """A Service that takes requests for a function; they carry `host`.

    It is `open` where plain HTTP from outside the cluster is answered, if it has an address there.
    """

    namespace: str
    service: str
    host: str
    open: bool


def entrance(ingress: Object, url: str) -> Entrance | None:
    """That of a function's URL; None: the ingress has told of none yet.

    Where plain HTTP is sent on to HTTPS, which needs a name that is known, it is the private one.
    """
    parts = urlsplit(url)
    rules = ingress["spec"].get("rules") or ()
    own = next((each for each in rules if parts.netloc in each.get("hosts", ())), None)
    if own is None:
        return None
    if parts.scheme == "https" and own.get("visibility") != _PRIVATE:
        own = _private(rules, own)
    host = parts.netloc if parts.netloc in own["hosts"] else max(own["hosts"], key=len)
    is_private = own.get("visibility") == _PRIVATE
    status = ingress.get("status", {})
    balancer = status.get("privateLoadBalancer" if is_private else "publicLoadBalancer") or {}
    for each in balancer.get("ingress") or ():
        service, _, rest = each.get("domainInternal", "").partition(".")
        if service and rest:
            open_ = not is_private and parts.scheme == "http"
            return Entrance(rest.partition(".")[0], service, host, open_)
    return None


def _private(rules: Sequence[Object], public: Object) -> Object:
    """What sends to the same revisions inside the cluster: each tag has one of both."""

    def target(rule: Object) -> Any:
        return rule["http"]["paths"][-1]  # those before it, if any, are for certificates

    private = (each for each in rules if each.get("visibility") == _PRIVATE)
    return next((each for each in private if target(each) == target(public)), public)


def is_private(url: str, namespace: str) -> bool:
    """Whether a function's URL is one that only pods of its cluster know."""
    return f".{namespace}.svc." in urlsplit(url).netloc


def addresses(service: Object, nodes: Sequence[Object]) -> list[tuple[str, int]]:
    """Where the outside may reach a Service: load balancers first, then ports of nodes."""
    return [
        *_balancers(service),
        *((at, port) for port in _node_ports(service) for at in _of_nodes(nodes)),
    ]


def _balancers(service: Object) -> Iterator[tuple[str, int]]:
    status = service.get("status", {}).get("loadBalancer", {}).get("ingress") or ()
    for each in status:
        yield each.get("ip") or each["hostname"], _HTTP
    for address in service["spec"].get("externalIPs") or ():
        yield address, _HTTP


def _node_ports(service: Object) -> Iterator[int]:
    for each in service["spec"].get("ports") or ():
        if each.get("port") == _HTTP and each.get("nodePort"):
            yield each["nodePort"]


def _of_nodes(nodes: Sequence[Object]) -> list[str]:
    """Of a few nodes, addresses for the outside first."""
    told = [
        each for node in nodes[:_NODES] for each in node.get("status", {}).get("addresses") or ()
    ]
    kinds = ("ExternalIP", "InternalIP")
    return [each["address"] for kind in kinds for each in told if each["type"] == kind]
