"""What conditions say, in words: Knative quotes the end of a log where a container has ended."""

from __future__ import annotations

import json
from typing import Any

_QUOTE = "Container failed with: "


def sentence(message: str) -> str:
    """The message of a condition; of a log that it quotes, why the runtime gave up."""
    _, quotes, log = message.partition(_QUOTE)
    if not quotes:
        return message.strip()
    told = _failure(log)
    return f"the function does not start: {told or log.strip()}"


def _failure(log: str) -> str:
    found = [_record(line) for line in log.splitlines()]
    return next((str(each["error"]) for each in found if each.get("phase") == "failed"), "")


def _record(line: str) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
