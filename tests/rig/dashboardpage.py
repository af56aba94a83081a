"""The dashboard in a browser, as its user knows it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

if TYPE_CHECKING:
    from collections.abc import Callable

    from selenium import webdriver
    from selenium.webdriver.remote.webelement import WebElement


class DashboardPage:
    """The dashboard as its user knows it."""

    def __init__(self, browser: webdriver.Chrome, url: str) -> None:
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
        """Of a table's row, if it is there; as many as can be."""
        script = (
            "return [...(document.querySelector(arguments[0])?.cells ?? [])]"
            ".map((each) => each.innerText.trim())"
        )
        found = list(self.browser.execute_script(script, selector))
        return found + [""] * (12 - len(found))

    def save(self, name: str) -> None:
        """A picture of all of it, for somebody to look at, where MLFUNC_TEST_PICTURES names a folder."""
        if folder := os.environ.get("MLFUNC_TEST_PICTURES"):
            self.browser.save_screenshot(f"{folder}/{name}.png")
