"""A request that an instance has to start for, on a small API server."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from mlfunc.cluster import client
from mlfunc.errors import ClusterFailed, NotFound
from mlfunc.platforms.knative import attending
from mlfunc.platforms.knative.addressing import Addressed
from mlfunc.platforms.knative.invoking import Reached
from mlfunc.platforms.way import Way

from tests.func.knative.objects import pod, service
from tests.rig import apiserver
from tests.rig.apiserver import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rig.apiserver import Asked

_CRASH = json.dumps({"message": "no", "phase": "failed", "error": "load raised E"})


@pytest.fixture
def pods() -> list[dict[str, Any]]:
    """Of the function; its log is that of a crash."""
    return []


@pytest.fixture
def reached(
    pods: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Reached]:
    def answer(asked: Asked) -> Reply:
        if asked.path.endswith("/log"):
            return Reply(body=f"{_CRASH}\n".encode())
        if asked.watches:
            return Reply(ends="hang")
        if asked.path.endswith("/pods"):
            return Reply(body={"metadata": {"resourceVersion": "1"}, "items": pods})
        return Reply(body=service())

    with apiserver.serving(answer) as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "config")))
        addressed = Addressed("greeter", client.connect())
        yield Reached(addressed, "greeter-00002", Way("http://nowhere.invalid"), has_instance=False)


def crashed(state: dict[str, Any]) -> dict[str, Any]:
    found = pod(2, ready="False")
    found["status"]["containerStatuses"][0] |= {
        "state": state,
        "lastState": {"terminated": {"exitCode": 1, "message": _CRASH}},
    }
    return found


def ignored(_: str) -> None:
    """Nobody reads it."""


def test_who_asks_what_does_not_start_is_told_why_at_once(
    reached: Reached, pods: list[dict[str, Any]]
) -> None:
    pods.append(crashed({"waiting": {"reason": "CrashLoopBackOff"}}))

    with pytest.raises(ClusterFailed) as failed:
        attending.answered(reached, threading.Event().wait, ignored)

    assert failed.value.message == "greeter-00002: the function does not start: load raised E"
    assert "mlfunc logs greeter" in failed.value.hint


def test_what_is_started_again_may_come_through_this_time(
    reached: Reached, pods: list[dict[str, Any]]
) -> None:
    pods.append(crashed({"running": {}}))
    looked = threading.Event()

    def ask() -> str:
        assert looked.wait(30)
        return "Hello"

    assert attending.answered(reached, ask, lambda _: looked.set()) == "Hello"


def test_one_crash_of_what_has_served_is_waited_for(
    reached: Reached, pods: list[dict[str, Any]]
) -> None:
    pods.append(crashed({"waiting": {"reason": "CrashLoopBackOff"}}))
    container = pods[0]["status"]["containerStatuses"][0]
    container["lastState"]["terminated"]["message"] = ""
    looked = threading.Event()

    def ask() -> str:
        assert looked.wait(30)
        return "Hello"

    assert attending.answered(reached, ask, lambda _: looked.set()) == "Hello"
    container["restartCount"] = 2
    with pytest.raises(ClusterFailed):
        attending.answered(reached, threading.Event().wait, ignored)


def test_a_reply_that_is_late_says_how_far_the_instance_is(
    reached: Reached, pods: list[dict[str, Any]]
) -> None:
    pods.append(pod(2, ready="False"))
    looked = threading.Event()

    def ask() -> None:
        assert looked.wait(30)
        raise NotFound("no reply within 1 s", "give it longer with --timeout")

    with pytest.raises(NotFound) as late:
        attending.answered(reached, ask, lambda _: looked.set())

    assert late.value.message == "no reply within 1 s: an instance of greeter-00002 is starting"
    assert late.value.hint == "mlfunc logs greeter; give it longer with --timeout"
