"""The dashboard of a local platform in a real Chromium."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.rig.platformpage import (
    PlatformPage,
    instance,
    platform_page,
    revision,
    service,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from selenium.webdriver.remote.webelement import WebElement

    from tests.rig.platformpage import Made

Browser = webdriver.Chrome


class Page:
    """The dashboard as its user knows it."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.browser = browser
        browser.get(url)
        self.until(lambda: self.text("#state") == "Live" and "mlfunc" in self.text("#facts"))

    def until(self, condition: Callable[[], Any], seconds: float = 15) -> Any:
        return WebDriverWait(self.browser, seconds, 0.05).until(lambda _: condition())

    def one(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        # What is looked at may be written anew meanwhile: the text is read in one go.
        script = "return document.querySelector(arguments[0])?.innerText ?? ''"
        return str(self.browser.execute_script(script, selector))

    def cells(self, selector: str) -> list[str]:
        """Of a table's row."""
        script = "return [...document.querySelector(arguments[0]).cells].map((each) => each.innerText.trim())"
        return list(self.browser.execute_script(script, selector))


@pytest.fixture
def platform() -> Iterator[PlatformPage]:
    with platform_page() as page:
        yield page


@pytest.fixture
def page(browser: Browser, platform: PlatformPage) -> Iterator[Page]:
    yield Page(browser, platform.url)
    browser.get("about:blank")  # its streams end before the platform


def deploy(made: Made, name: str, shares: dict[str, int], **more: Any) -> None:
    for each in shares:
        made.objects.write(revision(name, each))
    made.objects.write(service(name, shares, **more))


def test_functions_their_traffic_and_tags_are_shown(page: Page, platform: PlatformPage) -> None:
    shares = {"classify-00002": 10, "classify-00001": 90}
    platform.do(lambda made: deploy(made, "classify", shares, tags={"next": "classify-00002"}))

    page.until(lambda: page.text("#functions .name") == "classify")
    page.until(lambda: "classify-00002" in page.text("#detail"))
    assert page.cells("[aria-label=Revisions] tbody tr")[:3] == ["classify-00002", "10 %", "next"]
    assert page.one("a.tag").get_attribute("href") == "http://next-classify.default.localhost:8088/"


def test_instances_come_and_go_without_a_reload(page: Page, platform: PlatformPage) -> None:
    platform.do(lambda made: deploy(made, "hello", {"hello-00001": 100}))
    page.until(lambda: page.text("#functions .state") == "At zero")

    platform.do(lambda made: made.fleet.put(instance("a", "hello-00001", "loading")))
    page.until(lambda: page.text("#functions .state") == "Starting")

    for name in "abc":
        platform.do(lambda made, name=name: made.fleet.put(instance(name, "hello-00001")))  # type: ignore[misc]
    page.until(lambda: page.cells("#functions tbody tr")[3] == "3")
    assert page.text(".readout").startswith("now: 3 instances ready")

    for name in "abc":
        platform.do(lambda made, name=name: made.fleet.put(instance(name, "hello-00001", "ended")))  # type: ignore[misc]
    page.until(lambda: page.text("#functions .state") == "At zero")
    assert "Instances over the last 10 minutes: 0 now, 3 at most" in str(
        page.one(".chart").get_attribute("aria-label")
    )
