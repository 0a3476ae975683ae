"""A real browser: Debian's Chromium, driven by Playwright; what it says, asks for and finds hard to read."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
LAPTOP, PHONE = (1366, 900), (390, 844)
SCHEMES = ("light", "dark")


@dataclass
class Seen:
    """A page, and what came of opening it."""

    page: Page
    said: list[str] = field(default_factory=list)  # console messages and errors
    asked: list[str] = field(default_factory=list)  # addresses, data: left out

    def violations(self) -> list[str]:
        """What axe finds wrong by WCAG 2 A and AA and its best practices: contrast, names, landmarks, headings."""
        found = Axe().run(self.page).response["violations"]
        return [f"{one['id']}: {node['html'][:160]}" for one in found for node in one["nodes"]]

    def is_too_wide(self) -> bool:
        """Whether the page itself, and not a table in it, must be scrolled sideways."""
        return self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]  # root may not have a sandbox
        started = playwright.chromium.launch(executable_path=chromium(), args=flags)
        yield started
        started.close()


@contextmanager
def opened(browser: Browser, address: str, size: tuple[int, int] = LAPTOP, scheme: str = "light") -> Iterator[Seen]:
    """address: of a file or a server."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    seen = Seen(page)
    page.on("console", lambda message: seen.said.append(message.text))
    page.on("pageerror", lambda error: seen.said.append(str(error)))
    page.on("request", lambda request: seen.asked.append(request.url) if not request.url.startswith("data:") else None)
    try:
        page.goto(address)
        yield seen
    finally:
        page.close()


def chromium() -> str:
    """Its path; root on Debian gets it installed, anybody else is told."""
    if found := next(filter(None, map(shutil.which, NAMES)), None):
        return found
    if not Path("/etc/debian_version").exists() or os.getuid():
        pytest.fail("no Chromium here: sudo apt-get install chromium", pytrace=False)
    for words in (["update"], ["install", "-y", "--no-install-recommends", "chromium", "fonts-dejavu-core"]):
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(["apt-get", "-qq", *words], env=quiet, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return chromium()
