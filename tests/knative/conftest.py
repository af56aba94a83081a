"""What the tests on a cluster share: a namespace of their own, and one cache of builds."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.rig import cluster as rig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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


@pytest.fixture
def figure(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints what was measured, whether the test succeeds or not: no figure decides it."""

    def show(text: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n    {text}")

    return show
