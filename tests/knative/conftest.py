"""What the tests on a cluster share: a namespace of their own, and one cache of builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.rig import cluster as rig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rig.cluster import Cluster

_SHARING = {"test_mounting.py": "features", "test_manifests.py": "features"}

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests run one after the other, and so do files that need settings of the cluster to
    be as some other changes them.
    """
    for item in items:
        group = _SHARING.get(item.path.name, f"{item.path.parent.name}/{item.path.name}")
        item.add_marker(pytest.mark.xdist_group(group))
