"""A broker that is killed with SIGKILL: what it has accepted is delivered all the same."""

from __future__ import annotations

import http.client
import itertools
import threading
from typing import TYPE_CHECKING

from tests.rig import brokering
from tests.rig.brokering import Connection

if TYPE_CHECKING:
    from pathlib import Path


def _send_until_it_breaks(path: Path, ids: list[str], accepted: set[str]) -> None:
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
    accepted: set[str] = set()
    path = tmp_path / "api.sock"
    with brokering.subscriber() as (subscriber, url):
        for round_ in range(3):
            with brokering.process(state, path, url) as child:
                enough = threading.Event()
                senders = [
                    threading.Thread(
                        target=_send_until_it_breaks,
                        args=(path, [f"{round_}-{n}-{m}" for m in range(100_000)], accepted),
                    )
                    for n in range(4)
                ]
                watch = threading.Thread(
                    target=_wait_for, args=(accepted, 200 * (round_ + 1), enough)
                )
                for each in (*senders, watch):
                    each.start()
                enough.wait(60)
                child.kill()
                for each in (*senders, watch):
                    each.join()
        with brokering.process(state, path, url):
            subscriber.until(accepted)
    assert len(accepted) >= 600


def _wait_for(accepted: set[str], count: int, enough: threading.Event) -> None:
    for _ in itertools.takewhile(lambda _: len(accepted) < count, itertools.count()):
        enough.wait(0.001)
    enough.set()


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
