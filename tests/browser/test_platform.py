"""The dashboard of a real supervisor with real functions, in a real Chromium."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from selenium import webdriver

from tests.rig import places
from tests.rig.dashboardpage import DashboardPage
from tests.rig.places import OnThisMachine

if TYPE_CHECKING:
    from collections.abc import Iterator

Browser = webdriver.Chrome

WAITER = """
import time

class Waiter:
    def load(self, context):
        print("<b>loaded</b>", flush=True)

    def predict(self, seconds: float) -> str:
        time.sleep(seconds)
        return "done"
"""
BROKEN = """
class Broken:
    def load(self, context):
        raise RuntimeError("there are no weights")

    def predict(self) -> str:
        return ""
"""
# One request in an instance, and gone soon: 0 -> 3 -> 0 in a minute.
# Three have room on a machine of one core.
_SCALED = {
    "serve": {"concurrency": 1},
    "scale": {"min": 0, "max": 3, "window": "6s"},
    "resources": {"cpu": "100m", "memory": "256Mi"},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnThisMachine]:
    home = tmp_path_factory.mktemp("home")
    with places.on_this_machine(home) as found:
        assert isinstance(found, OnThisMachine)
        yield found
        platform(found, "stop", "--timeout", "10")


def platform(place: OnThisMachine, *args: str) -> None:
    """`mlfunc platform …`, which is of no namespace."""
    mlfunc = Path(sys.executable).with_name("mlfunc")
    subprocess.run([mlfunc, "platform", *args], env={**os.environ, **place.environ}, check=True)


@pytest.fixture(scope="module")
def waiter(place: OnThisMachine, tmp_path_factory: pytest.TempPathFactory) -> str:
    events = {"subscriptions": [{"filter": {"type": "wait"}}]}
    folder = tmp_path_factory.mktemp("projects") / "waiter"
    place.mlfunc("deploy", "--path", place.project(folder, WAITER, **_SCALED, events=events))
    return f"#/{place.namespace}/waiter"


@contextmanager
def asking(place: OnThisMachine, count: int, seconds: float) -> Iterator[list[int]]:
    """So many requests at once, until the end of the block; what became of them."""
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(place.request("waiter", {"seconds": seconds}).status)

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    yield statuses
    for thread in threads:
        thread.join()


def test_instances_go_from_zero_to_three_and_back(
    browser: Browser, place: OnThisMachine, waiter: str
) -> None:
    page = DashboardPage(browser, f"{place.gateway}/{waiter}")
    page.until(lambda: page.text("#functions .state") == "At zero", 90)

    with asking(place, 3, 8) as statuses:
        page.until(lambda: page.cells("#functions tbody tr")[3] == "3", 30)
        page.until(lambda: page.cells("#functions tbody tr")[4] == "3", 30)
        page.until(lambda: page.cells("#functions tbody tr")[9] == "100 %", 30)
        page.until(lambda: "<b>loaded</b>" in page.text("#logs"))
        page.save("three")
    assert statuses == [200] * 3
    page.until(lambda: len(page.all(".starts li")) >= 3)
    assert "runtime" in page.text(".starts")
    page.until(lambda: page.text("#functions .state") == "At zero", 120)

    label = str(page.one(".chart").get_attribute("aria-label"))
    assert "0 now, 3 at most" in label
    page.save("zero")
    browser.get("about:blank")


def test_an_event_is_seen_on_its_way(browser: Browser, place: OnThisMachine, waiter: str) -> None:
    page = DashboardPage(browser, f"{place.gateway}/{waiter}")
    page.until(lambda: "type=wait" in page.text("[aria-label=Subscriptions]"))
    place.send("wait", {"seconds": 0})
    place.send("unwanted", {})

    page.until(lambda: "Delivered" in page.text("#events"), 60)
    page.until(lambda: "No trigger takes it." in page.text("#events"))
    assert "waiter" in page.text("#events")
    browser.get("about:blank")


def test_a_function_that_cannot_start_says_why(
    browser: Browser, place: OnThisMachine, tmp_path: Path
) -> None:
    place.mlfunc("deploy", "--path", place.project(tmp_path / "broken", BROKEN), code=None)
    page = DashboardPage(browser, f"{place.gateway}/#/{place.namespace}/broken")

    page.until(lambda: "there are no weights" in page.text(".problem"), 60)
    page.until(lambda: page.text("#functions tbody tr:first-child .state") == "Failed")
    page.save("broken")
    place.mlfunc("delete", "broken", "--yes")
    page.until(lambda: "broken" not in page.text("#functions"))
    browser.get("about:blank")


def test_an_open_page_does_not_keep_the_platform_from_its_end(
    browser: Browser, place: OnThisMachine, waiter: str
) -> None:
    page = DashboardPage(browser, f"{place.gateway}/{waiter}")
    platform(place, "stop", "--timeout", "60")

    page.until(lambda: page.text("#state").startswith("Unreachable"))
    platform(place, "start")
    page.until(lambda: page.text("#state") == "Live", 30)
    page.until(lambda: page.text("#functions .name") == "waiter")
    browser.get("about:blank")
