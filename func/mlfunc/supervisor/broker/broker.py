"""The broker: takes events, keeps them before it says so, and delivers them until they are done."""

from __future__ import annotations

import asyncio
import datetime
import logging
from typing import TYPE_CHECKING, Any

from mlfunc.cluster import kinds
from mlfunc.errors import MlfuncError
from mlfunc.supervisor.broker import answers, ingress, journal, outcomes, passing, pings
from mlfunc.supervisor.broker.answers import Again, Answer, Done, GiveUp
from mlfunc.supervisor.broker.cloudevents import Event
from mlfunc.supervisor.broker.directory import Directory
from mlfunc.supervisor.broker.ingress import Address
from mlfunc.supervisor.broker.journal import Arrival, Attempt, Delivery
from mlfunc.supervisor.broker.lanes import TROUBLE_SECONDS, Lane
from mlfunc.supervisor.broker.passing import Passing
from mlfunc.supervisor.broker.pings import Pings
from mlfunc.supervisor.broker.sending import Sender
from mlfunc.supervisor.broker.settling import Settling
from mlfunc.supervisor.broker.subscriptions import Way
from mlfunc.supervisor.http.messages import Reply, json_reply

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping, Sequence

    from mlfunc.supervisor.broker.subscriptions import Destination, Subscription
    from mlfunc.supervisor.http.messages import Request
    from mlfunc.supervisor.parts import Gateway
    from mlfunc.supervisor.state.committing import Committer
    from mlfunc.supervisor.state.objects import Change, Objects

Object = dict[str, Any]

KEPT = 10_000  # events that are done, to be looked at
_EVENTS = "/-/events"
_TTL, _ARRIVAL = "knativebrokerttl", "knativearrivaltime"
_PRUNED_EVERY = 500
_log = logging.getLogger(__name__)


class Broker:
    """All brokers of a supervisor; made on its event loop."""

    def __init__(
        self,
        committer: Committer,  # of a file that has the tables of `journal`
        objects: Objects,
        gateway: Gateway,
        *,
        address: str = "",  # of the gateway, for those who are told where a broker is
        keep: int = KEPT,
    ) -> None:
        self._committer = committer
        self._settling = Settling(objects, address)
        self._directory = Directory(objects, self._drop)
        self._pings = Pings(self._directory.pings, self._fire)
        self._stop = objects.listen(self._hear)
        self._sender = Sender(gateway)
        self._passing = Passing()
        self._lanes: dict[Way, Lane] = {}
        self._keep = keep
        self._accepted = 0
        self._resting = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Go on with what was left."""
        for way in await self._committer.do(journal.ways):
            if self._directory.get(way) is None:
                self._drop(way)
            else:
                self._lane(way).look()
        self._pings.start()

    def rest(self) -> None:
        """Begin no delivery, and count no failure: what fails from now on fails for our end.

        Events are still taken, and kept for the next start.
        """
        self._resting = True

    async def close(self) -> None:
        """What is not done stays on the disk."""
        self._stop()
        self._pings.close()
        self._settling.close()
        self._directory.close()
        await asyncio.gather(*self._tasks)  # before lanes, of which one may make another
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))
        self._sender.close()

    @staticmethod
    def owns(path: str) -> bool:
        """Whether requests to it are the broker's."""
        return path == _EVENTS or ingress.address(path) is not None

    async def handle(self, request: Request) -> Reply:
        """A request to a broker, or for what has passed."""
        if request.path == _EVENTS:
            return await self._show(request)
        at = ingress.address(request.path)
        if at is None:
            return ingress.problem(404, "Not found", "a broker is at /-/broker/NAMESPACE/NAME")
        return await self._receive(at, request)

    async def recent(self, namespace: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """The last events with what became of them, oldest first."""
        return await self._committer.do(lambda db: journal.recent(db, namespace, limit))

    async def waiting(self) -> Mapping[Way, int]:
        """How many events are to be delivered, by each way."""
        return await self._committer.do(journal.waiting)

    async def outcomes(self, namespace: str) -> list[dict[str, Any]]:
        """How events ended, by each way of a namespace."""
        return await self._committer.do(
            lambda db: outcomes.shown(db, namespace, journal.waiting(db))
        )

    async def _show(self, request: Request) -> Reply:
        namespace = request.query.get("namespace")
        if request.query.get("watch") == "true":
            return Reply(
                200, [("content-type", "application/jsonl")], self._passing.lines(namespace)
            )
        if request.query.get("waiting") == "true":
            return json_reply(200, {"waiting": sum((await self.waiting()).values())})
        if request.query.get("outcomes") == "true":
            return json_reply(200, {"outcomes": await self.outcomes(namespace or "default")})
        limit = request.query.get("limit", "100")
        if not limit.isdecimal():
            return ingress.problem(400, "Bad request", f"limit: {limit} is no number")
        return json_reply(200, await self.recent(namespace, int(limit)))

    async def _receive(self, at: Address, request: Request) -> Reply:
        found = ingress.events(request)
        if isinstance(found, Reply):
            return found
        if not self._directory.has_broker(*at):
            detail = f"there is no broker {at.broker} in namespace {at.namespace}"
            return ingress.problem(404, "No such broker", detail)
        headers = ingress.passed_on(request.headers)
        arrivals = [self._arrival(at, each, headers=headers) for each in found]
        if spent := [each for each in arrivals if each.ttl <= 0]:
            detail = f"event {spent[0].event.id} has been through {journal.ROUNDS} brokers"
            return ingress.problem(400, "Goes round", detail)
        try:
            await self._keep_events(arrivals)
        except MlfuncError as error:
            return ingress.not_kept(error)
        return Reply(202)

    def _arrival(
        self,
        at: Address,
        event: Event,
        *,
        ttl: int | None = None,
        headers: Mapping[str, str] | None = None,
        cause: int | None = None,
    ) -> Arrival:
        """An event as the broker keeps it: with the time, without its rounds."""
        said = event.attributes.get(_TTL, "")
        rounds = int(said) - 1 if said.isdecimal() and len(said) < 5 else journal.ROUNDS
        attributes = {name: text for name, text in event.attributes.items() if name != _TTL}
        attributes[_ARRIVAL] = _now()
        return Arrival(
            namespace=at.namespace,
            broker=at.broker,
            event=Event(attributes, event.data),
            ways=self._directory.takers(at.namespace, at.broker, attributes),
            ttl=rounds if ttl is None else ttl,
            headers=dict(headers or {}),
            cause=cause,
        )

    async def _keep_events(self, arrivals: Sequence[Arrival]) -> None:
        due = await self._committer.do(lambda db: journal.accept(db, arrivals))
        self._have_come(arrivals, due)

    def _have_come(self, arrivals: Sequence[Arrival], due: Iterable[Delivery]) -> None:
        if self._passing.is_watched:
            for each in arrivals:
                self._passing.tell(passing.accepted(each, self._targets(each)))
        for delivery in due:
            self._lane(delivery.way).offer(delivery)
        before, self._accepted = self._accepted, self._accepted + len(arrivals)
        if before // _PRUNED_EVERY != self._accepted // _PRUNED_EVERY:
            self._background(lambda db: journal.prune(db, self._keep))

    def _targets(self, arrival: Arrival) -> list[str]:
        found = (self._directory.get(way) for way in arrival.ways)
        return [str(each.destination) for each in found if each]

    def _lane(self, way: Way) -> Lane:
        if way not in self._lanes:
            self._lanes[way] = Lane(way, self._committer, self._deliver)
        return self._lanes[way]

    async def _deliver(self, due: Delivery) -> float | None:
        """Once; when it is to be tried again, if it is."""
        subscription = self._directory.get(due.way)
        if subscription is None:
            return None  # what was due by it is dropped already
        if self._resting:
            return None  # it is on the disk
        answer = await self._send(due, subscription)
        if self._resting and not answer.is_success:
            return None
        try:
            return await self._conclude(due, subscription, answer)
        except MlfuncError as error:
            # It will come again, with the same id, than be lost.
            _log.error("event %s: what became of it cannot be kept: %s", due.event.id, error)
            return journal.now() + TROUBLE_SECONDS

    async def _send(self, due: Delivery, subscription: Subscription) -> Answer:
        destination = _destination(due, subscription)
        if destination.kind == "broker":
            return Answer(Attempt(202))  # it is kept there when this delivery ends
        try:
            return await self._sender.send(due, destination, subscription.policy.timeout)
        except Exception:  # a mistake of ours is a failure of this one, and not the end of its lane
            _log.exception("event %s to %s", due.event.id, destination)
            return answers.unanswered("the platform has made a mistake; its log has it", 0.0)

    async def _conclude(
        self, due: Delivery, subscription: Subscription, answer: Answer
    ) -> float | None:
        target = answers.target(subscription, due)
        match answers.step(due, answer, subscription.policy, target):
            case Done():
                await self._done(due, subscription, answer, target)
            case Again(pause):
                when = journal.now() + pause
                await self._committer.do(lambda db: journal.put_off(db, due, answer.attempt, when))
                self._tell(due, "again", target, answer)
                return when
            case GiveUp(error) if due.phase == "subscriber" and subscription.dead_letter:
                await self._committer.do(lambda db: journal.give_up(db, due, answer.attempt, error))
                self._tell(due, "dead letter", target, answer)
                return journal.now()
            case GiveUp():
                await self._committer.do(lambda db: journal.end(db, due, "lost", answer.attempt))
                self._tell(due, "lost", target, answer)
        return None

    async def _done(
        self, due: Delivery, subscription: Subscription, answer: Answer, target: str
    ) -> None:
        state: outcomes.End = "delivered" if due.phase == "subscriber" else "dead"
        follows = self._following(due, _destination(due, subscription), answer)
        begun = await self._committer.do(
            lambda db: journal.end(db, due, state, answer.attempt, follows)
        )
        self._tell(due, state, target, answer)
        self._have_come(follows, begun)

    def _following(self, due: Delivery, destination: Destination, answer: Answer) -> list[Arrival]:
        """The events that come of a delivery: its reply, or itself in another broker."""
        if due.ttl <= 1:
            return []
        at, event = Address(due.way.namespace, due.broker), answer.reply
        if destination.kind == "broker":
            at, event = Address(*destination.key), answers.addressed(due)
        elif due.phase == "dead letter" or not due.broker:
            return []
        if event is None:
            return []
        return [self._arrival(at, event, ttl=due.ttl - 1, headers=due.headers, cause=due.id)]

    def _tell(self, due: Delivery, step: str, target: str, answer: Answer) -> None:
        if self._passing.is_watched:
            self._passing.tell(passing.tried(due, step, target, answer))

    def _drop(self, way: Way) -> None:
        self._start(self._drop_all(way))

    async def _drop_all(self, way: Way) -> None:
        """In parts: there may be a million. What comes for another of the same name stays."""
        problem = f"{way.kind} {way.name} was deleted"
        try:
            last = await self._committer.do(journal.newest)
            while await self._committer.do(lambda db: journal.drop(db, way, last, problem)):
                pass
            await self._committer.do(lambda db: outcomes.forget(db, way))
        except MlfuncError as error:
            _log.error("what was due to %s is there still: %s", problem, error)

    def _hear(self, change: Change) -> None:
        if change.kind == kinds.PING_SOURCE:
            self._pings.look()
            if change.happening == "DELETED":
                meta = change.object["metadata"]
                self._background(lambda db: journal.forget(db, meta["namespace"], meta["name"]))

    def _fire(self, source: Object, at: float) -> None:
        meta = source["metadata"]
        way = Way("PingSource", meta["namespace"], meta["name"])
        arrival = Arrival(meta["namespace"], "", pings.event(source, at), (way,))
        self._start(self._keep_fired(at, arrival))

    async def _keep_fired(self, at: float, arrival: Arrival) -> None:
        try:
            due = await self._committer.do(lambda db: journal.fire(db, at, arrival))
        except MlfuncError as error:
            _log.error("the event of PingSource %s is lost: %s", arrival.ways[0].name, error)
            return
        if due:
            self._have_come([arrival], due)

    def _background(self, work: Any) -> None:
        self._start(self._do(work))

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _do(self, work: Any) -> None:
        try:
            await self._committer.do(work)
        except MlfuncError as error:
            _log.error("the journal of events cannot be tidied: %s", error)


def _destination(due: Delivery, subscription: Subscription) -> Destination:
    if due.phase == "subscriber" or subscription.dead_letter is None:
        return subscription.destination
    return subscription.dead_letter


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
