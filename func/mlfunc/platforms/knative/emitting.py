"""Events sent to a broker by way of the API server, which passes them on.

So nothing has to be reached but the API server. The local platform answers at the same path.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn

from mlfunc.cluster import failures, kinds, refusals
from mlfunc.errors import ClusterFailed, MlfuncError, NotFound, UsageError
from mlfunc.knative import subscriptions
from mlfunc.platforms.knative import reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

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
        _check(cluster, broker, reply, each)
        yield each["id"]


def takers(cluster: Cluster, broker: str, event: Mapping[str, Any]) -> list[str] | None:
    """Who is subscribed to such an event, by the local platform's rule; None: it cannot be told."""
    from mlfunc.supervisor.broker import subscriptions as ways

    try:
        triggers = cluster.list(kinds.TRIGGER)
    except MlfuncError:
        return None  # what becomes of the event does not hang on it
    attributes = {name: str(value) for name, value in event.items() if name not in _DATA}
    found = (ways.of_trigger(each, None) for each in triggers)
    taking = (each for each in found if each.broker == broker and each.takes(attributes))
    return sorted({str(each.destination) for each in taking})


def _check(
    cluster: Cluster, broker: str, reply: urllib3.BaseHTTPResponse, event: dict[str, Any]
) -> None:
    if reply.status < 300:
        return
    where = f"broker {broker} in namespace {cluster.namespace}"
    if not failures.is_status(reply.data):
        _refuse(where, reply, lambda: takers(cluster, broker, event) or [])
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


def _refuse(
    where: str, reply: urllib3.BaseHTTPResponse, takers: Callable[[], list[str]]
) -> NoReturn:
    """What the broker itself has said.

    Knative's in-memory channel answers 500 for each failure of who gets the event, a refusal, too.
    """
    said = refusals.status(reply.status, reply.data)
    why = said.get("detail") or said["message"]
    if reply.status == HTTPStatus.BAD_REQUEST:
        raise UsageError(f"{where} takes no such event: {why}", "mlfunc emit --help")
    message = f"{where} has not taken the event ({reply.status}): {why}"
    hint = f"kubectl get broker -n {where.rpartition(' ')[2]}"
    if reply.status == HTTPStatus.INTERNAL_SERVER_ERROR and (found := takers()):
        message = f"{where}: of {', '.join(found)}, one has refused the event or does not answer"
        names = [each.removeprefix("ksvc:") for each in found if each.startswith("ksvc:")]
        hint = "; ".join([f"mlfunc logs {name}" for name in names] or [hint])
    raise ClusterFailed(message, hint)
