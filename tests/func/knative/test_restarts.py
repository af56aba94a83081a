"""Why an instance was started again, by what its pod shows."""

from __future__ import annotations

from typing import Any

import pytest
from mlfunc.knative import restarts
from mlfunc.knative.restarts import Restart

STOPPED = '{"time": "", "message": "stopped", "phase": "stopped", "stuck": 1}'
FAILED = '{"time": "", "message": "it", "phase": "failed", "error": "ValueError: no"}'


def pod(count: int, **ended: Any) -> dict[str, Any]:
    last = {"terminated": {"exitCode": 3, "finishedAt": "2026-11-26T10:00:00Z", **ended}}
    container = {"name": "user-container", "restartCount": count, "lastState": last}
    proxy = {"name": "queue-proxy", "restartCount": 7}
    return {"metadata": {"name": "a"}, "status": {"containerStatuses": [proxy, container]}}


def test_the_last_restart_of_each_pod_is_told() -> None:
    assert restarts.of([pod(2, reason="Error"), pod(0)]) == [
        Restart("a", 2, "2026-11-26T10:00:00Z", "it ended with exit code 3")
    ]


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        ({"message": f"cut off\n{STOPPED}\n"}, "each of its slots was stuck"),
        ({"message": FAILED}, "ValueError: no"),
        ({"reason": "OOMKilled", "exitCode": 137}, "more memory than it may have"),
        ({"exitCode": 139}, "it was ended by SIGSEGV"),
    ],
)
def test_a_restart_has_a_reason_in_words(ended: dict[str, Any], reason: str) -> None:
    (restart,) = restarts.of([pod(1, **ended)])

    assert reason in restart.reason


def test_a_pod_that_tells_nothing_of_its_last_end_is_told_all_the_same() -> None:
    told = pod(1)
    told["status"]["containerStatuses"][1]["lastState"] = {}

    assert restarts.of([told]) == [Restart("a", 1, "", "")]
