"""Takes CloudEvents only."""

from __future__ import annotations


class Describe:
    """Tell what an event says of itself."""

    example = {"text": "hello"}

    def predict(self, event, text: str) -> dict[str, str]:
        return {"text": text, "type": event.get_type(), "source": event.get_source()}
