"""A stream that costs nothing to make: what an item costs is the server's."""

from collections.abc import Iterator


class Predictor:
    example = {"count": 3}

    def predict(self, count: int) -> Iterator[int]:
        yield from range(count)
