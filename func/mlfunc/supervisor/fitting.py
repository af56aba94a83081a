"""What a part has, as another part asks for it: where the two do not use the same words."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from mlfunc.supervisor.api import refusals
from mlfunc.supervisor.fleet.logs import NoLog
from mlfunc.supervisor.fleet.reading import Query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mlfunc.supervisor import api
    from mlfunc.supervisor.broker.broker import Broker
    from mlfunc.supervisor.fleet.logs import Logs
    from mlfunc.supervisor.http.messages import Handler, Reply, Request


def pod_logs(logs: Logs) -> api.Logs:
    """What instances say, as the API gives it."""

    def read(pod: dict[str, Any], query: api.Query) -> AsyncIterator[bytes]:
        asked = Query(
            follow=query.follow,
            previous=query.previous,
            timestamps=query.timestamps,
            tail=query.tail,
            since="" if query.since is None else _written(query.since),
            limit=query.limit,
        )
        try:
            return logs.read(pod["metadata"]["namespace"], pod["metadata"]["name"], asked)
        except NoLog as error:
            raise refusals.bad_request(str(error)) from error

    return read


def either(broker: Broker, other: Handler) -> Handler:
    """Events, and what became of them, from the broker; all else from another."""

    async def handle(request: Request) -> Reply:
        answer = broker.handle if broker.owns(request.path) else other
        return await answer(request)

    return handle


def _written(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}000Z"
