"""The dashboard as the gateway has it: `/` and all below `/-/dashboard/`, only to be read."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlfunc.cluster import kinds
from mlfunc.knative import names
from mlfunc.supervisor.dashboard import snapshot
from mlfunc.supervisor.dashboard.assets import SAFE, asset
from mlfunc.supervisor.dashboard.feed import Frame, Page, encode, event
from mlfunc.supervisor.dashboard.following import Following
from mlfunc.supervisor.dashboard.recorder import Recorder
from mlfunc.supervisor.dashboard.scraping import Scraper
from mlfunc.supervisor.http.messages import Reply
from mlfunc.supervisor.parts import Key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from mlfunc.supervisor.dashboard.scraping import Scraped
    from mlfunc.supervisor.dashboard.sources import History, Logs, Passage, Statistics
    from mlfunc.supervisor.http.messages import Request
    from mlfunc.supervisor.parts import Fleet, Instance
    from mlfunc.supervisor.state.objects import Objects

_log = logging.getLogger(__name__)

PREFIX = "/-/dashboard/"
_SECOND = 1.0
_EVENTS = 60
_PAGES = 24  # open at once, and as many logs
_STREAM = [("content-type", "text/event-stream"), *SAFE]


@dataclass(frozen=True)
class Platform:
    """Which one it is: the gateway's address, and whose it is."""

    url: str
    version: str
    pid: int
    began: float


@dataclass(frozen=True)
class Sources:
    """The parts it looks at."""

    objects: Objects
    fleet: Fleet
    statistics: Statistics
    history: History
    logs: Logs


class Dashboard:
    """Looks once a second while there is something to see: an instance, a request, an open page."""

    def __init__(
        self, sources: Sources, platform: Platform, clock: Callable[[], float] = time.time
    ) -> None:
        self._sources = sources
        self._platform = platform
        self._clock = clock
        self._recorder = Recorder(sources.fleet, sources.statistics)
        self._scraper = Scraper()
        self._scraped: Mapping[str, Scraped] = {}
        self._events: Sequence[Passage] = ()
        self._pages: set[Page] = set()
        self._followings: set[Following] = set()
        self._beating: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._closed = False
        sources.fleet.listen(self._tell)

    @property
    def is_looking(self) -> bool:
        """Whether it does, each second."""
        return self._beating is not None and not self._beating.done()

    async def handle(self, request: Request) -> Reply:
        """Answer what is asked of `/` or below `PREFIX`."""
        if request.method not in ("GET", "HEAD"):
            return Reply(405, [("allow", "GET, HEAD"), *SAFE])
        if _is_from_elsewhere(request):
            return Reply(403, SAFE, b"Only the dashboard itself reads this.\n")
        reply = await self._answer(request)
        return Reply(reply.status, reply.headers) if request.method == "HEAD" else reply

    async def _answer(self, request: Request) -> Reply:
        match request.path.removeprefix(PREFIX):
            case "feed":
                return self._stream(self._pages, self._feed())
            case "logs":
                return self._stream(self._followings, self._follow(self._wanted(request.query)))
            case "snapshot":
                return await self._snapshot()
            case "/" | "":
                return asset("index.html") or _missing()
            case name:
                return asset(name) or _missing()

    async def close(self) -> None:
        """Look no more, and end what pages read: they would keep the gateway from its end."""
        self._closed = True
        for page in self._pages:
            page.end()
        for following in self._followings:
            following.end()
        tasks = [task for task in (self._beating, self._refreshing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Looking

    def _tell(self, instance: Instance) -> None:
        self._recorder.tell(instance, self._clock())
        for each in self._followings:
            each.tell(instance)
        self._wake()

    def _wake(self) -> None:
        if self._beating is None and not self._closed:
            self._beating = asyncio.get_running_loop().create_task(self._beat())
            self._beating.add_done_callback(self._stopped)

    async def _beat(self) -> None:
        while True:
            self._look()
            if not (self._pages or self._recorder.is_busy):
                self._beating = None
                return
            await asyncio.sleep(_SECOND)

    def _stopped(self, beating: asyncio.Task[None]) -> None:
        """After a mistake of ours, pages are told by their end; they come again by themselves."""
        if _has_failed(beating):
            self._beating = None
            for page in self._pages:
                page.end()

    def _look(self) -> None:
        self._recorder.observe(self._clock())
        revisions = self._sources.objects.list(kinds.REVISION)
        self._recorder.chronicle.keep(_key(each) for each in revisions)
        if self._pages:
            self._refresh()
            self._show()

    def _show(self) -> None:
        frame = self._frame()
        for page in self._pages:
            page.show(frame)

    def _frame(self) -> Frame:
        return Frame(self._clock(), {name: encode(each) for name, each in self._sections().items()})

    def _sections(self) -> dict[str, Any]:
        told, fleet = self._recorder, self._sources.fleet.instances()
        return {
            "platform": self._platform,
            "functions": snapshot.functions(
                self._sources.objects, fleet, told.chronicle, told.stats
            ),
            "live": snapshot.live(fleet, told.stats, told.measured, self._scraped),
            "events": self._events,
        }

    def _refresh(self) -> None:
        """Ask those that may be slow; until they have answered, what they said before is shown."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.get_running_loop().create_task(self._ask())
            self._refreshing.add_done_callback(_has_failed)

    async def _ask(self) -> None:
        asked = self._sources.fleet.instances()
        self._scraped, self._events = await asyncio.gather(
            self._scraper.scrape(asked), self._sources.history.recent(_EVENTS)
        )

    # Answering

    def _stream(self, open_ones: set[Any], body: AsyncIterator[bytes]) -> Reply:
        if self._closed or len(open_ones) >= _PAGES:
            text = b"It ends, or so many dashboards are open that this one is refused.\n"
            return Reply(503, [("retry-after", "5"), *SAFE], text)
        return Reply(200, _STREAM, body)

    async def _snapshot(self) -> Reply:
        await self._ask()
        if not self._recorder.is_busy:
            self._recorder.observe(self._clock())
        whole = {"at": self._clock(), **self._sections(), "history": self._history()}
        return Reply(200, [("content-type", "application/json"), *SAFE], encode(whole))

    async def _feed(self) -> AsyncIterator[bytes]:
        page = Page()
        self._pages.add(page)
        self._refresh()
        self._wake()
        try:
            yield b"retry: 1000\n\n" + event(self._history(), "history")
            page.show(self._frame())
            async for message in page.messages():
                yield message
        finally:
            self._pages.discard(page)

    def _history(self) -> dict[str, list[Any]]:
        """Each revision's samples, as lists: they are many."""
        return {
            "/".join(revision): [(round(point.at, 2), *point.sample) for point in points]
            for revision, points in self._recorder.timeline.all().items()
        }

    def _wanted(self, query: Mapping[str, str]) -> Callable[[Instance], bool]:
        """Of a revision, if it is named, else of all of a function."""
        namespace, revision, function = (
            query.get(name, "") for name in ("namespace", "revision", "function")
        )

        def is_wanted(instance: Instance) -> bool:
            key = instance.revision
            mine = key.namespace == namespace and revision in ("", key.name)
            return mine and self._function(key) == function

        return is_wanted

    def _function(self, revision: Key) -> str:
        found = self._sources.objects.get(kinds.REVISION, *revision) or {"metadata": {}}
        label: str = (found["metadata"].get("labels") or {}).get(names.SERVICE, "")
        return label

    async def _follow(self, wanted: Callable[[Instance], bool]) -> AsyncIterator[bytes]:
        following = Following(self._sources.logs, wanted)
        self._followings.add(following)
        for instance in self._sources.fleet.instances():
            following.tell(instance)
        try:
            yield b"retry: 1000\n\n"
            async for lines in following.batches():
                yield event(lines) if lines else b":\n\n"
        finally:
            self._followings.discard(following)
            await following.close()


def _is_from_elsewhere(request: Request) -> bool:
    """Whether another site's page asks: a browser says so, and would keep the reply from it, too.

    But it would hold a stream open.
    """
    site = request.header("sec-fetch-site", "none")
    is_visit = request.header("sec-fetch-mode") == "navigate" and request.path == "/"
    return site not in ("same-origin", "none") and not is_visit


def _has_failed(task: asyncio.Task[None]) -> bool:
    """Whether it has; the log says how."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        _log.error("the dashboard has made a mistake", exc_info=error)
    return error is not None


def _key(found: Mapping[str, Any]) -> Key:
    return Key(found["metadata"]["namespace"], found["metadata"]["name"])


def _missing() -> Reply:
    return Reply(404, [("content-type", "text/plain"), *SAFE], b"There is no such page.\n")
