"""A real browser that looks at pages from disk, and notes what goes wrong and what is asked of the network."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

CHROMIUM = os.environ.get("BASINSCOPE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Surfaces need WebGL, here without a graphics card.
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
PATIENCE = 60.0
"""Seconds after which something that should show counts as missing; machines may be slow."""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Chromium without a window; where it is not installed, tests that need it are skipped unless CI runs them."""
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed, and CI must not go without")
        pytest.skip("Chromium is not installed: tests of the page in a browser are left out")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Window:
    """One page in a browser."""

    page: Page
    errors: list[str] = field(default_factory=list)
    """What the console called an error, and what was thrown."""
    requests: list[str] = field(default_factory=list)
    """Addresses that were asked for."""

    def until(self, expression: str) -> Any:
        """Wait until an expression is neither false nor null, and return it."""
        end = time.monotonic() + PATIENCE
        while True:
            found = self.page.evaluate(expression)
            if found not in (None, False) or time.monotonic() > end:
                assert found not in (None, False), f"{expression}: not within {PATIENCE} s; {self.errors}"
                return found
            time.sleep(0.02)

    def bring(self, section: str) -> Locator:
        """Scroll to a section and wait until it lives."""
        self.page.evaluate(f"document.getElementById({section!r}).scrollIntoView()")
        self.until(f"(document.querySelector('#{section} .part') ?? document.body).matches('[data-ready], body')")
        return self.page.locator(f"#{section}")

    def shown(self, part: str) -> Any:
        """What a part of the page shows, as data."""
        self.until(f"basinscope.shown[{part!r}] !== undefined")
        plain = "(_, value) => ArrayBuffer.isView(value) ? Array.from(value) : value"
        return json.loads(self.page.evaluate(f"JSON.stringify(basinscope.shown[{part!r}], {plain})"))

    def until_shown(self, part: str, condition: str) -> Any:
        """Wait until what a part shows, `it`, meets a condition."""
        self.until(f"(it => it !== undefined && ({condition}))(basinscope.shown[{part!r}])")
        return self.shown(part)

    def slide(self, slider: Locator, value: float) -> None:
        """Move a slider as a reader does, but in one step."""
        slider.evaluate(
            "(input, to) => { input.value = to; input.dispatchEvent(new Event('input', { bubbles: true })); }", value
        )


@contextmanager
def opened(browser: Browser, file: Path, **settings: Any) -> Iterator[Window]:
    """Open a page from disk; afterwards, nothing may have gone wrong and nothing may have been asked of the network."""
    context = browser.new_context(**({"viewport": {"width": 1200, "height": 800}} | settings))
    page = context.new_page()
    window = Window(page)
    page.on("console", lambda message: window.errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: window.errors.append(str(error)))
    page.on("request", lambda request: window.requests.append(request.url))
    page.on("dialog", lambda dialog: window.errors.append(f"dialog: {dialog.message}") or dialog.dismiss())
    page.goto(file.as_uri())
    try:
        yield window
    finally:
        context.close()
    assert window.errors == []
    outside = [url for url in window.requests if not url.startswith(("data:", "blob:")) and url != file.as_uri()]
    assert outside == []
