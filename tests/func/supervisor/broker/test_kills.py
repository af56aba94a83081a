"""A broker that is killed with SIGKILL: what it has accepted is delivered all the same."""

from __future__ import annotations

import http.client
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.rig import brokering
from tests.rig.brokering import Connection

if TYPE_CHECKING:
    from pathlib import Path


class Accepted:
    """The ids of what was answered with 202."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self._changed = threading.Condition()

    def add(self, id_: str) -> None:
        with self._changed:
            self.ids.add(id_)
            self._changed.notify_all()

    def until(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.ids) >= count, timeout=60)


def _send_until_it_breaks(path: Path, ids: list[str], accepted: Accepted) -> None:
    connection = Connection(path)
    try:
        for id_ in ids:
            if brokering.emit(connection, id_) == 202:
                accepted.add(id_)
    except (OSError, http.client.HTTPException):
        pass
    finally:
        connection.close()


def test_no_accepted_event_is_lost_when_it_is_killed_under_load(
    state: Path, tmp_path: Path
) -> None:
    accepted, path = Accepted(), tmp_path / "api.sock"
    with brokering.subscriber() as (subscriber, url):
        for round_ in range(3):
            with ThreadPoolExecutor(4) as pool, brokering.process(state, path, url):
                for n in range(4):
                    ids = [f"{round_}-{n}-{m}" for m in range(100_000)]
                    pool.submit(_send_until_it_breaks, path, ids, accepted)
                accepted.until(200 * (round_ + 1))
        with brokering.process(state, path, url):
            subscriber.until(accepted.ids)


def test_what_failed_before_is_tried_again_after_it(state: Path, tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with brokering.subscriber() as (subscriber, url):
        subscriber.fail = True
        with brokering.process(state, path, url) as child:
            connection = Connection(path)
            assert brokering.emit(connection, "one") == 202
            connection.close()
            subscriber.until({"one"})
            child.kill()
        subscriber.fail = False
        before = subscriber.ids["one"]
        with brokering.process(state, path, url), subscriber.changed:
            assert subscriber.changed.wait_for(lambda: subscriber.ids["one"] > before, timeout=30)
