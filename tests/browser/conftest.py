"""Real functions and a real Chromium.

After every test the console must be clean, and no request may have gone elsewhere.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

PROJECTS = Path(__file__).parent.parent / "projects"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,900",
)

Browser = webdriver.Chrome


@contextmanager
def _served(project: str, until: str = "ready", **environment: str) -> Iterator[str]:
    """Serve a project on a free port; yields its address once the phase `until` has come."""
    settings = {
        "MLFUNC_FUNCTION": str(PROJECTS / project / "mlfunc.yaml"),
        "MLFUNC_HOST": "127.0.0.1",
        "MLFUNC_METRICS_PORT": "0",
        "PORT": "0",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "mlfunc_runtime"],
        env=os.environ | settings | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process, process.stderr as log:
        try:
            yield f"http://127.0.0.1:{_port(log, until)}/"
        finally:
            process.terminate()
            log.read()


def _port(log: Iterator[str], until: str) -> int:
    port, seen = 0, list[str]()
    for line in log:
        seen.append(line)
        entry = json.loads(line) if line.startswith("{") else {}
        port = int(entry.get("port", port))
        if entry.get("phase") == until:
            return port
    pytest.fail("the function did not start:\n" + "".join(seen))


@pytest.fixture
def serving() -> Callable[..., AbstractContextManager[str]]:
    """Serve a project for this test alone."""
    return _served


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[[str], str]]:
    """Serve a project of tests/projects, once for all tests that ask for it."""
    running: dict[str, str] = {}
    with ExitStack() as stack:

        def start(project: str) -> str:
            if project not in running:
                running[project] = stack.enter_context(_served(project))
            return running[project]

        yield start


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is missing: apt-get install chromium chromium-driver")
    return path


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    options = Options()
    options.binary_location = _program("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(_program("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    chromium.get("about:blank")
    for kind in ("browser", "performance"):
        chromium.get_log(kind)  # type: ignore[no-untyped-call]  # selenium's
    yield chromium
    assert _console_errors(chromium) == []
    assert _foreign_requests(chromium) == []


def _console_errors(driver: Browser) -> list[str]:
    # The browser logs every reply of 4xx and 5xx; only a file that is missing is the page's fault.
    entries = driver.get_log("browser")  # type: ignore[no-untyped-call]  # selenium's
    return [
        entry["message"]
        for entry in entries
        if entry["level"] == "SEVERE"
        and not (entry["source"] == "network" and "status of 404" not in entry["message"])
    ]


def _foreign_requests(driver: Browser) -> list[str]:
    events = [
        json.loads(entry["message"])["message"]
        for entry in driver.get_log("performance")  # type: ignore[no-untyped-call]  # selenium's
    ]
    urls = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    parts = [urlsplit(url) for url in urls]
    return [
        part.geturl()
        for part in parts
        if part.scheme not in ("data", "blob", "about") and part.hostname != "127.0.0.1"
    ]
