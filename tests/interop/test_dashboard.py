"""The status page in a real Chromium: people look at it, and click.

`AJPD_TEST_SCREENSHOTS=directory` keeps what the page looked like there.
"""

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from .balanced import NODES, BalancedDaemon, Browser, node_options
from .conftest import TARGET
from .front import Front
from .processes import missing
from .tomcat import Tomcat

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(TARGET == "apache", reason="needs a daemon of its own"),
]

USERS: Final = 8
WIDE: Final = (1280, 900)
PHONE: Final = (390, 844)
#: An element that the page has just replaced is looked for again.
REPLACED: Final = (NoSuchElementException, StaleElementReferenceException)
SCREENSHOTS: Final = os.environ.get("AJPD_TEST_SCREENSHOTS", "")


class Load:
    """Users who keep their sessions, and newcomers who begin one with each request."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self.failures: list[str] = []
        self.newcomers: list[str] = []
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._use) for _ in range(USERS)]
        self._threads.append(threading.Thread(target=self._come))

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(20)

    def _use(self) -> None:
        browser = Browser(self.front.address)
        while not self._end.wait(0.03):
            self._visit(browser)
        if browser.moves:
            self.failures.append(f"a session moved: {browser.nodes}")
        browser.close()

    def _come(self) -> None:
        while not self._end.wait(0.02):
            browser = Browser(self.front.address)
            self._visit(browser)
            self.newcomers += browser.nodes
            browser.close()

    def _visit(self, browser: Browser) -> None:
        try:
            browser.visit()
        except (OSError, AssertionError, ValueError) as exc:
            self.failures.append(repr(exc))


@dataclass(slots=True)
class Page:
    """The status page, open."""

    driver: webdriver.Chrome
    address: str

    def row(self, member: str) -> WebElement:
        return self.driver.find_element(By.ID, f"m-lb-{member}")

    def text(self, member: str) -> str:
        return self.row(member).text

    def rate(self, member: str) -> float:
        cell = self.row(member).find_element(By.CSS_SELECTOR, 'td[data-head="Requests/s"]')
        return float(cell.text.split()[-1])

    def button(self, words: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, f'button[aria-label="{words}"]')

    def wait(self, condition: Callable[[], object]) -> None:
        waiting = WebDriverWait(self.driver, 20, 0.1, ignored_exceptions=[*REPLACED])
        waiting.until(lambda _: condition())

    def wait_until_live(self) -> None:
        self.wait(lambda: self.driver.find_element(By.ID, "live").text == "live")

    def keep(self, name: str) -> None:
        """Take a picture, if somebody wants one."""
        if SCREENSHOTS:
            self.driver.save_screenshot(str(Path(SCREENSHOTS) / f"{name}.png"))

    def complaints(self) -> list[str]:
        """What the browser did not like: scripts that failed, what the policy forbids."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


@contextmanager
def chromium(*, scripts: bool = True, dark: bool = False) -> Iterator[webdriver.Chrome]:
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        missing("Chromium and its driver", "chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(binary)
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    if dark:
        options.add_argument("--blink-settings=preferredColorScheme=0")
    if not scripts:
        options.add_experimental_option(
            "prefs", {"profile.managed_default_content_settings.javascript": 2}
        )
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        browser.set_page_load_timeout(30)
        yield browser
    finally:
        browser.quit()


@contextmanager
def page(
    front: Front, *, size: tuple[int, int] = WIDE, scripts: bool = True, dark: bool = False
) -> Iterator[Page]:
    with chromium(scripts=scripts, dark=dark) as driver:
        driver.set_window_size(*size)
        found = Page(driver, f"http://127.0.0.1:{front.port}/jkstatus")
        driver.get(found.address)
        yield found


@pytest.fixture(scope="module")
def front(directory: Path, application: Path) -> Iterator[Front]:
    """A daemon of two processes before two Tomcats, with a status page."""
    base = directory / "dashboard"
    base.mkdir()
    tomcats = {
        name: Tomcat(name, base, application, node_options(name, base / "record")) for name in NODES
    }
    daemon: BalancedDaemon | None = None
    try:
        for each in tomcats.values():
            each.start()
        connectors = {name: each.connectors[8192] for name, each in tomcats.items()}
        lines = ("worker.list=jkstatus", "worker.jkstatus.type=status")
        daemon = BalancedDaemon(
            base / "daemon", connectors, {"method": "Session"}, *lines, processes=2
        )
        rules = base / "daemon/uriworkermap.properties"
        rules.write_text("/app|/*=lb\n/jkstatus=jkstatus\n", encoding="utf-8")
        yield daemon.start()
    finally:
        if daemon is not None:
            daemon.stop()
        for each in tomcats.values():
            each.stop()


def test_drain_is_clicked_under_load(front: Front) -> None:
    with Load(front) as load, page(front) as seen:
        seen.wait_until_live()
        seen.wait(lambda: seen.rate("nodeA") > 5 and "ACT" in seen.text("nodeA"))
        seen.keep("status")
        seen.button("Drain nodeA").click()
        seen.wait(lambda: "DIS" in seen.text("nodeA"))
        said = seen.driver.find_element(By.ID, "said").text
        assert "lb/nodeA: active -> disabled" in said
        # From here on nobody new comes there, and the sessions it has go on.
        seen.wait(lambda: seen.button("Activate nodeA"))
        load.newcomers.clear()
        seen.wait(lambda: len(load.newcomers) > 20)
        assert set(load.newcomers[1:]) == {"nodeB"}
        assert "drains" in seen.text("nodeA")
        seen.keep("status-drained")
        seen.button("Activate nodeA").click()
        seen.wait(lambda: "ACT" in seen.text("nodeA"))
        seen.wait(lambda: "nodeA" in load.newcomers[-20:])
        assert seen.complaints() == []
    assert load.failures == []


def test_what_is_open_stays_open_and_focus_where_it_is(front: Front) -> None:
    with Load(front) as load, page(front) as seen:
        seen.wait_until_live()
        seen.driver.find_element(By.CSS_SELECTOR, "#maps-lb > summary").click()
        button = seen.button("Stop nodeB")
        seen.driver.execute_script("arguments[0].focus()", button)
        when = seen.driver.find_element(By.TAG_NAME, "time").text
        seen.wait(lambda: seen.driver.find_element(By.TAG_NAME, "time").text != when)
        assert seen.driver.find_element(By.ID, "maps-lb").get_attribute("open") is not None
        assert seen.driver.switch_to.active_element == button
        assert seen.complaints() == []
    assert load.failures == []


def test_without_scripts_everything_works_by_loading_again(front: Front) -> None:
    with page(front, scripts=False) as seen:
        assert seen.driver.find_element(By.ID, "live").text == ""
        seen.button("Stop nodeB").click()
        seen.wait(lambda: "STP" in seen.text("nodeB"))
        assert "lb/nodeB: active -> stopped" in seen.driver.find_element(By.ID, "said").text
        seen.button("Activate nodeB").click()
        seen.wait(lambda: "ACT" in seen.text("nodeB"))


def test_settings_are_changed_in_a_form(front: Front) -> None:
    with page(front) as seen:
        seen.driver.find_element(By.CSS_SELECTOR, 'a[aria-label="Edit nodeA"]').click()
        factor = seen.driver.find_element(By.NAME, "vwf")
        factor.clear()
        factor.send_keys("4")
        seen.driver.find_element(By.CSS_SELECTOR, "form.edit button").click()
        seen.wait(lambda: "lbfactor" in seen.driver.find_element(By.ID, "said").text)
        seen.wait(lambda: "lbfactor 4" in seen.text("nodeA"))
        seen.keep("status-edit")
        assert seen.complaints() == []


def test_on_a_phone_in_the_dark(front: Front) -> None:
    with Load(front) as load, page(front, size=PHONE, dark=True) as seen:
        seen.wait_until_live()
        width = seen.driver.execute_script("return document.documentElement.scrollWidth")
        assert width <= seen.driver.execute_script("return innerWidth")
        back = seen.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert back == "rgb(13, 17, 23)"
        seen.wait(lambda: seen.rate("nodeA") > 5)
        seen.keep("status-phone")
        # Fingers are wide.
        assert seen.button("Drain nodeA").size["height"] >= 40
    assert load.failures == []


#: What a screen reader needs, as far as a program can tell.
_AUDIT: Final = """
const wrong = [];
for (const e of document.querySelectorAll("button, a, svg, input:not([type=hidden]), select")) {
  const name = e.getAttribute("aria-label") || e.textContent.trim()
    || (e.labels && [...e.labels].map((l) => l.textContent.trim()).join(""));
  if (!name) wrong.push(`no name: ${e.outerHTML.slice(0, 80)}`);
}
for (const t of document.querySelectorAll("table")) {
  if (![...t.querySelectorAll("th")].every((h) => h.scope)) wrong.push("a head without a scope");
}
const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
if (new Set(ids).size !== ids.length) wrong.push("an id is there twice");
for (const tag of ["main", "h1"]) {
  if (document.querySelectorAll(tag).length !== 1) wrong.push(`not one ${tag}`);
}
if (!document.documentElement.lang) wrong.push("no language");
if (!document.querySelector("[aria-live]")) wrong.push("news are not read out");
return JSON.stringify(wrong);
"""


@pytest.mark.parametrize("query", ["", "?cmd=edit&w=lb&sw=nodeA", "?cmd=show&w=lb&sw=nodeB"])
def test_for_a_screen_reader(front: Front, query: str) -> None:
    with page(front) as seen:
        seen.driver.get(seen.address + query)
        assert json.loads(seen.driver.execute_script(_AUDIT)) == []
