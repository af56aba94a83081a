"""What tests of models share: how one asks for a model, and how files here are hashed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from mlfunc.function import Model
from mlfunc.models.pinning import Asked, pin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from mlfunc.lock import ModelPin


def sha256_of(paths: Iterable[Path]) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture
def pinned(tmp_path: Path) -> Callable[..., ModelPin]:
    """Pins a model of a project in the test's own folder."""

    def pinned(
        uri: str,
        previous: ModelPin | None = None,
        *,
        files: list[str] | None = None,
        upgrade: bool = False,
    ) -> ModelPin:
        model = Model(uri, files=files or [])
        return pin(Asked("default", model, tmp_path, previous, sha256_of), upgrade=upgrade)

    return pinned
