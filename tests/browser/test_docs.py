"""The API reference in a real Chromium, on real functions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

Browser = webdriver.Chrome
Serve = Callable[[str], str]


def reference(browser: Browser, url: str) -> str:
    browser.get(url + "docs")
    WebDriverWait(browser, 10, 0.02).until(
        lambda driver: driver.find_elements(By.CSS_SELECTOR, ".operation")
    )
    return browser.find_element(By.TAG_NAME, "body").text


def test_the_reference_lists_the_routes(browser: Browser, serve: Serve) -> None:
    text = reference(browser, serve("browser-form"))

    assert browser.title == "browser-form · API reference"
    contents = [link.text.split() for link in browser.find_elements(By.CSS_SELECTOR, "#contents a")]
    assert contents[0] == ["POST", "/"]
    assert ["GET", "/health/readiness"] in contents
    assert "Echo an input that has a field of every kind." in text


def test_the_reference_shows_the_members_of_the_input(browser: Browser, serve: Serve) -> None:
    reference(browser, serve("browser-form"))
    names = [one.text for one in browser.find_elements(By.CSS_SELECTOR, "#post .member-name")]
    members = {
        one.find_element(By.CSS_SELECTOR, ".member-name").text: one.text
        for one in browser.find_elements(By.CSS_SELECTOR, "#post .member:has(.member-name)")
    }

    assert "required" in members["prompt"]
    assert "What to go on from." in members["prompt"]
    assert "Default 0.7" in members["temperature"]
    assert "0 to 2" in members["temperature"]
    assert '"en"' in members["language"], "a reference into the schema itself is followed"
    assert names.count("children") == 1, "a type that contains itself is opened once"
    assert '"prompt"' in browser.find_element(By.CSS_SELECTOR, "#post .sample").text


def test_errors_are_folded_until_they_are_asked_for(browser: Browser, serve: Serve) -> None:
    reference(browser, serve("browser-form"))
    errors = browser.find_elements(By.CSS_SELECTOR, "#post .reply details")
    assert errors

    errors[0].find_element(By.TAG_NAME, "summary").click()

    assert "request_id" in errors[0].text


def test_the_contents_lead_to_the_operation(browser: Browser, serve: Serve) -> None:
    reference(browser, serve("browser-form"))
    browser.find_element(By.PARTIAL_LINK_TEXT, "/health/readiness").click()

    top = browser.execute_script(
        "return document.querySelector(location.hash).getBoundingClientRect().top"
    )
    assert top < 900


@pytest.mark.parametrize("project", ["browser-image", "browser-stream", "browser-plain"])
def test_the_reference_of_every_kind_of_function_can_be_read(
    browser: Browser, serve: Serve, project: str
) -> None:
    assert "POST" in reference(browser, serve(project))


@pytest.mark.parametrize("width", [420, 1280])
def test_nothing_is_cut_off(browser: Browser, serve: Serve, width: int) -> None:
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    reference(browser, serve("browser-form"))

    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
