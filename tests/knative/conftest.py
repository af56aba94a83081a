"""What the tests on a cluster share: a namespace of their own, and one cache of builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.rig import cluster as rig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.rig.cluster import Cluster

_FIGURE = "figure"
_GROUPS = {"test_mounting": "features", "test_manifests": "features"}

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
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Notes what was measured, for the end of the run: no figure decides a test."""
    properties = request.node.user_properties
    return lambda text: properties.append((_FIGURE, text))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures of all tests, whichever process ran them."""
    terminalreporter.section("figures")
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                for name, text in report.user_properties:
                    if name == _FIGURE:
                        terminalreporter.line(f"{report.nodeid.rpartition('/')[2]}: {text}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests run one after the other, and so do files that need settings of the cluster to
    be as some other changes them.
    """
    for item in items:
        name = item.path.stem
        item.add_marker(pytest.mark.xdist_group(_GROUPS.get(name, name)))
