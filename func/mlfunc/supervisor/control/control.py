"""Listens to objects, instances and requests, and does what comes of it.

What there shall be is worked out anew from all that there is, each time that some of it changes.
So nothing depends on the order of what happens, or on what was heard of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from mlfunc.cluster import kinds
from mlfunc.errors import MlfuncError
from mlfunc.knative import carrying, names, traffic
from mlfunc.supervisor import releases
from mlfunc.supervisor.control import (
    autoscalers,
    blueprints,
    configurations,
    pods,
    revisions,
    routes,
    services,
)
from mlfunc.supervisor.control.instances import Instances
from mlfunc.supervisor.control.pods import Blocked
from mlfunc.supervisor.control.scaling import Scaling
from mlfunc.supervisor.parts import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlfunc.cluster.kinds import Kind
    from mlfunc.supervisor.control.configurations import Newest
    from mlfunc.supervisor.control.revisions import Reachability
    from mlfunc.supervisor.control.scaling import Scale
    from mlfunc.supervisor.parts import Blueprint, Fleet, Gateway, Instance, Route
    from mlfunc.supervisor.releases import Release
    from mlfunc.supervisor.state.objects import Change, Objects

Object = dict[str, Any]

_log = logging.getLogger(__name__)
_SETTINGS = ("knative-serving", "config-autoscaler")
# To say what has become of instances takes milliseconds that requests are not to wait for.
_PAUSE_SECONDS = 0.01


class _Sight(NamedTuple):
    """All that a revision is settled by, but for Secrets and ConfigMaps that it names."""

    revision: Object
    reach: Reachability
    abandoned: bool
    scale: Scale
    instances: tuple[Instance, ...]
    settings: Mapping[str, str]


class Control:
    """To be made while its loop runs. `release` loads the release of a digest, `port` is the
    gateway's, `machine` what there is of cores and memory, `now` the time of statuses.
    """

    def __init__(
        self,
        objects: Objects,
        fleet: Fleet,
        gateway: Gateway,
        release: Callable[[str], Release],
        address: str,
        *,
        machine: Mapping[str, float] | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] | None = None,
        pause: float = _PAUSE_SECONDS,
    ) -> None:
        self._objects = objects
        self._gateway = gateway
        self._release = release
        self._releases: dict[str, Release] = {}
        self._address = address
        self._port = urlsplit(address).port or 80
        self._machine = machine or {}
        self._now = now
        self._pause = pause
        self._loop = asyncio.get_running_loop()
        self._instances = Instances(fleet, gateway, self._heard)
        self.scaling = Scaling(gateway, self._instances.ready, self._rescaled, clock)
        self._due: dict[Key, None] = {}
        self._news: dict[str, Instance] = {}
        self._handle: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._settled: dict[Key, _Sight] = {}
        self._closed = False
        self._routes: dict[Key, Route] = {}
        self._routed: list[Route] | None = None  # as the gateway has been told
        self._stop_listening: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Have what the objects say, from now on: when this returns, requests find their way."""
        for each in self._objects.list(kinds.POD):  # of a supervisor before this one
            self._remove(kinds.POD, each)
        self._stop_listening = self._objects.listen(self._changed)
        self._gateway.wake(self._woken)
        for each in self._objects.list(kinds.SERVICE):
            self._mark(_key(each))
        self._settle()

    def close(self) -> None:
        """Change nothing any more, whatever is heard."""
        self._closed = True
        self._stop_listening()
        self._stop_listening = lambda: None
        self.scaling.close()
        for handle in (self._handle, self._timer):
            if handle is not None:
                handle.cancel()

    # What is heard.

    def _changed(self, change: Change) -> None:
        found = change.object
        if change.kind == kinds.SERVICE:
            self._mark(_key(found))
        elif change.kind == kinds.REVISION:
            if change.happening == "DELETED":
                self._forget(found)
                self._forget_values(found)
            self._mark(_service_of(found))
        elif change.kind in (kinds.SECRET, kinds.CONFIG_MAP):
            self._mark_users(change.kind, found)

    def _heard(self, instance: Instance) -> None:
        """Of a process."""
        self.scaling.heed(instance.revision)
        self._news[instance.name] = instance
        self._take_time()

    def _woken(self, key: Key) -> None:
        """A request waits for a revision that has no instance."""
        self.scaling.wake(key)

    def _rescaled(self, key: Key) -> None:
        """At once: somebody may wait. What it says of itself comes after that."""
        self._instances.rescale(key, self.scaling.scale(key).instances)
        revision = self._objects.get(kinds.REVISION, *key)
        if revision is not None:
            self._due[_service_of(revision)] = None
            self._take_time()

    def _mark_users(self, kind: Kind, found: Object) -> None:
        """Those whose variables come from it, or whose scaling goes by it."""
        meta = found["metadata"]
        if (meta["namespace"], meta["name"]) == _SETTINGS:
            for each in self._objects.list(kinds.SERVICE):
                self._mark(_key(each))
        for each in self._objects.list(kinds.REVISION, meta["namespace"]):
            if (kind, meta["name"]) in blueprints.sources(each):
                self._settled.pop(_key(each), None)
                self._mark(_service_of(each))

    # What is due.

    def _mark(self, service: Key) -> None:
        self._due[service] = None
        self._hurry()

    def _hurry(self) -> None:
        if self._handle is None and not self._closed:
            self._handle = self._loop.call_soon(self._settle)

    def _take_time(self) -> None:
        """The same, when requests are on their way: they may have waited for what was heard."""
        if self._timer is None and not self._closed:
            self._timer = self._loop.call_later(self._pause, self._settle)

    def _settle(self) -> None:
        """All that is due; what comes of it is due after that."""
        for handle in (self._handle, self._timer):
            if handle is not None:
                handle.cancel()
        self._handle = self._timer = None
        try:
            for instance in list(self._news.values()):
                del self._news[instance.name]
                self._try(partial(self._note, instance))
            for key in list(self._due):
                del self._due[key]
                self._try(partial(self._settle_service, key))
            self._route()
        finally:
            if self._news or self._due:  # what one could not bear, the others are not to suffer
                self._hurry()

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except MlfuncError as error:  # until what it speaks of is otherwise, which is heard
            _log.warning("%s", error)
        except Exception:  # the one place: a mistake of ours with one is no end of all, at a start
            _log.exception("what is due cannot be done")

    def _note(self, instance: Instance) -> None:
        """What has become of a process."""
        revision = self._objects.get(kinds.REVISION, *instance.revision)
        if instance.phase == "ended":
            self._objects.remove(kinds.POD, instance.revision.namespace, instance.name)
        elif revision is None:
            self._show(None, instance)
        if revision is not None:
            self._mark(_service_of(revision))

    def _settle_service(self, key: Key) -> None:
        service = self._objects.get(kinds.SERVICE, *key)
        if service is None:
            self._routes.pop(key, None)
            return
        before = self._objects.get(kinds.CONFIGURATION, *key)
        configuration = self._objects.write(configurations.wanted(service, before))
        newest = configurations.newest(configuration, self._revisions(service))
        if newest.make:
            self._objects.write(newest.make)
        for revision in self._revisions(service):
            self._settle_revision(revision, service, newest.name)
        self._say(service, configuration, newest)
        self._prune(service, newest.name)

    def _settle_revision(self, revision: Object, service: Object, newest: str) -> None:
        key = _key(revision)
        reach = revisions.reachability(revision, service, newest)
        abandoned = revisions.is_abandoned(revision, service, newest)
        if self._settled.get(key) == self._sight(revision, reach, abandoned=abandoned):
            return
        bound = carrying.of(revision, self._machine)
        told = carrying.annotated(revisions.labelled(revision, reach), bound)
        revision = self._objects.write(told)
        if abandoned:
            self._abandon(revision)
        else:
            self._follow(revision, reach)
        sight = self._sight(revision, reach, abandoned=abandoned)
        if self._scale(revision, reach, sight.scale):
            found = self._objects.get(kinds.REVISION, *key) or revision
            self._settled[key] = sight._replace(revision=found)

    def _sight(self, revision: Object, reach: Reachability, *, abandoned: bool) -> _Sight:
        key = _key(revision)
        instances = tuple(self._instances.of(key))
        scale = self.scaling.scale(key)
        return _Sight(revision, reach, abandoned, scale, instances, self._settings())

    def _scale(self, revision: Object, reach: Reachability, scale: Scale) -> bool:
        """Have so many of it, and say so; whether that can be."""
        why = self._run(revision, scale.instances)
        self._show_all(revision, why if scale.instances else None)
        self._write_autoscaler(revision, reach, scale)
        return why is None

    def _abandon(self, revision: Object) -> None:
        key = _key(revision)
        self.scaling.forget(key)
        status = revisions.superseded(revision, self._now())
        self._objects.write_status(kinds.REVISION, *key, status)

    def _follow(self, revision: Object, reach: Reachability) -> None:
        spec = revision["spec"]
        key, timeout = _key(revision), blueprints.timeout(revision)
        self._instances.serve(key, spec.get("containerConcurrency") or 0, timeout)
        self.scaling.follow(
            key,
            autoscalers.policy(revision, reach, self._settings()),
            new=not traffic.is_ready(revision),
            by_rate=autoscalers.counts_requests(revision),
        )
        self._write_status(revision, self.scaling.scale(key))

    def _run(self, revision: Object, count: int) -> Blocked | None:
        """Have so many instances; why none can be."""
        try:
            self._instances.have(self._blueprint(revision), count)
        except Blocked as why:
            self._instances.rescale(_key(revision), 0)
            return why
        return None

    def _blueprint(self, revision: Object) -> Blueprint:
        try:
            release = self._loaded(revision["spec"]["containers"][0].get("image", ""))
        except MlfuncError as error:
            raise blueprints.missing_release(revision) from error
        return blueprints.blueprint(revision, release, self._objects.get)

    def _loaded(self, image: str) -> Release:
        """They never change."""
        digest = releases.digest_of(image) or ""
        if digest not in self._releases:
            self._releases[digest] = self._release(digest)
        return self._releases[digest]

    # What is said of it.

    def _write_autoscaler(self, revision: Object, reach: Reachability, scale: Scale) -> None:
        before = self._objects.get(kinds.AUTOSCALER, *_key(revision))
        self._objects.write(autoscalers.manifest(revision, reach, scale, before, self._now()))

    def _write_status(self, revision: Object, scale: Scale) -> None:
        key = _key(revision)
        active = autoscalers.active(scale)
        status = revisions.status(revision, scale, self._instances.of(key), active, self._now())
        self._objects.write_status(kinds.REVISION, *key, status)

    def _say(self, service: Object, configuration: Object, newest: Newest) -> None:
        """What the Service says, and who gets its requests."""
        now, key, made = self._now(), _key(service), self._revisions(service)
        told = configurations.status(configuration, newest, made, now)
        configuration = self._objects.write({**configuration, "status": told})
        outcome = routes.resolved(service, configuration, made, self._port)
        url = routes.address(service, self._port)
        route = self._objects.get(kinds.ROUTE, *key)
        reached = routes.path_address(service, self._address)
        self._objects.write(routes.manifest(service, route, outcome, url, reached, now))
        status = services.status(service, configuration, outcome, url, reached, now)
        self._objects.write_status(kinds.SERVICE, *key, status)
        self._routes[key] = routes.route(self._objects.get(kinds.SERVICE, *key) or service)

    def _prune(self, service: Object, newest: str) -> None:
        made, reached = self._revisions(service), revisions.reached(service)
        for each in configurations.superfluous(made, newest, reached):
            self._remove(kinds.REVISION, each)

    def _route(self) -> None:
        wanted = [self._routes[key] for key in sorted(self._routes)]
        if wanted != self._routed:
            self._routed = wanted
            self._gateway.route(wanted)

    # Pods.

    def _show_all(self, revision: Object, why: Blocked | None) -> None:
        for each in self._instances.of(_key(revision)):
            self._show(revision, each)
        at = (revision["metadata"]["namespace"], pods.blocked_name(revision["metadata"]["name"]))
        before = self._objects.get(kinds.POD, *at)
        if why is not None:
            self._objects.write(pods.blocked(revision, why, before, self._now()))
        elif before is not None:
            self._objects.remove(kinds.POD, *at)

    def _show(self, revision: Object | None, instance: Instance) -> None:
        """One of a revision that is gone has its pod already, or needs none."""
        before = self._objects.get(kinds.POD, instance.revision.namespace, instance.name)
        found = before or (revision and pods.made(revision, instance.name))
        if found:
            self._objects.write(pods.pod(found, instance, self._now()))

    def _forget(self, revision: Object) -> None:
        """One is gone: nobody is sent there before it ends."""
        key, service = _key(revision), _service_of(revision)
        self._settled.pop(key, None)
        self.scaling.forget(key)
        if self._objects.get(kinds.SERVICE, *service) is None:
            self._routes.pop(service, None)
        self._route()
        self._instances.forget(key)
        self._objects.remove(kinds.POD, key.namespace, pods.blocked_name(key.name))

    def _forget_values(self, revision: Object) -> None:
        """A function that is gone leaves no secret that was only its own."""
        if self._objects.get(kinds.SERVICE, *_service_of(revision)) is not None:
            return
        namespace = revision["metadata"]["namespace"]
        others = map(blueprints.sources, self._objects.list(kinds.REVISION, namespace))
        for kind, name in blueprints.sources(revision).difference(*others):
            self._objects.remove(kind, namespace, name)

    def _remove(self, kind: Kind, found: Object) -> None:
        self._objects.remove(kind, found["metadata"]["namespace"], found["metadata"]["name"])

    # What there is.

    def _revisions(self, service: Object) -> Sequence[Object]:
        """Of a Service; one of the same name before it had others."""
        meta = service["metadata"]
        return [
            each
            for each in self._objects.list(kinds.REVISION, meta["namespace"])
            if each["metadata"]["labels"].get(names.SERVICE_UID) == meta["uid"]
        ]

    def _settings(self) -> Mapping[str, str]:
        return (self._objects.get(kinds.CONFIG_MAP, *_SETTINGS) or {}).get("data") or {}


def _key(found: Object) -> Key:
    return Key(found["metadata"]["namespace"], found["metadata"]["name"])


def _service_of(revision: Object) -> Key:
    meta = revision["metadata"]
    return Key(meta["namespace"], (meta.get("labels") or {}).get(names.SERVICE, ""))
