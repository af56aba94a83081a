"""The dashboard of a local platform in a real Chromium."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import socket
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import click
import pytest
from mlfunc.cli import cli
from mlfunc.cluster import kinds
from mlfunc.supervisor.dashboard.assets import asset
from mlfunc.supervisor.dashboard.sources import Delivery, Passage
from mlfunc.supervisor.parts import Key
from selenium import webdriver
from selenium.webdriver.common.keys import Keys

from tests.rig.contrast import CONTRAST
from tests.rig.dashboardpage import DashboardPage
from tests.rig.platformpage import (
    PlatformPage,
    instance,
    platform_page,
    revision,
    service,
    trigger,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlfunc.supervisor.dashboard.sources import DeliveryState
    from mlfunc.supervisor.parts import InstancePhase

    from tests.rig.platformpage import Made

Browser = webdriver.Chrome


@pytest.fixture
def platform() -> Iterator[PlatformPage]:
    with platform_page() as page:
        yield page


@pytest.fixture
def page(browser: Browser, platform: PlatformPage) -> Iterator[DashboardPage]:
    yield DashboardPage(browser, platform.url)
    browser.get("about:blank")  # its streams end before the platform


def deploy(made: Made, name: str, shares: dict[str, int], **more: Any) -> None:
    for each in shares:
        made.objects.write(revision(name, each))
    made.objects.write(service(name, shares, **more))


@contextmanager
def serving_text(text: Callable[[], str]) -> Iterator[int]:
    """A metrics port."""

    class Metrics(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text().encode())

    with ThreadingHTTPServer(("127.0.0.1", 0), Metrics) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextmanager
def hour() -> Iterator[str]:
    """The page with a feed of its own: 3600 messages at once, the last from `http://done`."""
    ended = threading.Event()

    def message(second: int) -> dict[str, Any]:
        live = {
            "starting": second % 2,
            "ready": second % 5,
            "in_flight": second % 7,
            "waiting": second % 3,
            "rates": {"2xx": second % 11},
            "rate": second % 11,
            "p50": 0.01,
            "p99": second % 13,
            "instances": {},
        }
        starts = [{"instance": f"i{second}", "at": second, "seconds": 1.0, "phases": {"load": 0.5}}]
        crashes = [{"instance": f"i{second}", "at": second, "exit_code": 1, "failure": "x"}]
        process = {
            "name": f"i{second}",
            "phase": "ready",
            "since": second,
            "created": second,
            "pid": 1,
            "restarts": 0,
        }
        own = {
            "name": "hello-00001",
            "created": 0,
            "ready": "True",
            "reason": "",
            "message": "",
            "percent": 100,
            "tags": [],
            "scale": {},
            "instances": [process],
            "starts": starts,
            "crashes": crashes,
            "held": second,
        }
        function = {
            "namespace": "default",
            "name": "hello",
            "url": "http://x",
            "ready": "True",
            "reason": "",
            "message": "",
            "accelerator": "cpu",
            "concurrency": 1,
            "revisions": [own],
            "subscriptions": [],
            "schedules": [],
        }
        events = [
            {
                "number": n,
                "at": n,
                "namespace": "default",
                "broker": "default",
                "id": str(n),
                "source": "/x",
                "type": "t",
                "subject": "",
                "data": "",
                "deliveries": [],
            }
            for n in range(second, second + 60)
        ]
        url = "http://done" if second == 3599 else "http://x"
        return {
            "at": 1_700_000_000 + second,
            "platform": {"url": url, "version": "0", "pid": 1, "began": 0},
            "functions": [function],
            "live": {"default/hello-00001": live},
            "events": events,
        }

    class Hour(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            self.send_response(200)
            if path.endswith(("/feed", "/logs")):
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                with suppress(ConnectionError):  # the page was left
                    (self.feed if path.endswith("/feed") else self.logs)()
                    ended.wait()
                return
            reply = asset("index.html" if path == "/" else path.rpartition("/")[2])
            assert reply is not None
            assert isinstance(reply.body, bytes)
            for name, value in reply.headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        def feed(self) -> None:
            self.wfile.write(b"event: history\ndata: {}\n\n")
            for second in range(3600):
                self.wfile.write(b"data: " + json.dumps(message(second)).encode() + b"\n\n")

        def logs(self) -> None:
            lines = [
                {
                    "instance": "i",
                    "time": "2026-11-26T07:00:00.000Z",
                    "text": '{"message": "m", "level": "info", "a": 1}',
                }
            ] * 100
            for _ in range(60):
                self.wfile.write(b"data: " + json.dumps(lines).encode() + b"\n\n")

    with ThreadingHTTPServer(("127.0.0.1", 0), Hour) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        ended.set()
        server.shutdown()
        thread.join()


def test_functions_their_traffic_and_tags_are_shown(
    page: DashboardPage, platform: PlatformPage
) -> None:
    shares = {"classify-00002": 10, "classify-00001": 90}
    platform.do(lambda made: deploy(made, "classify", shares, tags={"next": "classify-00002"}))

    page.until(lambda: page.text("#functions .name") == "classify")
    page.until(lambda: "classify-00002" in page.text("#detail"))
    assert page.cells("[aria-label=Revisions] tbody tr")[:3] == ["classify-00002", "10 %", "next"]
    assert page.one("a.tag").get_attribute("href") == "http://next-classify.default.localhost:8088/"


def test_instances_come_and_go_without_a_reload(
    page: DashboardPage, platform: PlatformPage
) -> None:
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


# What it says


def hello(made: Made) -> None:
    deploy(made, "hello", {"hello-00001": 100})


NASTY = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>"


def test_whatever_functions_say_is_text(page: DashboardPage, platform: PlatformPage) -> None:
    def fill(made: Made) -> None:
        deploy(made, "hello", {"hello-00001": 100}, tags={NASTY: "hello-00001"})
        found = made.objects.list(kinds.SERVICE)[0]
        made.objects.write({**found, "status": {**found["status"], "url": "javascript:alert(1)"}})
        made.objects.write(trigger(NASTY, "hello", NASTY))
        made.fleet.put(instance("a", "hello-00001", startup={NASTY: 1.0, "total": 2.0}))
        made.fleet.put(instance(NASTY, "hello-00001", "backoff", failure=NASTY))
        delivery = Delivery(NASTY, NASTY, "dead", 1, 500, 0.1, NASTY)
        made.events.passages = [
            Passage(1, 1.0, NASTY, NASTY, NASTY, NASTY, NASTY, NASTY, NASTY, (delivery,))
        ]

    platform.do(fill)
    platform.say(
        "a",
        NASTY,
        f'{{"message": {json.dumps(NASTY)}, "level": "{"error"}", "x": {json.dumps(NASTY)}}}',
    )

    for part in ("#detail", "#events", "#logs"):
        page.until(lambda part=part: NASTY in page.text(part))  # type: ignore[misc]
    assert page.all("img, #detail script, #events script, #logs script") == []
    assert page.browser.title == "mlfunc · local platform"
    assert page.one(".address").get_attribute("href") is None


def test_a_crash_shows_its_traceback(page: DashboardPage, platform: PlatformPage) -> None:
    traceback = (
        'Traceback (most recent call last):\n  File "predictor.py", line 3\nValueError: no\n'
    )

    def fill(made: Made) -> None:
        hello(made)
        made.fleet.put(
            instance("a", "hello-00001", "backoff", exit_code=1, restarts=2, failure=traceback)
        )

    platform.do(fill)

    page.until(lambda: "ValueError: no" in page.text(".problem"))
    assert "a ended with exit code 1" in page.text(".problem")
    assert page.cells("[aria-label=Instances] tbody tr")[:4] == ["a", "backoff", "0 s", "2"]


def test_a_cold_start_shows_its_phases(page: DashboardPage, platform: PlatformPage) -> None:
    def fill(made: Made) -> None:
        hello(made)
        made.fleet.put(instance("a", "hello-00001"))

    platform.do(fill)

    page.until(lambda: "import 520 ms, load 310 ms" in page.text(".starts"))
    widths = page.browser.execute_script(
        "return [...document.querySelectorAll('.phases span')].map((each) => [each.className, each.clientWidth])"
    )
    assert [name for name, _ in widths] == [
        "p-spawn",
        "p-runtime",
        "p-import",
        "p-load",
        "p-warmup",
        "p-other",
    ]
    assert max(widths, key=lambda each: each[1])[0] == "p-import"


def test_an_event_shows_its_path_and_its_dead_letter(
    page: DashboardPage, platform: PlatformPage
) -> None:
    sent = Delivery("on-image", "hello", "delivered", 1, 200, 0.012, reply=2)
    lost = Delivery("on-label", "other", "dead", 5, 503, 1.5, "no instance started in time")

    def fill(made: Made) -> None:
        hello(made)
        made.events.passages = [
            Passage(
                1,
                1000.0,
                "default",
                "default",
                "a",
                "/camera",
                "image.uploaded",
                data="{}",
                deliveries=(sent,),
            ),
            Passage(
                2, 1001.0, "default", "default", "b", "/hello", "image.labelled", deliveries=(lost,)
            ),
            Passage(
                3,
                1002.0,
                "default",
                "default",
                "c",
                "/x",
                "fine",
                deliveries=(Delivery("t", "hello", "delivered", 1, 200),),
            ),
        ]

    platform.do(fill)

    page.until(lambda: len(page.all(".passage")) == 2)
    path = page.text(".passage:last-child").replace("\n", " ")
    words = [
        "image.uploaded",
        "on-image",
        "hello",
        "Delivered",
        "image.labelled",
        "on-label",
        "other",
        "Dead letter",
        "503",
        "5 attempts",
        "no instance started in time",
    ]
    assert [word for word in words if word not in path] == []
    assert sorted(words, key=path.index) == words

    page.one("#only-failed").click()
    assert len(page.all(".passage")) == 1
    assert "image.uploaded" in page.text("#events")


def test_an_event_that_was_opened_stays_open_while_others_come(
    page: DashboardPage, platform: PlatformPage
) -> None:
    first = Passage(1, 1000.0, "default", "default", "first", "/x", "one")

    def more(made: Made) -> None:
        made.events.passages = [
            first,
            Passage(2, 1001.0, "default", "default", "second", "/x", "two"),
        ]

    platform.do(lambda made: made.events.passages.append(first))
    page.until(lambda: page.all(".passage summary"))
    page.one(".passage summary").click()
    platform.do(more)
    page.until(lambda: len(page.all(".passage")) == 2)

    assert page.one(".passage:last-child details").get_attribute("open") is not None


def test_slots_and_hooks_are_asked_of_the_instances(
    page: DashboardPage, platform: PlatformPage
) -> None:
    """A real metrics port, as the runtime has it."""
    busy = itertools.count(0, 1)

    def start(made: Made) -> None:
        hello(made)
        made.fleet.put(instance("a", "hello-00001", metrics_port=port))

    def metrics() -> str:
        return f"mlfunc_slots 2\nmlfunc_slot_busy_seconds_total {next(busy)}\nmlfunc_hooks_backlog 7\nprocess_resident_memory_bytes 5e8\n"

    with serving_text(metrics) as port:
        platform.do(start)
        page.until(lambda: "%" in page.cells("#functions tbody tr")[9])
        row = page.cells("[aria-label=Instances] tbody tr")
        platform.do(lambda made: made.fleet.put(instance("a", "hello-00001", "ended")))

    assert 30 <= int(row[4].split()[0]) <= 60
    assert row[6:8] == ["7", "500 MB"]


def test_requests_and_quantiles_are_shown(page: DashboardPage, platform: PlatformPage) -> None:
    key = Key("default", "hello-00001")

    def start(made: Made) -> None:
        hello(made)
        made.fleet.put(instance("a", "hello-00001"))
        made.counters.set(key, in_flight=2, waiting=3)

    def answer(made: Made) -> None:
        made.counters.answer(key, 98, 2)
        made.counters.answer(key, 2, 6, "5xx")

    platform.do(start)
    page.until(lambda: page.cells("#functions tbody tr")[4:6] == ["2", "3"])
    platform.do(answer)

    page.until(lambda: page.cells("#functions tbody tr")[8] == "750 ms")
    assert page.cells("#functions tbody tr")[7] == "7.6 ms"
    assert "2 in flight, 3 waiting" in page.text(".readout")


# Logs


def test_logs_are_followed_paused_and_filtered(page: DashboardPage, platform: PlatformPage) -> None:
    def start(made: Made) -> None:
        hello(made)
        made.fleet.put(instance("a", "hello-00001"))

    platform.do(start)
    platform.say("a", "first", '{"level": "warning", "message": "second", "seconds": 3}')
    page.until(lambda: "warning" in page.text("#logs") and "seconds=3" in page.text("#logs"))

    page.one("#logs-pause").click()
    platform.say("a", "third")
    page.until(lambda: "1 new line" in page.text("#logs-note"))
    assert "third" not in page.text("#logs")
    page.one("#logs-pause").click()
    assert "third" in page.text("#logs")

    page.one("#logs-filter").send_keys("SECOND")
    platform.say("a", "fourth", "second again")
    page.until(lambda: "again" in page.text("#logs"))
    assert len([line for line in page.all("#logs .line") if line.is_displayed()]) == 2

    page.one("#logs-clear").click()
    assert page.all("#logs .line") == []


def test_logs_follow_the_function_that_is_looked_at(
    page: DashboardPage, platform: PlatformPage
) -> None:
    def start(made: Made) -> None:
        for name in ("hello", "other"):
            deploy(made, name, {f"{name}-00001": 100})
            made.fleet.put(instance(name, f"{name}-00001"))

    platform.do(start)
    for name in ("hello", "other"):
        platform.say(name, f"this is {name}")
    page.until(lambda: "this is hello" in page.text("#logs"))

    page.one("#functions tr:nth-child(2) a").click()

    page.until(lambda: page.text("#detail h2") == "other" and "this is other" in page.text("#logs"))
    assert "this is hello" not in page.text("#logs")
    assert page.browser.current_url.endswith("#/default/other")


# What it costs, and what it withstands


def test_an_hour_leaves_the_page_as_large_as_it_was(browser: Browser) -> None:
    """An hour's messages in seconds, each unlike the one before, and a log that never ends."""
    with hour() as url:
        page = DashboardPage(browser, url)
        page.until(lambda: page.text("#facts").startswith("http://done"), 90)
        page.until(lambda: len(page.all("#logs .line")) == 1500, 60)
        elements = browser.execute_script("return document.querySelectorAll('*').length")
        samples = browser.execute_async_script(
            "const done = arguments[0]; import('/-/dashboard/history.js').then((history) => done(history.size()))"
        )
        browser.get("about:blank")

    assert elements < 1500 * 6 + 3000
    assert samples <= 2 * 1802


def test_a_page_in_the_background_holds_no_connection(
    page: DashboardPage, platform: PlatformPage
) -> None:
    page.until(lambda: platform.do(lambda _: platform.dashboard.is_looking))
    shown = page.browser.current_window_handle
    page.browser.switch_to.new_window("tab")
    page.until(lambda: not platform.do(lambda _: platform.dashboard.is_looking))

    page.browser.close()
    page.browser.switch_to.window(shown)
    page.until(lambda: platform.do(lambda _: platform.dashboard.is_looking))


def free_port() -> int:
    """One that nobody gets by chance while it is free for a moment: those end where these begin."""
    for port in range(20_000, 32_000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def test_a_supervisor_that_is_started_again_is_found_again(browser: Browser) -> None:
    with platform_page(free_port()) as first:
        first.do(hello)
        page = DashboardPage(browser, first.url)
        page.until(lambda: page.text("#functions .name") == "hello")
        port = int(first.url.rpartition(":")[2].strip("/"))
    page.until(lambda: page.text("#state").startswith("Unreachable"))

    with platform_page(port) as second:
        second.do(lambda made: deploy(made, "again", {"again-00001": 100}))
        page.until(
            lambda: page.text("#state") == "Live" and page.text("#functions .name") == "again"
        )
        browser.get("about:blank")


# For everybody


def everything(made: Made) -> None:
    deploy(
        made,
        "a-rather-long-name-of-a-function",
        {
            "a-rather-long-name-of-a-function-00002": 10,
            "a-rather-long-name-of-a-function-00001": 90,
        },
        tags={"next": "a-rather-long-name-of-a-function-00002"},
    )
    made.objects.write(trigger("on-image", "a-rather-long-name-of-a-function", "image.uploaded"))
    phases: tuple[InstancePhase, ...] = ("ready", "loading", "backoff", "draining")
    for name, phase in zip("abcd", phases, strict=True):
        made.fleet.put(
            instance(
                f"a-rather-long-name-{name}",
                "a-rather-long-name-of-a-function-00001",
                phase,
                failure="Traceback\n" + "x" * 300,
            )
        )
    made.counters.set(
        Key("default", "a-rather-long-name-of-a-function-00001"), in_flight=3, waiting=2
    )
    states: tuple[DeliveryState, ...] = (
        "waiting",
        "retrying",
        "delivered",
        "dead",
        "lost",
        "dropped",
    )
    deliveries = tuple(
        Delivery("on-image", "hello", state, 2, 503, 0.1, "x" * 200) for state in states
    )
    made.events.passages = [
        Passage(
            1,
            1000.0,
            "default",
            "default",
            "id",
            "/" + "y" * 100,
            "image.uploaded",
            data="z" * 400,
            deliveries=deliveries,
        )
    ]


@pytest.mark.parametrize("width", [380, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_and_text_has_contrast(
    page: DashboardPage, platform: PlatformPage, width: int, scheme: str
) -> None:
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    platform.do(everything)
    platform.say(
        "a-rather-long-name-a",
        *(
            json.dumps({"level": level, "message": "said " + "w" * 100, "traceback": "T"})
            for level in ("info", "warning", "error", "debug")
        ),
    )
    page.until(lambda: len(page.all("#logs .line")) == 4 and page.all(".passage"))
    page.browser.execute_script(
        "for (const each of document.querySelectorAll('details')) each.open = true"
    )

    too_wide = page.browser.execute_script("return document.documentElement.scrollWidth")
    faint = page.browser.execute_script(CONTRAST)
    page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert too_wide <= width
    assert faint == []


def test_states_are_told_apart_without_color(page: DashboardPage, platform: PlatformPage) -> None:
    platform.do(everything)
    page.until(lambda: len(page.all("[aria-label=Instances] tbody tr")) == 4)
    states = [each.text for each in page.all("[aria-label=Instances] .state")]

    assert states == ["ready", "loading", "backoff", "draining"]
    shapes = page.browser.execute_script(
        "return [...document.querySelectorAll('[aria-label=Instances] .state')].map((each) => {"
        " const { borderRadius, borderRightColor, backgroundColor } = getComputedStyle(each, '::before');"
        " return [borderRadius, borderRightColor === 'rgba(0, 0, 0, 0)', backgroundColor === 'rgba(0, 0, 0, 0)'].join() })"
    )
    assert len(set(shapes)) == 4


def test_the_keyboard_reaches_everything(page: DashboardPage, platform: PlatformPage) -> None:
    platform.do(everything)
    page.until(lambda: page.all(".passage") and page.all("[aria-label=Crashes] summary"))
    page.one("body").click()
    reached = set()
    for _ in range(40):
        page.browser.switch_to.active_element.send_keys(Keys.TAB)
        reached.add(
            page.browser.execute_script(
                "const at = document.activeElement; return at.id || at.getAttribute('class') || at.innerText.split('\\n')[0]"
            )
        )

    assert {
        "name",
        "chart",
        "address",
        "tag",
        "Commands",
        "only-failed",
        "logs-of",
        "logs-filter",
        "logs-pause",
        "logs-clear",
        "logs",
    } <= reached


def test_arrow_keys_read_the_chart(page: DashboardPage, platform: PlatformPage) -> None:
    platform.do(everything)
    page.until(lambda: page.text(".readout").startswith("now: 1 instance ready, 1 starting"))
    page.one(".chart").send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)

    assert re.match(r"\d\d:\d\d:\d\d: 0 instances ready", page.text(".readout"))


def test_what_moves_stands_still_for_those_who_want_that(
    page: DashboardPage, platform: PlatformPage
) -> None:
    media = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    platform.do(everything)
    page.until(lambda: page.all(".state.waiting"))
    moving = page.browser.execute_script("return document.getAnimations().length")
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    assert moving == 0


def test_commands_are_there_to_be_copied(page: DashboardPage, platform: PlatformPage) -> None:
    platform.do(hello)
    page.until(lambda: page.all(".commands code"))
    page.one(".foldable summary").click()
    grant = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    page.browser.execute_cdp_cmd("Browser.grantPermissions", grant)
    button = page.one("[aria-label='Copy the command: Call it']")
    button.click()

    page.until(lambda: button.text == "Copied")
    copied = page.browser.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert copied == "mlfunc invoke hello --platform local"


def test_all_commands_are_such_as_the_command_line_takes(
    page: DashboardPage, platform: PlatformPage
) -> None:
    def fill(made: Made) -> None:
        deploy(made, "hello", {"hello-00002": 10, "hello-00001": 90})
        for each in (*made.objects.list(kinds.REVISION), *made.objects.list(kinds.SERVICE)):
            moved = {**each, "metadata": {**each["metadata"], "namespace": "team"}}
            made.objects.remove(kinds.of(each), "default", each["metadata"]["name"])
            made.objects.write(moved)

    platform.do(fill)
    page.until(lambda: page.all(".commands code"))
    script = (
        "return [...document.querySelectorAll('.commands code')].map((each) => each.textContent)"
    )
    lines = page.browser.execute_script(script)

    assert len(lines) == 8
    for line in lines:
        _, name, *args = shlex.split(line)
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        told = command.make_context(name, args).params
        assert told["namespace"] == "team"
        assert "hello" in (*told.values(), *told.get("arguments", ()))


def test_an_empty_platform_says_how_to_begin(page: DashboardPage) -> None:
    assert "mlfunc deploy" in page.text(".empty")
    assert page.text("#events") == "No event has come yet. `mlfunc emit` sends one."
