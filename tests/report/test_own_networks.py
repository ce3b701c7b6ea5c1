"""The page of one's own networks, with names that mean harm."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser
from safetensors.torch import save_file

from basinscope.cli import main
from basinscope.report.page import write_page
from basinscope.runs import atomic, records
from basinscope.runs.store import RunFolder
from tests.problems import small_net
from tests.report.browser import Window, opened

PROBLEM = """
from tests.problems import sample_losses as loss_fn, small_batches, small_net
model, batches, unit = small_net(), small_batches(), "nat"
"""
QUICK = ["--directions", "4", "--resolution", "5", "--line-resolution", "5", "--lines", "2", "--top", "2", "--density"]
HOSTILE = "<img src=x onerror=alert(1)>\"'</script><script>alert(2)</script>=cmd|' /C calc'!A0"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks, compared; in the files that the page reads, one then got a name that means harm."""
    place = tmp_path_factory.mktemp("own")
    (place / "problem.py").write_text(PROBLEM, encoding="utf-8")
    words = ["measure", str(place / "problem.py"), *QUICK, "--out", str(place / "out")]
    for seed in (1, 2):
        save_file(small_net(seed).state_dict(), place / f"net{seed}.safetensors")
        words += ["--checkpoint", str(place / f"net{seed}.safetensors")]
    assert main(words) == 0
    assert main(["compare", "net1", "net2", "--out", str(place / "out")]) == 0
    folder = place / "out/compared/net1-net2"
    numbers = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    numbers = {HOSTILE: numbers["net1"], "net2": numbers["net2"]}
    numbers[HOSTILE][0]["name"] = HOSTILE
    (folder / "summary.json").write_text(json.dumps(numbers), encoding="utf-8")
    pointer = records.read(folder / "run.json")
    assert pointer
    pointer["files"]["summary.json"] = atomic.sha256(folder / "summary.json")
    pointer["notes"] = [HOSTILE]
    records.write_record(folder / "run.json", pointer)
    write_page(place / "out")
    return place / "out"


@pytest.fixture(scope="module")
def window(out: Path, chromium: Browser) -> Iterator[Window]:
    """The page, open."""
    with opened(chromium, out / "index.html") as found:
        yield found


def test_hostile_names_are_only_text(window: Window) -> None:
    window.bring("own-0")
    window.shown("own-0/lines")
    page = window.page
    assert page.locator("#own-0 h2").text_content() == f"{HOSTILE} · net2"
    assert page.locator("#own-0 .legend span").first.text_content() == HOSTILE
    window.until("document.querySelectorAll('#own-0 .js-plotly-plot').length >= 6")
    # In charts, too, where labels could be read as HTML.
    box = page.locator("#own-0 .chart").first.bounding_box()
    assert box
    for share in np.linspace(0.2, 0.9, 15):
        page.mouse.move(box["x"] + share * box["width"], box["y"] + 0.4 * box["height"])
        page.wait_for_timeout(20)
    assert page.evaluate("document.querySelectorAll('img[src=x], script[src], #own-0 .hovertext a').length") == 0
    # The page's own program, plotly, and data that do not run.
    running = (
        "[...document.querySelectorAll('script')].filter(s => s.type !== 'text/plain').map(s => s.textContent.length)"
    )
    assert len([length for length in page.evaluate(running) if length > 10_000]) == 2 == len(page.evaluate(running))


def test_what_is_drawn_is_what_was_measured(window: Window, out: Path) -> None:
    window.bring("own-0")
    pointer = records.read(out / "compared/net1-net2/run.json")
    assert pointer
    first, second = (RunFolder(out / "runs" / name) for name in pointer["runs"])
    lines = window.shown("own-0/lines")
    stored = np.concatenate([f.dataset("slice1d")["loss"].values for f in (first, second)])
    np.testing.assert_allclose(lines, stored, rtol=1e-6)
    radii = window.shown("own-0/radii")
    np.testing.assert_allclose(radii[1], np.sort(second.dataset("radius-0")["radius"].values), rtol=1e-6)
    values = window.shown("own-0/curvature")
    np.testing.assert_allclose(values[0], first.dataset("curvature")["eigenvalue"], rtol=1e-6)
    density = window.shown("own-0/density")
    np.testing.assert_allclose(density[0], np.maximum(first.dataset("curvature")["density"], 1e-6), rtol=1e-5)
    plane = window.shown("own-0/plane-1")
    loss = second.dataset("slice2d")["loss"].values
    np.testing.assert_allclose(plane, (np.log10(loss) if loss.min() > 0 else loss).T, atol=1e-5)


def test_planes_are_surfaces_too_that_turn_together(window: Window) -> None:
    section = window.bring("own-0")
    flat = window.shown("own-0/plane-1")
    section.get_by_role("radio", name="surface").check()
    assert window.until_shown("own-0/surface-1", "true") == flat
    window.until("document.querySelectorAll('#own-0 .gl-container canvas').length >= 2")
    assert section.locator(".js-plotly-plot:visible").count() > 2
    window.slide(section.get_by_role("slider", name="Turn"), 200)
    eyes = "[...document.querySelectorAll('#own-0 .chart')].filter(c => c._fullLayout?.scene).map("
    eyes += "c => c._fullLayout.scene._scene.getCamera().eye.x)"
    window.until(f"(eyes => eyes.length === 2 && eyes.every(x => x < 0 && Math.abs(x - eyes[0]) < 1e-6))({eyes})")


def test_data_of_a_network_are_taken_without_formulas(window: Window) -> None:
    with window.page.expect_download() as got:
        window.page.locator("#own-0 .downloads button").first.click()
    text = Path(got.value.path()).read_text()
    assert not [cell for line in text.splitlines() for cell in line.split(",") if cell.startswith(("=", "+", "@"))]
    assert "/" not in got.value.suggested_filename


def test_a_network_whose_run_lies_elsewhere_keeps_its_figures_and_numbers(out: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    shutil.rmtree(copy / "runs")
    page = write_page(copy).read_text(encoding="utf-8")
    assert page.count("<img ") == 18
    assert 'data-part="survey"' not in page


def test_keyboard_alone_moves_a_slider_and_a_choice(smoke: Path, chromium: Browser) -> None:
    with opened(chromium, smoke / "index.html") as window:
        window.bring("basins")
        before = window.shown("basins")
        window.page.locator("#basins").get_by_role("slider", name="Cutoff").focus()
        window.page.keyboard.press("ArrowRight")
        window.until_shown("basins", f"it.cutoff > {before['cutoff']}")
        window.page.locator("#basins").get_by_role("radio", name="swiss roll").focus()
        window.page.keyboard.press("ArrowRight")
        window.until_shown("basins", "it.data === 'images'")


def test_fingers_explore_the_map(smoke: Path, chromium: Browser) -> None:
    with opened(chromium, smoke / "index.html", viewport={"width": 400, "height": 800}, has_touch=True) as window:
        section = window.bring("minefield")
        window.until("document.querySelector('#minefield .js-plotly-plot') !== null")
        before = window.shown("minefield")["name"]
        box = section.locator(".cover").bounding_box()
        assert box
        names = {before}
        for share in (0.1, 0.3, 0.6):
            window.page.touchscreen.tap(box["x"] + share * box["width"], box["y"] + share * box["height"])
            window.page.wait_for_timeout(100)
            names.add(window.shown("minefield")["name"])
        assert len(names) > 1


def test_fingers_turn_both_surfaces_and_scroll_past_them_and_past_the_cutoff(smoke: Path, chromium: Browser) -> None:
    with opened(chromium, smoke / "index.html", viewport={"width": 400, "height": 800}, has_touch=True) as window:
        section = window.bring("surfaces")
        window.until("document.querySelectorAll('#surfaces .gl-container canvas').length >= 2")
        touch = window.page.context.new_cdp_session(window.page)

        def swipe(x: float, y: float, dx: float, dy: float) -> None:
            touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
            for step in range(1, 9):
                point = {"x": x + dx * step / 8, "y": y + dy * step / 8}
                touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
                window.page.wait_for_timeout(30)
            touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

        cameras = (
            "[...document.querySelectorAll('#surfaces .chart')].map(c => c._fullLayout.scene._scene.getCamera().eye)"
        )
        before = window.page.evaluate(cameras)[0]["x"]
        section.locator(".chart").first.scroll_into_view_if_needed()
        box = section.locator(".chart").first.bounding_box()
        assert box
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        swipe(x, y, 90, 0)
        window.until(f"(eyes => Math.abs(eyes[0].x - {before}) > 1e-3)({cameras})")
        window.until(f"(eyes => Math.abs(eyes[0].x - eyes[1].x) < 1e-6)({cameras})")
        turned, place = window.page.evaluate(cameras)[0]["x"], window.page.evaluate("scrollY")
        swipe(x, y, 0, -90)
        window.until(f"scrollY > {place} + 20")
        assert window.page.evaluate(cameras)[0]["x"] == pytest.approx(turned)
        section = window.bring("basins")
        before = window.shown("basins")["cutoff"]
        section.locator(".chart").first.scroll_into_view_if_needed()
        box = section.locator(".chart").first.bounding_box()
        assert box
        place = window.page.evaluate("scrollY")
        swipe(box["x"] + box["width"] / 2, box["y"] + box["height"] - 40, 0, -90)
        window.until(f"scrollY > {place} + 20")
        assert window.shown("basins")["cutoff"] == before


def test_a_page_that_is_left_alone_comes_to_life_as_a_whole(smoke: Path, chromium: Browser) -> None:
    with opened(chromium, smoke / "index.html") as window:
        window.until("[...document.querySelectorAll('[data-part]')].every(part => part.dataset.ready !== undefined)")
        window.until("document.querySelectorAll('.js-plotly-plot').length >= 10")
