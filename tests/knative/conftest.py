"""What the tests on a cluster share: a namespace of their own, and one cache of builds."""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING

import pytest

from tests.rig import cluster as rig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rig.cluster import Cluster

GREETER = '''
class Greeter:
    """Greets."""

    example = {"name": "Ada"}

    def predict(self, name: str) -> str:
        return f"Hello {name}"
'''


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where builds keep what they made, for all tests of a run."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def cluster(home: Path) -> Iterator[Cluster]:
    """The cluster, with a fresh namespace for one test."""
    with rig.fresh(home) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def shared(home: Path) -> Iterator[Cluster]:
    """The same for all tests of a module."""
    with rig.fresh(home) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def own_features(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Knative's features are this module's own: no other, in whatever process, turns them on or off."""
    # Of all processes of a run; each has a folder of its own below.
    with (tmp_path_factory.getbasetemp().parent / "features.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
