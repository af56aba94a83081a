"""What conditions say, in words: Knative quotes the end of a log where a container has ended."""

from __future__ import annotations

import re

from mlfunc.knative import crashes
from mlfunc.knative.progress import Failure

_QUOTE = "Container failed with: "
_OF_PREEMPTION = re.compile(r"[. ]*(?:no new claims|preemption:)")


def sentence(message: str) -> str:
    """The message of a condition; of a log that it quotes, what the runtime gave up for."""
    _, quotes, log = message.partition(_QUOTE)
    if not quotes:
        return brief(message).strip()
    return crashes.explained(Failure(f"the function does not start: {log.strip()}"), log).message


def brief(message: str) -> str:
    """Without what the scheduler says of preemption, of pods that wait for a node."""
    return _OF_PREEMPTION.split(message)[0]
