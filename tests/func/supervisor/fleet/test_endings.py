"""What is said of an end in the log of an instance."""

from __future__ import annotations

import json

import pytest
from mlfunc import loglines
from mlfunc.supervisor.fleet import endings


@pytest.mark.parametrize(
    ("code", "failure", "said"),
    [
        (3, "", "it ended with exit code 3; it is started again"),
        (-9, "", "it was ended by SIGKILL; it is started again"),
        (-99, "", "it was ended by signal 99; it is started again"),
        (-9, "it did not answer for 60 s", "it did not answer for 60 s; it is started again"),
    ],
)
def test_an_end_is_said_in_a_line_like_those_of_the_runtime(
    code: int, failure: str, said: str
) -> None:
    told = json.loads(endings.line(code, failure, 0.5))

    assert told["time"] == "1970-01-01T00:00:00.500Z"
    assert told["message"] == said
    assert said in loglines.line(told)
