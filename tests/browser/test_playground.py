"""The playground in a real Chromium, on real functions."""

from __future__ import annotations

import http.client
import json
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.rig.contrast import CONTRAST

if TYPE_CHECKING:
    from pathlib import Path

    from selenium.webdriver.remote.webelement import WebElement

Browser = webdriver.Chrome
Serve = Callable[[str], str]
Serving = Callable[..., AbstractContextManager[str]]


class Page:
    """The playground as its user knows it: fields by name, buttons by text."""

    def __init__(self, browser: Browser, url: str) -> None:
        self.browser = browser
        browser.get(url)
        self.until(lambda: self.text("state") and self.one("#form").find_elements(By.XPATH, "./*"))

    def until(self, condition: Callable[[], Any], seconds: float = 15) -> Any:
        return WebDriverWait(self.browser, seconds, 0.02).until(lambda _: condition())

    def one(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def text(self, name: str) -> str:
        return self.one(f"#{name}").text

    def row(self, path: str) -> WebElement:
        return self.one(f'#form [data-path="{path}"]')

    def control(self, path: str) -> WebElement:
        selector = (
            ":scope > :is(input, textarea, select), :scope > div :is(input, textarea, select)"
        )
        return self.row(path).find_element(By.CSS_SELECTOR, selector)

    def type(self, path: str, text: str) -> None:
        control = self.control(path)
        if control.tag_name != "select":
            control.clear()
        control.send_keys(text)

    def button(self, text: str, within: WebElement | None = None) -> WebElement:
        root = within or self.one("body")
        return root.find_element(By.XPATH, f".//button[normalize-space()={text!r}]")

    def remove(self, path: str) -> None:
        self.row(path).find_element(By.CSS_SELECTOR, "[aria-label='Remove item']").click()

    def send(self) -> str:
        """Press Send and wait for the whole answer; returns its status line."""
        self.one("#send").click()
        return self.answered()

    def answered(self) -> str:
        self.until(lambda: self.one("#answer").get_attribute("aria-busy") == "false")
        return self.text("status")

    def mode(self, name: str) -> None:
        self.one(f"#modes input[value={name}]").click()

    def received(self) -> Any:
        """What browser-form says that it got, from the page's own copy of the answer."""
        return self.sent_again()["received"]

    def sent_again(self) -> Any:
        """The answer to the curl line of the page."""
        return json.loads(run_in_shell(self.line("curl")))

    def line(self, name: str) -> str:
        # The page writes the line in the next frame.
        self.browser.execute_async_script(
            "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"
        )
        return self.one(f"#{name}").get_attribute("textContent") or ""


def run_in_shell(line: str, folder: Path | None = None) -> bytes:
    run = subprocess.run(
        ["bash", "-c", line], capture_output=True, check=False, timeout=30, cwd=folder
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture
def form(browser: Browser, serve: Serve) -> Page:
    return Page(browser, serve("browser-form"))


# What the function is


def test_the_head_says_what_the_function_is(form: Page) -> None:
    assert form.text("name") == "browser-form"
    assert form.browser.title == "browser-form · mlfunc"
    assert form.text("version") == "0.1.0"
    assert form.text("state") == "Ready"
    assert form.text("about") == (
        "Echo an input that has a field of every kind.\n\n"
        "The answer also holds a vector, as embeddings do, so that folding has something to fold."
    )
    assert form.text("facts").startswith("predictor.py:Generate")
    assert "2 slots" in form.text("facts")


def test_the_start_is_a_waterfall_of_its_phases(form: Page) -> None:
    phases = [element.text for element in form.all("#startup dt")]
    bars = [bar.rect for bar in form.all(".fall-bar")]

    assert phases[-4:] == ["runtime", "import", "load", "warmup"]
    # Each bar begins where the one above it ends, but for what a bar is at least wide.
    ends = [bar["x"] + bar["width"] for bar in bars]
    assert all(abs(bar["x"] - end) < 5 for bar, end in zip(bars[1:], ends, strict=False))


def test_a_function_that_loads_is_shown_as_loading_until_it_is_ready(
    browser: Browser, serving: Serving, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    with serving("browser-slow", "listening", BROWSER_SLOW_GO=str(go)) as url:
        page = Page(browser, url)
        assert page.text("state") == "Loading"

        go.touch()

        page.until(lambda: page.text("state") == "Ready")
        assert page.control("number").get_attribute("value") == "21"
        assert page.send().startswith("200 OK")
        assert page.text("result") == "42"


def test_a_ready_function_is_left_alone(form: Page) -> None:
    """Asking for its state again and again would keep a function from scaling to zero."""
    form.browser.get_log("performance")  # type: ignore[no-untyped-call]  # selenium's
    time.sleep(1.6)
    log = form.browser.get_log("performance")  # type: ignore[no-untyped-call]  # selenium's

    assert not [entry for entry in log if "Network.requestWillBeSent" in entry["message"]]


# The form


def test_the_form_has_a_control_for_each_annotation(form: Page) -> None:
    def control(path: str) -> tuple[str, str | None]:
        element = form.control(path)
        return element.tag_name, element.get_attribute("type")

    assert control("prompt")[0] == "textarea"
    assert control("mode")[0] == "select"
    assert control("options.language")[0] == "select"
    assert control("options.strict") == ("input", "checkbox")
    assert control("temperature") == ("input", "number")
    assert control("steps") == ("input", "number")
    assert control("stop[0]")[0] == "textarea"
    assert control("boxes[1].y") == ("input", "number")
    assert "integer or null, optional" in form.row("seed").text
    assert "What to go on from. · at most 200 characters" in form.row("prompt").text
    assert "0 to 2" in form.row("temperature").text


def test_every_control_has_a_label(form: Page) -> None:
    unnamed = form.browser.execute_script(
        """return [...document.querySelectorAll("input, textarea, select")]
          .filter((one) => !one.labels.length && !one.ariaLabel).map((one) => one.outerHTML)"""
    )

    assert unnamed == []


def test_the_example_is_filled_in_and_what_it_leaves_out_is_not_sent(form: Page) -> None:
    assert form.control("prompt").get_attribute("value") == "Once upon a time"
    assert form.control("steps").get_attribute("value") == "20"

    words = shlex.split(form.line("invoke").replace("\\\n", " "))

    assert json.loads(words[-1]) == {
        "prompt": "Once upon a time",
        "mode": "exact",
        "options": {"language": "en"},
        "stop": ["END"],
        "boxes": [{"x": 1, "y": 2.5}, {"x": 3, "y": 4}],
    }


def test_what_is_filled_in_is_what_arrives(form: Page) -> None:
    form.type("prompt", "line one\nline two")
    form.type("temperature", "1.5")
    form.type("steps", "3")
    form.control("echo").click()
    form.type("options.language", "fr")
    form.control("options.strict").click()
    form.type("weights", "1, 2.5 -3e2")
    form.type("seed", "7")
    form.type("extra", '{"a": 1}')
    form.button("Add item", form.row("stop")).click()
    form.type("stop[1]", "STOP")
    form.remove("boxes[0]")

    assert form.received() == {
        "prompt": "line one\nline two",
        "mode": "exact",
        "options": {"language": "fr", "strict": True},
        "temperature": 1.5,
        "steps": 3,
        "echo": False,
        "stop": ["END", "STOP"],
        "weights": [1.0, 2.5, -300.0],
        "boxes": [{"x": 3.0, "y": 4.0}],
        "seed": 7,
        "tree": None,
        "extra": {"a": 1.0},
    }
    assert form.send().startswith("200 OK")


def test_an_optional_field_can_be_left_out_again_and_null_can_be_sent(form: Page) -> None:
    form.type("steps", "3")
    form.button("Leave out", form.row("steps")).click()
    assert '"steps"' not in form.line("curl")

    box = form.row("seed").find_element(By.CSS_SELECTOR, ".field-null input")
    box.click()
    box.click()
    form.type("seed", "5")
    box.click()
    assert '"seed":null' in form.line("curl")


def test_a_type_inside_itself_is_json(form: Page) -> None:
    assert not form.control("tree.name").is_displayed(), "null has no fields"
    form.row("tree").find_element(By.CSS_SELECTOR, ".field-null input").click()
    form.type("tree.name", "root")
    form.type("tree.parent", '{"name": "above"}')

    tree = form.received()["tree"]

    assert (tree["name"], tree["parent"]["name"]) == ("root", "above")


def test_form_and_json_are_two_views_of_one_input(form: Page) -> None:
    form.type("prompt", "changed in the form")
    form.mode("json")
    raw = form.one("#raw-text")
    data = json.loads(raw.get_attribute("value") or "")
    assert data["prompt"] == "changed in the form"

    raw.clear()
    raw.send_keys(json.dumps({**data, "prompt": "changed as JSON"}))
    assert form.received()["prompt"] == "changed as JSON"

    form.mode("form")
    assert form.control("prompt").get_attribute("value") == "changed as JSON"


def test_json_that_is_none_is_blamed_at_once_and_not_sent(form: Page) -> None:
    form.mode("json")
    raw = form.one("#raw-text")
    raw.clear()
    raw.send_keys("{'a': 1}")
    form.one("#send").click()

    assert "not JSON" in form.text("raw-error")
    assert raw.get_attribute("aria-invalid") == "true"
    assert form.text("status") == ""

    form.mode("form")
    assert raw.is_displayed(), "a form cannot show what is no JSON"


def test_an_input_without_annotations_is_any_json(browser: Browser, serve: Serve) -> None:
    page = Page(browser, serve("browser-plain"))
    page.type("", '[1, {"a": null}]')

    assert page.send().startswith("200 OK")
    assert page.sent_again() == [1, {"a": None}]
    assert not page.one("#modes").is_displayed()


# The answer


def test_send_shows_the_answer_with_status_time_and_request_id(form: Page) -> None:
    form.one("#send").click()
    status = form.answered()

    assert status.startswith("200 OK")
    assert " ms" in status
    assert len(form.one("#status .id").text) >= 16
    assert '"prompt": "Once upon a time"' in form.text("result")


def test_ctrl_enter_sends(form: Page) -> None:
    form.control("prompt").send_keys(Keys.CONTROL, Keys.ENTER)

    assert form.answered().startswith("200 OK")
    assert form.control("prompt").get_attribute("value") == "Once upon a time"


def test_the_timing_split_is_a_bar(form: Page) -> None:
    form.send()

    assert [element.text for element in form.all("#timing dt")] == [
        "queue",
        "before",
        "predict",
        "after",
    ]
    predict = form.one("#timing .timing-bar .t-predict").rect["width"]
    assert predict > form.one("#timing .timing-bar").rect["width"] / 2


def test_a_long_list_is_folded_and_opens(form: Page) -> None:
    form.send()
    more = form.one(".j-more")
    assert more.text == "… 372 more"

    more.click()

    assert "0.9973958333333334" in form.text("result")


def test_large_integers_are_shown_exactly(form: Page) -> None:
    form.send()

    assert str(2**60 + 1) in form.text("result")


def test_markup_in_an_answer_is_text(browser: Browser, serve: Serve) -> None:
    page = Page(browser, serve("browser-plain"))
    page.type("", '["<img src=x onerror=alert(1)>", {"<b>": "</script>"}]')
    page.send()

    assert "<img src=x onerror=alert(1)>" in page.text("result")
    assert page.all("#result img, #result b") == []


def test_a_validation_error_marks_the_field(form: Page) -> None:
    form.type("temperature", "3")

    assert form.send().startswith("400 Bad Request")
    row = form.row("temperature")
    assert "wrong" in (row.get_attribute("class") or "")
    assert "2.0" in row.find_element(By.CSS_SELECTOR, ".field-error").text
    assert form.control("temperature").get_attribute("aria-invalid") == "true"
    assert form.browser.switch_to.active_element == form.control("temperature")
    assert "temperature" in form.one("#result .problem").text

    form.type("temperature", "1")
    assert form.send().startswith("200 OK")
    assert form.all(".wrong") == []


def test_an_error_inside_a_list_marks_the_field_of_that_item(form: Page) -> None:
    form.control("boxes[1].x").clear()

    assert form.send().startswith("400")
    assert "wrong" in (form.row("boxes[1].x").get_attribute("class") or "")
    assert "wrong" not in (form.row("boxes[0].x").get_attribute("class") or "")

    form.remove("boxes[0]")
    assert form.send().startswith("400")
    assert "wrong" in (form.row("boxes[0].x").get_attribute("class") or "")


def test_a_number_that_is_none_is_blamed_before_it_is_sent(form: Page) -> None:
    form.type("weights", "1, two, 3")
    form.one("#send").click()

    assert '"two" is no number' in form.row("weights").text
    assert form.text("status") == ""


def test_an_error_is_shown_beside_the_json_too(form: Page) -> None:
    form.mode("json")
    raw = form.one("#raw-text")
    raw.clear()
    raw.send_keys('{"prompt": 1, "mode": "fast", "options": {"language": "en"}}')

    assert form.send().startswith("400")
    assert "prompt" in form.text("raw-error")


def test_a_function_that_is_gone_is_told(browser: Browser, serving: Serving) -> None:
    with serving("browser-plain") as url:
        page = Page(browser, url)
        page.type("", "1")
    page.one("#send").click()

    page.until(lambda: "did not answer" in page.text("result"))
    # The browser logs the refused connection, which is what is tested here.
    browser.get_log("browser")  # type: ignore[no-untyped-call]  # selenium's


# Streams


def test_a_stream_is_shown_as_it_comes(browser: Browser, serve: Serve) -> None:
    page = Page(browser, serve("browser-stream"))
    page.type("upto", "8")
    page.type("pause", "0.15")
    page.one("#send").click()

    page.until(lambda: "word0" in page.text("result"))
    assert "word7" not in page.text("result")
    assert page.one("#stop").is_displayed()

    assert page.answered().startswith("200 OK")
    assert " ".join(f"word{number}" for number in range(8)) in page.text("result")
    assert "8 items" in page.text("result")
    assert not page.one("#stop").is_displayed()


@pytest.mark.parametrize("how", ["button", "key"])
def test_a_stream_can_be_stopped(browser: Browser, serve: Serve, how: str) -> None:
    page = Page(browser, serve("browser-stream"))
    page.type("upto", "1000")
    page.type("pause", "0.05")
    page.one("#send").click()
    page.until(lambda: "word1" in page.text("result"))

    if how == "button":
        page.one("#stop").click()
    else:
        page.one("body").send_keys(Keys.ESCAPE)

    assert "Stopped" in page.answered()
    assert "word1" in page.text("result")
    assert page.one("#send").is_enabled()


def test_a_stream_that_fails_shows_the_problem(browser: Browser, serve: Serve) -> None:
    page = Page(browser, serve("browser-stream"))
    page.control("fail").click()
    page.send()

    assert "word4" in page.text("result")
    assert "its log tells why" in page.one("#result .problem").text


# Bytes


def test_bytes_are_chosen_previewed_sent_and_previewed(
    browser: Browser, serve: Serve, tmp_path: Path
) -> None:
    page = Page(browser, serve("browser-image"))

    def width(selector: str) -> Any:
        return browser.execute_script(
            f"return document.querySelector({json.dumps(selector)})?.naturalWidth"
        )

    page.until(lambda: width("#form img") == 96)
    assert page.send().startswith("200 OK")
    page.until(lambda: width("#result img") == 96)

    chosen = tmp_path / "no image.txt"
    chosen.write_bytes(b"plain bytes")
    page.one("#file").send_keys(str(chosen))
    page.until(lambda: "no image.txt · 11 B" in page.text("form"))
    assert page.send().startswith("200 OK")
    assert "11 B" in page.text("result")
    assert page.all("#result img") == []
    assert run_in_shell(page.line("curl"), tmp_path) == b"plain bytes"


# CloudEvents


def test_a_call_as_cloudevent_shows_the_attributes_of_the_reply(
    browser: Browser, serve: Serve
) -> None:
    page = Page(browser, serve("browser-event"))
    assert page.one("#as-event").is_selected(), "this function takes nothing but events"
    assert "com.example.described" in page.text("event-reply")
    kind = page.one("#event-type")
    kind.clear()
    kind.send_keys("com.example.grüß gott")

    assert page.send().startswith("200 OK")
    attributes = page.one(".attributes").text
    assert "com.example.described" in attributes
    assert "specversion" in attributes
    assert '"com.example.grüß gott"' in page.text("result")
    assert '"source": "/playground"' in page.text("result")


def test_the_curl_line_sends_the_event(browser: Browser, serve: Serve) -> None:
    page = Page(browser, serve("browser-event"))
    source = page.one("#event-source")
    source.clear()
    source.send_keys("urn:it's")

    answer = page.sent_again()

    assert answer["source"] == "urn:it's"
    words = shlex.split(page.line("invoke").replace("\\\n", " "))
    assert words[words.index("--source") + 1] == "urn:it's"
    assert "--event" in words


# The same call elsewhere


def test_the_curl_line_survives_a_shell(form: Page) -> None:
    nasty = 'it\'s "ok" $HOME `x` \\n !! é\n#;&|'
    form.type("prompt", nasty)

    assert form.received()["prompt"] == nasty
    words = shlex.split(form.line("invoke").replace("\\\n", " "))
    assert words[:2] == ["mlfunc", "invoke"]
    assert json.loads(words[words.index("--data") + 1])["prompt"] == nasty


def test_the_lines_can_be_copied(form: Page) -> None:
    form.browser.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]},
    )
    line = form.line("curl")
    button = form.one("#copy-curl button")
    button.click()

    form.until(lambda: button.text == "Copied")
    copied = form.browser.execute_async_script(
        "const done = arguments[0]; navigator.clipboard.readText().then(done)"
    )
    assert copied == line


# Under another path, and without a mouse


@contextmanager
def mounted_at(prefix: str, url: str) -> Iterator[str]:
    """A gateway that serves the function at `url` under a path."""
    target = urlsplit(url)

    class Gateway(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=10)
            path = "/" + self.path.removeprefix(prefix).lstrip("/")
            connection.request(self.command, path, body, dict(self.headers))
            reply = connection.getresponse()
            content = reply.read()
            self.send_response(reply.status)
            for name, value in reply.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "date", "server"):
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        do_GET = do_POST = forward  # noqa: N815, RUF100 - the names that http.server calls

    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}{prefix}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("ending", ["", "/"])
def test_the_page_works_under_any_path(browser: Browser, serve: Serve, ending: str) -> None:
    with mounted_at("/team/fn", serve("browser-form")) as url:
        page = Page(browser, url + ending)

        assert page.send().startswith("200 OK")
        assert f"{url}/ " in page.line("curl")
        assert page.received()["prompt"] == "Once upon a time"
        assert browser.current_url == f"{url}/"
        browser.get("about:blank")
    # Without the slash, the browser asks in the wrong place before it is sent on.
    if not ending:
        browser.get_log("browser")  # type: ignore[no-untyped-call]  # selenium's


def test_the_keyboard_reaches_everything(form: Page) -> None:
    reached = set()
    form.one("body").click()
    for _ in range(60):
        form.browser.switch_to.active_element.send_keys(Keys.TAB)
        active = form.browser.switch_to.active_element
        reached.add(active.get_attribute("id") or active.text or active.get_attribute("value"))

    assert {"send", "as-event", "example", "curl"} <= reached
    assert "API reference" in reached


@pytest.mark.parametrize("width", [420, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_and_text_has_contrast(form: Page, width: int, scheme: str) -> None:
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    feature = {"name": "prefers-color-scheme", "value": scheme}
    form.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    form.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    form.type("temperature", "3")
    form.send()

    assert form.browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert form.browser.execute_script(CONTRAST) == []
    form.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    form.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
