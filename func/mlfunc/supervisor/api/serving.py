"""Requests to the API: what each is for, what is answered, what is refused."""

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from mlfunc.cluster import kinds
from mlfunc.errors import MlfuncError
from mlfunc.supervisor.api import (
    admitting,
    applying,
    builtin,
    patching,
    refusals,
    resources,
    selecting,
    shapes,
)
from mlfunc.supervisor.api.applying import Manager
from mlfunc.supervisor.api.brokers import Brokers
from mlfunc.supervisor.api.refusals import Refused
from mlfunc.supervisor.api.watches import Watch
from mlfunc.supervisor.http.messages import Reply, json_reply
from mlfunc.supervisor.state.objects import Gone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from mlfunc.cluster.kinds import Kind
    from mlfunc.supervisor.api.resources import Place
    from mlfunc.supervisor.http.messages import Handler, Request
    from mlfunc.supervisor.state.objects import Objects

Object = dict[str, Any]

# Who asks may change these; the others tell what there is.
_MADE = (
    kinds.SERVICE,
    kinds.BROKER,
    kinds.TRIGGER,
    kinds.PING_SOURCE,
    kinds.SECRET,
    kinds.CONFIG_MAP,
)
_CHANGED = (*_MADE, kinds.REVISION)
_APPLY, _MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_WATCH_SECONDS = 300.0
_UNKNOWN_MANAGER = "unknown"
_MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


class Logs(Protocol):
    """The text of the log of a pod."""

    def __call__(self, pod: Object, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """What a query asks for, in pieces of any size; its parameters are those of Kubernetes.

        Raises:
            ValueError: the query is none.
            LookupError: there is no such container, or it has not run before.

        """
        ...


def handler(objects: Objects, logs: Logs, gateway: str) -> Handler:
    """What answers requests to the API; `gateway` is the URL of where events come in."""
    api = _Api(objects, logs, Brokers(objects, gateway))

    async def handle(request: Request) -> Reply:
        try:
            return await api.answer(request)
        except Refused as refused:
            return json_reply(refused.status["code"], refused.status)
        except MlfuncError as error:
            told = refusals.not_kept(error.message).status
            return json_reply(told["code"], told)

    return handle


class _Api:
    def __init__(self, objects: Objects, logs: Logs, brokers: Brokers) -> None:
        self._objects = objects
        self._logs = logs
        self._brokers = brokers
        self._changing = asyncio.Lock()

    async def answer(self, request: Request) -> Reply:
        path = request.path
        if path == "/version":
            return json_reply(200, builtin.version())
        if path == _REVIEWS and request.method == "POST":
            return json_reply(201, {**_body(request), "status": {"allowed": True}})
        if group := resources.group(path):
            return json_reply(200, _group(*group))
        place = resources.find(path)
        if place is None:
            raise refusals.unknown_path()
        if place.kind == kinds.BROKER and place.namespace:
            self._brokers.have(place.namespace)
        if request.method == "GET":
            return self._read(place, request)
        # To its end, though the client leaves: what is on the disk then is also done.
        return await asyncio.shield(self._change(place, request))

    def _read(self, place: Place, request: Request) -> Reply:
        if place.part:
            return self._part(place, request)
        if place.name:
            return json_reply(200, self._get(place))
        return self._list(place, request)

    async def _change(self, place: Place, request: Request) -> Reply:
        """One after the other: each goes by what the one before has left."""
        if place.part:
            raise refusals.unknown_path()
        async with self._changing:
            match request.method, bool(place.name):
                case "POST", False:
                    return await self._create(place, request)
                case "PATCH", True:
                    return await self._patch(place, request)
                case "DELETE", True:
                    return await self._delete(place, request)
                case _:
                    raise refusals.no_method(request.method)

    def _get(self, place: Place) -> Object:
        found = self._objects.get(*place.at) or builtin.get(place)
        if found is None:
            raise refusals.absent(place.kind, place.name)
        return found

    def _list(self, place: Place, request: Request) -> Reply:
        query = request.query
        selector = selecting.parse(query.get("labelSelector", ""), query.get("fieldSelector", ""))
        if query.get("watch") in ("true", "1"):
            return self._watch(place, selector, query)
        found = self._objects.list(place.kind, place.namespace)
        items = found + builtin.listed(place, self._objects)
        return json_reply(
            200,
            {
                "kind": f"{place.kind.name}List",
                "apiVersion": place.kind.api_version,
                "metadata": {"resourceVersion": str(self._objects.version)},
                "items": [each for each in items if selector.matches(each)],
            },
        )

    def _watch(self, place: Place, selector: selecting.Selector, query: dict[str, str]) -> Reply:
        def matches(found: Object) -> bool:
            where = found["metadata"].get("namespace", "")
            return place.namespace in (None, where) and selector.matches(found)

        version = _whole_number(query, "resourceVersion") or None
        seconds = _whole_number(query, "timeoutSeconds") or _WATCH_SECONDS
        watch = Watch(self._objects, place.kind, matches, version, seconds)
        return Reply(200, [("content-type", "application/json")], watch.lines())

    async def _create(self, place: Place, request: Request) -> Reply:
        _check_may(place.kind, _MADE, request.method)
        body = _change(place.kind, request)
        named = resources.Place(place.kind, place.namespace, _name(body))
        wanted = _placed(body, named)
        if self._objects.get(*named.at) is not None:
            raise refusals.there_already(place.kind, named.name)
        wanted = applying.update(None, wanted, _manager(place.kind, request, "Update"))
        return json_reply(201, await self._write(place.kind, wanted, None, request))

    async def _patch(self, place: Place, request: Request) -> Reply:
        sort = request.header("content-type").partition(";")[0].strip()
        if sort == _APPLY:
            return await self._apply(place, request)
        if sort == _MERGE:
            return await self._merge(place, request)
        raise refusals.no_media_type(sort)

    async def _apply(self, place: Place, request: Request) -> Reply:
        live = self._objects.get(*place.at)
        _check_may(place.kind, _CHANGED if live else _MADE, request.method)
        manifest = _placed(_change(place.kind, request), place)
        _check_version(place, live, manifest["metadata"])
        if not request.query.get("fieldManager"):
            raise refusals.bad_request("fieldManager: Required value: is required for apply patch")
        manager = _manager(place.kind, request, "Apply")
        force = request.query.get("force") in ("true", "1")
        wanted = applying.apply(live, manifest, manager, force=force)
        return json_reply(
            200 if live else 201, await self._write(place.kind, wanted, live, request)
        )

    async def _merge(self, place: Place, request: Request) -> Reply:
        live = self._objects.get(*place.at)
        if live is None:
            raise refusals.absent(place.kind, place.name)
        _check_may(place.kind, _CHANGED, request.method)
        patch = _change(place.kind, request)
        _check_version(place, live, patch.get("metadata") or {})
        wanted = {**patching.merged(live, patch), "status": live.get("status")}
        wanted = _placed({key: each for key, each in wanted.items() if each is not None}, place)
        wanted = applying.update(live, wanted, _manager(place.kind, request, "Update"))
        return json_reply(200, await self._write(place.kind, wanted, live, request))

    async def _write(
        self, kind: Kind, wanted: Object, live: Object | None, request: Request
    ) -> Object:
        head = {"apiVersion": kind.api_version, "kind": kind.name}
        admitted = admitting.admitted(kind, {**head, **wanted}, live)
        if request.query.get("dryRun"):
            return self._objects.preview(admitted)
        try:
            return await self._objects.commit(admitted)
        except Gone as error:
            raise refusals.absent(kind, wanted["metadata"]["name"]) from error

    async def _delete(self, place: Place, request: Request) -> Reply:
        _check_may(place.kind, _CHANGED, request.method)
        live = self._objects.get(*place.at)
        if live is None:
            raise refusals.absent(place.kind, place.name)
        options = _body(request) if request.body else {}
        _check_version(place, live, options.get("preconditions") or {})
        if "Orphan" in (request.query.get("propagationPolicy"), options.get("propagationPolicy")):
            raise refusals.bad_request("what an object owns goes with it: Orphan is not served")
        if not request.query.get("dryRun"):
            await self._objects.commit_removal(*place.at)
        return json_reply(200, refusals.success(place.kind, live))

    def _part(self, place: Place, request: Request) -> Reply:
        if place.kind != kinds.POD or place.part != "log":
            raise refusals.unknown_path()
        pod = self._get(place)
        try:
            lines = self._logs(pod, request.query)
        except (ValueError, LookupError) as error:
            raise refusals.bad_request(str(error.args[0] if error.args else error)) from error
        return Reply(200, [("content-type", "text/plain")], lines)


def _change(kind: Kind, request: Request) -> Object:
    """An object, or what shall be otherwise of one."""
    found = _body(request)
    shapes.check(kind, found)
    return found


def _body(request: Request) -> Object:
    try:
        found = msgspec.json.decode(request.body)
    except msgspec.DecodeError as error:
        raise refusals.bad_request(f"the body of the request is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise refusals.bad_request("the body of the request is no JSON object")
    return found


def _name(body: Object) -> str:
    name = (body.get("metadata") or {}).get("name")
    if not name:
        raise refusals.bad_request("metadata.name: Required value: a name is required")
    return str(name)


def _placed(body: Object, place: Place) -> Object:
    """An object that is what its path says it is."""
    kind = place.kind
    said = body.get("apiVersion", kind.api_version), body.get("kind", kind.name)
    if said != (kind.api_version, kind.name):
        raise refusals.bad_request(f"{said[1]}.{said[0]} is not what is kept at this path")
    meta = body.get("metadata") or {}
    own = {"name": place.name, **({"namespace": place.namespace} if kind.namespaced else {})}
    for key, value in own.items():
        if meta.get(key, value) != value:
            message = f"the {key} of the object ({meta[key]}) does not match that of the URL"
            raise refusals.bad_request(f"{message} ({value})")
    return {**body, "metadata": {**meta, **own}}


def _check_may(kind: Kind, which: tuple[Kind, ...], method: str) -> None:
    if kind not in which:
        raise refusals.no_method(f"{method} of {kind.plural}")


def _check_version(place: Place, live: Object | None, wanted: Object) -> None:
    """Whether it is the object, and the version of it, that is meant."""
    for key in ("uid", "resourceVersion"):
        there = live["metadata"][key] if live else None
        if wanted.get(key) not in (None, there):
            why = f"Precondition failed: {key} in precondition: {wanted[key]}, in object: {there}"
            if key == "resourceVersion":
                why = _MODIFIED
            raise refusals.changed_meanwhile(place.kind, place.name, why)


def _manager(kind: Kind, request: Request, operation: Any) -> Manager:
    name = request.query.get("fieldManager") or _UNKNOWN_MANAGER
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Manager(name, operation, kind.api_version, now)


def _whole_number(query: dict[str, str], name: str) -> int | None:
    text = query.get(name)
    if text and not text.isdecimal():
        raise refusals.bad_request(f"{name}: Invalid value: {text}")
    return int(text) if text else None


def _group(group: str, version: str) -> Object:
    found = [each for at, each in resources.KINDS.items() if at[:2] == (group, version)]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": [
            {"name": each.plural, "kind": each.name, "namespaced": each.namespaced}
            for each in found
        ],
    }
