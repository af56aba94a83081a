"""What all tests share: no property is held to a time, and figures are shown at the end."""

from __future__ import annotations

import logging
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FIGURE = "figure"

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
# A shell's background jobs ignore Ctrl-C, and what they start inherits that: programs that tests
# interrupt are not to.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Commands that a test calls leave the logger, which the process has once, as it was."""
    logger = logging.getLogger("mlfunc")
    level = logger.level
    yield
    logger.handlers = []
    logger.setLevel(level)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Notes what was measured, for the end of the run: no figure decides a test."""
    properties = request.node.user_properties
    return lambda text: properties.append((_FIGURE, text))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures of all tests, whichever process ran them."""
    reports = [each for some in terminalreporter.stats.values() for each in some]
    figures = [
        f"{report.nodeid.rpartition('/')[2]}: {text}"
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, text in report.user_properties
        if name == _FIGURE
    ]
    if figures:
        terminalreporter.section("figures")
    for line in figures:
        terminalreporter.line(line)
