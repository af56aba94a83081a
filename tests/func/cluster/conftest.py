"""A cluster that is a script: what its API server says, each test writes down."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from mlfunc.cluster import client

from tests.rig import apiserver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mlfunc.cluster.client import Cluster

    from tests.rig.apiserver import ApiServer, Asked, Reply


class Serve(Protocol):
    """Starts an API server that answers so, and connects to it as this user."""

    def __call__(self, answer: Callable[[Asked], Reply], **user: Any) -> tuple[ApiServer, Cluster]:
        """Both."""


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """API servers until the test ends."""
    with contextlib.ExitStack() as running:

        def start(answer: Callable[[Asked], Reply], **user: Any) -> tuple[ApiServer, Cluster]:
            server = running.enter_context(apiserver.serving(answer))
            monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "config", **user)))
            return server, client.connect()

        yield start
