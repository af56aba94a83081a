"""What the tests of the cache share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.rig.hub import hub

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub with two models that have a file in common."""
    with hub() as running:
        running.add("org/one", {"shared.bin": b"s" * 50_000, "own.bin": b"1" * 9000})
        running.add("org/two", {"shared.bin": b"s" * 50_000, "own.bin": b"2" * 9000})
        monkeypatch.setenv("HF_ENDPOINT", running.endpoint)
        yield
