"""How large the page is, and how long it takes to show, and to answer, in a real browser.

    python benchmarks/page_speed.py OUT

OUT is a folder of finished runs. Times are those of this machine, whatever else it does.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
SLIDERS = {
    "minefield": ("Along the path", "minefield"),
    "push": ("Distance", "push-bad"),
    "poison": ("Poison", "poison"),
    "rings": ("Gap", "rings-circle"),
}
MOVES = 25


def main() -> None:
    """Open the page several times, then move each slider."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    page_file = parser.parse_args().out / "index.html"
    print(f"size: {page_file.stat().st_size / 1e6:.1f} MB")
    with sync_playwright() as playwright:
        path = os.environ.get("BASINSCOPE_CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        print(f"Chromium {browser.version}")
        paints, lives = [], []
        for _ in range(5):
            page = browser.new_page(viewport={"width": 1200, "height": 800})
            page.goto(page_file.resolve().as_uri())
            told = json.loads(page.evaluate("JSON.stringify(performance.getEntriesByType('paint'))"))
            paints.append(next(p["startTime"] for p in told if p["name"] == "first-contentful-paint"))
            section = next(s for s in SLIDERS if page.locator(f"#{s}").count())
            page.evaluate(f"document.getElementById('{section}').scrollIntoView()")
            while not page.evaluate(f"(globalThis.basinscope?.waits['{SLIDERS[section][1]}'] ?? []).length"):
                time.sleep(0.005)
            lives.append(page.evaluate("performance.now()"))
            page.close()
        print(
            f"first view: {spread(paints)} ms; first part to explore: {spread(lives)} ms after the page was asked for"
        )
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.goto(page_file.resolve().as_uri())
        for section, (slider, part) in SLIDERS.items():
            if page.locator(f"#{section}").count():
                print(f"{section}: a slider's change is drawn after {spread(moved(page, section, slider, part))} ms")
        browser.close()


def moved(page: Page, section: str, slider: str, part: str) -> list[float]:
    """Milliseconds from each move of a slider to its picture."""
    page.evaluate(f"document.getElementById('{section}').scrollIntoView()")
    time.sleep(4)
    target = page.locator(f"#{section}").get_by_role("slider", name=slider)
    count = f"basinscope.waits['{part}'].length"
    last = int(target.get_attribute("max") or 1)
    for move in range(MOVES):
        before = page.evaluate(count)
        target.evaluate(
            "(input, to) => { input.value = to; input.dispatchEvent(new Event('input', { bubbles: true })); }",
            (7 * (move + 1)) % (last + 1),
        )
        while page.evaluate(count) == before:
            time.sleep(0.005)
        time.sleep(0.3)
    return page.evaluate(f"basinscope.waits['{part}']")[-MOVES:]


def spread(values: list[float]) -> str:
    """Median, and the smallest to the largest."""
    return f"{np.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


if __name__ == "__main__":
    main()
