"""A page in a headless Chromium: what tests ask it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

_WAIT = 30
_PHONE, _DESK = (390, 844), (1280, 900)


class Browser:
    """One Chromium for many pages; each is opened from disk."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, page: Path, *, dark: bool = False, phone: bool = False) -> None:
        """Open a page as a desk's or a phone's screen shows it; what was logged before is forgotten."""
        media = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        width, height = _PHONE if phone else _DESK
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        self.console()
        self.driver.get(page.absolute().as_uri())

    def console(self) -> list[str]:
        """Everything that Chromium has complained about since the last call."""
        return [f"{entry['level']}: {entry['message']}" for entry in self.driver.get_log("browser")]

    def run(self, script: str, *given: Any) -> Any:
        """The value of a JavaScript expression; `arguments` are the given ones."""
        return self.driver.execute_script(f"return {script}", *given)

    def find(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements("css selector", selector)

    def wait(self, expression: str, *given: Any) -> None:
        WebDriverWait(self.driver, _WAIT, poll_frequency=0.05).until(lambda _: self.run(expression, *given))

    def hover(self, element: WebElement, expression: str) -> None:
        """Point at an element until something is true; again if the page still moved beneath the pointer."""

        def point(_: webdriver.Chrome) -> Any:
            self.run("arguments[0].scrollIntoView({block: 'center', inline: 'center'})", element)
            ActionChains(self.driver, duration=20).move_to_element_with_offset(element, 0, 1).move_to_element(
                element
            ).perform()
            return self.run(expression)

        WebDriverWait(self.driver, _WAIT).until(point)

    def draw_all(self) -> int:
        """Open everything and have all charts drawn; how many there are."""
        self.run("document.querySelectorAll('details').forEach((e) => { e.open = true; })")
        for figure in self.find("figure.chart"):
            self.run("arguments[0].scrollIntoView()", figure)
            self.wait("arguments[0].classList.contains('drawn')", figure)
        return len(self.find("figure.chart.drawn"))


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium as Debian has it; without the sandbox, which root cannot have."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
