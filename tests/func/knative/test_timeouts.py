"""Timeouts, set together."""

from __future__ import annotations

from typing import Any

import pytest
from mlfunc.knative import timeouts
from mlfunc.knative.release import Model

from tests.func.knative.functions import IMAGE, release


@pytest.mark.parametrize(
    ("serve", "expected"),
    [
        ({"timeout": "1s", "drain": "1s", "hooks": {"timeout": "1s"}}, 60),
        ({}, 90),
        ({"timeout": "100.2s"}, 131),
        ({"timeout": "1s", "drain": "5m"}, 330),
        ({"timeout": "1s", "hooks": {"timeout": "2m"}}, 150),
    ],
    ids=["at least a minute", "as it is", "of a request", "of the end", "of a hook"],
)
def test_a_pod_has_time_for_the_longest_after_the_quiet_of_the_queue_proxy(
    serve: dict[str, Any], expected: int
) -> None:
    found = timeouts.of(release(serve=serve).function)

    assert set(found.values()) == {expected}
    assert set(found) == {"timeoutSeconds", "responseStartTimeoutSeconds", "idleTimeoutSeconds"}


@pytest.mark.parametrize(
    ("delivery", "expected"), [("baked", 650), ("volume", 2650), ("stream", 2650)]
)
def test_a_start_may_take_as_long_as_a_pull_of_all_that_is_pulled(
    delivery: Any, expected: int
) -> None:
    model = Model("m", "hf://a/b", delivery, 40 * 10**9, image=IMAGE)

    assert timeouts.progress_deadline(release(model)) == expected
