"""Events sent to a broker by way of the API server, which passes them on.

So nothing has to be reached but the API server. The local platform answers at the same path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlfunc.cluster import failures, kinds, refusals
from mlfunc.errors import ClusterFailed, MlfuncError, NotFound, UsageError
from mlfunc.knative import subscriptions
from mlfunc.platforms.knative import reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import urllib3

    from mlfunc.cluster.client import Cluster

_INGRESS = "/api/v1/namespaces/knative-eventing/services/http:broker-ingress:80/proxy"
_DATA = ("data", "data_base64")
# Knative's own channel answers when all who get the event have answered.
_PATIENCE = 930


def emit(cluster: Cluster, broker: str, events: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Send events, in structured mode, one after the other; the id of each that a broker has.

    Raises:
        NotFound: there is no such broker.
        UsageError: it says that this is no event.
        ClusterFailed: it cannot be reached so, or could not take it.

    """
    if cluster.get(kinds.BROKER, broker) is None:
        if reading.has_no_namespace(cluster):
            message = f"there is no namespace {cluster.namespace} ({cluster.access.where})"
            raise NotFound(message, "kubectl get namespaces; --namespace names another")
        by_name = bool(cluster.access.named)
        raise NotFound(*subscriptions.missing_broker(broker, cluster.namespace, by_name=by_name))
    for each in events:
        reply = cluster.request(
            "POST",
            f"{_INGRESS}/{cluster.namespace}/{broker}",
            body=each,
            content_type="application/cloudevents+json",
            read_seconds=_PATIENCE,
        )
        _check(cluster, broker, reply)
        yield each["id"]


def has_taker(cluster: Cluster, broker: str, event: Mapping[str, Any]) -> bool:
    """Whether anybody on the local platform is subscribed to such an event, by its own rule."""
    from mlfunc.supervisor.broker import subscriptions as ways

    try:
        triggers = cluster.list(kinds.TRIGGER)
    except MlfuncError:
        return True  # the event is sent: that is no failure of it
    attributes = {name: str(value) for name, value in event.items() if name not in _DATA}
    found = (ways.of_trigger(each, None) for each in triggers)
    return any(each.broker == broker and each.takes(attributes) for each in found)


def _check(cluster: Cluster, broker: str, reply: urllib3.BaseHTTPResponse) -> None:
    if reply.status < 300:
        return
    where = f"broker {broker} in namespace {cluster.namespace}"
    if not failures.is_status(reply.data):
        _refuse(where, reply)
    try:
        failures.check(reply, cluster.access)
    except failures.Forbidden as error:
        message = f"you may not send events by way of the API server: {error.message}"
        hint = "it takes the right to create services/proxy in namespace knative-eventing"
        raise failures.Forbidden(message, hint) from error
    except failures.Absent as error:
        message = f"{where} is of no class that takes events at broker-ingress"
        hint = f"kubectl get broker {broker} -n {cluster.namespace} shows its address: POST there"
        raise failures.Absent(message, hint) from error


def _refuse(where: str, reply: urllib3.BaseHTTPResponse) -> None:
    """What the broker itself has said."""
    said = refusals.status(reply.status, reply.data)
    why = said.get("detail") or said["message"]
    if reply.status == 400:
        raise UsageError(f"{where} takes no such event: {why}", "mlfunc emit --help")
    message = f"{where} has not taken the event ({reply.status}): {why}"
    raise ClusterFailed(message, f"kubectl get broker -n {where.rpartition(' ')[2]}")
