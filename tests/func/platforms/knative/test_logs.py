"""Logs of pods that come and go, as an API server streams them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from mlfunc.cluster import client
from mlfunc.platforms.knative import logs
from mlfunc.platforms.knative.addressing import Addressed
from mlfunc.platforms.knative.logs import Selection

from tests.func.knative.objects import pod
from tests.rig import apiserver
from tests.rig.apiserver import Reply

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.rig.apiserver import Asked

_FIRST, _SECOND = pod(1, "first"), pod(2, "second")
_STARTED = {
    "type": "ADDED",
    "object": {**_SECOND, "metadata": {**_SECOND["metadata"], "resourceVersion": "2"}},
}


def test_what_breaks_off_goes_on_after_the_last_line_and_new_pods_are_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_off = Reply(lines=(b"2026-01-01T00:00:01.5Z one\n",), ends="cut")
    again = (b"2026-01-01T00:00:01.5Z one\n", b"2026-01-01T00:00:01.7Z two\n")
    of_first = apiserver.in_turn(broken_off, Reply(lines=again, ends="hang"))

    def answer(asked: Asked) -> Reply:
        if asked.watches:
            return Reply(lines=(_STARTED,), ends="hang")
        if asked.path.endswith("/pods"):
            return Reply(body={"metadata": {"resourceVersion": "1"}, "items": [_FIRST]})
        if "first" in asked.path:
            return of_first(asked)
        return Reply(lines=(b"2026-01-01T00:00:01.6Z new\n",))

    with apiserver.serving(answer) as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "config")))
        selection = Selection(tail=5, since=60)
        lines = logs.follow(Addressed("greeter", client.connect()), selection)
        found = list(itertools.islice(lines, 3))
        del lines
        queries = {
            (asked.path.rpartition("-")[2], asked.query.get("tailLines"))
            for asked in server.asked
            if asked.path.endswith("/log")
        }

    assert sorted(each.text for each in found) == ["new", "one", "two"]
    assert queries == {("first/log", "5"), ("first/log", None), ("second/log", None)}


def test_a_container_that_starts_again_is_another_source() -> None:
    before, after = pod(1), pod(1)
    after["status"]["containerStatuses"][0]["containerID"] = "containerd://again"

    assert logs.sources([before], Selection()) != logs.sources([after], Selection())


def test_what_has_not_run_has_said_nothing() -> None:
    waiting = pod(1)
    waiting["status"]["containerStatuses"] = [
        {"name": "user-container", "state": {"waiting": {}}, "containerID": ""}
    ]
    young = pod(1)
    del young["status"]

    assert logs.sources([waiting, young], Selection()) == []
    assert logs.sources([pod(1)], Selection(previous=True)) == []
