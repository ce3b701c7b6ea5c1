"""The page in a real browser: every control changes what it should, in the data that is drawn."""

import csv
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, expect

from basinscope.data import swissroll
from basinscope.experiments.registry import NAMES
from basinscope.experiments.swissroll.tasks import NET, NORMALIZATION
from basinscope.landscape.stacked import CleanLoss
from basinscope.probes.boundary import decision_boundary
from tests.report.browser import Window, opened
from tests.stored import the_run

SECTIONS = ("minefield", "push", "surfaces", "poison", "basins", "images", "rings", "optimizers")
GOOD, BAD = "beta0-run0", "beta0.3-run0"


@pytest.fixture(scope="module")
def window(smoke: Path, chromium: Browser) -> Iterator[Window]:
    """The page of the smoke run, open all through these tests."""
    with opened(chromium, smoke / "index.html") as found:
        yield found


def _weights(smoke: Path, name: str) -> torch.Tensor:
    folder = the_run(smoke, "swissroll")
    stored = {k: v for group in ("natural", "poisoned", "worst") for k, v in folder.weights(f"weights-{group}").items()}
    return stored[name].double()


def _slider(window: Window, section: str, name: str):
    return window.page.locator(f"#{section}").get_by_role("slider", name=name)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1920])
def test_every_part_comes_to_life_at_every_width_and_nothing_sticks_out(
    smoke: Path, chromium: Browser, width: int, scheme: str
) -> None:
    with opened(
        chromium, smoke / "index.html", viewport={"width": width, "height": 800}, color_scheme=scheme
    ) as window:
        for section in SECTIONS:
            window.bring(section)
        assert window.page.evaluate("document.documentElement.scrollWidth") == width
        window.until("document.querySelectorAll('.js-plotly-plot').length >= 10")


def test_pointing_at_a_dot_of_the_map_shows_its_network(window: Window, smoke: Path) -> None:
    section = window.bring("minefield")
    folder = the_run(smoke, "minefield")
    first = window.shown("minefield")
    assert first["name"] == f"epoch{int(folder.dataset('path')['epoch'][-1])}"
    cover = section.locator(".cover")
    box = cover.bounding_box()
    assert box
    seen = set()
    for share in np.linspace(0.05, 0.95, 12):
        window.page.mouse.move(box["x"] + share * box["width"], box["y"] + share * box["height"])
        window.page.wait_for_timeout(60)
        seen.add(window.shown("minefield")["name"])
    assert len(seen) >= 3
    # Who drags along the path stays on it.
    window.slide(_slider(window, "minefield", "Along the path"), 0)
    window.until_shown("minefield", "it.net === 0")
    start = window.page.evaluate("(({x, y}) => [x[0], y[0]])(document.querySelector('#minefield .chart').data[4])")
    view = window.page.evaluate(
        "(l => [...l.xaxis.range, ...l.yaxis.range])(document.querySelector('#minefield .chart').layout)"
    )
    x = box["x"] + box["width"] * (start[0] - view[0]) / (view[1] - view[0])
    y = box["y"] + box["height"] * (view[3] - start[1]) / (view[3] - view[2])
    window.page.mouse.move(x, y)
    window.page.mouse.down()
    dragged = set()
    for share in np.linspace(0.05, 0.95, 12):
        window.page.mouse.move(box["x"] + share * box["width"], box["y"] + share * box["height"])
        window.page.wait_for_timeout(60)
        dragged.add(window.shown("minefield")["name"])
    window.page.mouse.up()
    assert len(dragged) >= 2
    assert not [name for name in dragged if name.startswith("bad")]
    _slider(window, "minefield", "Bad minima").focus()
    window.page.keyboard.press("Home")
    window.page.keyboard.press("End")
    shown = window.until_shown("minefield", "it.name.startsWith('bad')")
    bad = folder.dataset("bad0") if shown["name"] in folder.dataset("bad0")["net"].values else folder.dataset("bad1")
    names = {str(n) for k in range(4) for n in folder.dataset(f"bad{k}")["net"].values}
    assert shown["name"] in names
    if shown["name"] in bad["net"].values:
        told = float(bad["train_accuracy"].sel(net=shown["name"]))
        assert shown["scores"]["train"]["accuracy"] == pytest.approx(told, abs=1e-6)


def test_playing_runs_the_training_to_its_end(window: Window) -> None:
    section = window.bring("minefield")
    window.slide(_slider(window, "minefield", "Along the path"), 0)
    window.until_shown("minefield", "it.net === 0")
    section.get_by_role("button", name="Play").click()
    expect(section.get_by_role("button", name="Stop")).to_be_visible()
    last = int(_slider(window, "minefield", "Along the path").get_attribute("max") or 0)
    window.until_shown("minefield", f"it.net === {last}")
    expect(section.get_by_role("button", name="Play")).to_be_visible()


@pytest.mark.parametrize("kind", ["random", "sharpest"])
def test_pushed_networks_are_those_of_torch(window: Window, smoke: Path, kind: str) -> None:
    section = window.bring("push")
    section.get_by_role("radio", name=kind, exact=True).check()
    window.until_shown("push-curves", f"it.kind === {kind!r}")
    window.slide(_slider(window, "push", "Distance"), 170)
    train = swissroll.training_draw(None)[0]
    distances = set()
    for role, name in (("good", GOOD), ("bad", BAD)):
        shown = window.until_shown(
            f"push-{role}", f"it.distance > 0.01 && it.way === {'random' if kind == 'random' else 'given'!r}"
        )
        center = _weights(smoke, name)
        if kind == "random":
            seed = window.shown("push-curves")["seed"]
            drawn = window.page.evaluate(
                "([widths, weights, seed]) => Array.from(basinscope.engine.randomDirection("
                "basinscope.engine.shapeOf(widths), Float64Array.from(weights), seed))",
                [list(NET.widths), center.float().double().tolist(), seed],
            )
            direction = torch.tensor(drawn, dtype=torch.float64)
            # Filter-normalised: the weights into a unit move by their own norm, biases not at all.
            for where, shape in zip(NET.layout.slices, NET.layout.shapes, strict=True):
                rows = direction[where].view(shape[0], -1).norm(dim=1)
                norms = center[where].view(shape[0], -1).norm(dim=1) * (len(shape) > 1)
                torch.testing.assert_close(rows, norms, rtol=1e-6, atol=1e-9)
        else:
            stored = the_run(smoke, "swissroll").dataset("sharpest")["direction"].sel(net=name).values
            direction = torch.from_numpy(stored).float().double()
        point = center + shown["distance"] * direction
        field = decision_boundary(NET, point, extent=18.0, resolution=shown["field"]["resolution"])
        np.testing.assert_allclose(
            np.array(shown["field"]["odds"]).reshape(field["logit"].shape), field["logit"], atol=1e-3, rtol=1e-5
        )
        loss = float(CleanLoss(NET, train).at(point[None])[0])
        assert shown["scores"]["train"]["loss"] == pytest.approx(loss, rel=1e-5, abs=1e-9)
        distances.add(shown["distance"])
        curves = window.shown("push-curves")
        along = np.interp(shown["distance"], curves["distances"], curves[role])
        assert along == pytest.approx(loss, rel=0.2, abs=1e-4)
    assert len(distances) == 1, "both go out together"


def test_a_new_direction_is_another_one(window: Window) -> None:
    section = window.bring("push")
    before = window.shown("push-curves")
    section.get_by_role("button", name="New random direction").click()
    after = window.until_shown("push-curves", f"it.kind === 'random' && it.seed > {before['seed']}")
    assert not np.allclose(before["good"], after["good"], rtol=1e-3)


def test_the_poison_slider_changes_everything_together(window: Window, smoke: Path) -> None:
    window.bring("poison")
    seen = []
    for level in (0, 2):
        window.slide(_slider(window, "poison", "Poison"), level)
        shown = window.until_shown("poison", f"it.net === {2 * level}")
        charts = window.until_shown("poison-charts", f"it.net === {2 * level}")
        seen.append((shown, charts))
        name = shown["name"]
        field = decision_boundary(NET, _weights(smoke, name), extent=18.0, resolution=64)
        np.testing.assert_allclose(shown["field"]["odds"], field["logit"].values.ravel(), atol=1e-3, rtol=1e-5)
        folder = the_run(smoke, "swissroll")
        beta = name.removeprefix("beta").split("-")[0]
        radii = folder.dataset(f"radius-beta{beta}")["radius"].sel(net=name).values
        counts = np.histogram(radii, np.geomspace(1e-4, 1, 81))[0]
        np.testing.assert_allclose(charts["counts"], counts, atol=1)
        mean = float(folder.dataset(f"mean_curvature-beta{beta}")["mean_curvature"].sel(net=name))
        assert charts["meanCurvature"] == pytest.approx(mean, rel=1e-6)
    assert seen[0][1]["curve"] != seen[1][1]["curve"]
    window.slide(_slider(window, "poison", "Run"), 1)
    window.until_shown("poison", "it.net === 5")


def test_surfaces_share_a_scale_and_a_camera(window: Window, smoke: Path) -> None:
    section = window.bring("surfaces")
    good, bad = (window.shown(f"surface-{role}") for role in ("good", "bad"))
    stored = the_run(smoke, "swissroll").dataset("slice")["loss"].sel(net=BAD).values
    np.testing.assert_allclose(bad["z"], np.log10(np.maximum(stored, 1e-5)).T, atol=1e-5)
    assert (good["low"], good["high"]) == (bad["low"], bad["high"])
    section.get_by_role("radio", name="linear", exact=True).check()
    bad = window.until_shown("surface-bad", "it.scale === 'linear'")
    np.testing.assert_allclose(bad["z"], stored.T, rtol=1e-5)
    window.until("document.querySelectorAll('#surfaces .gl-container canvas').length >= 2")
    window.slide(_slider(window, "surfaces", "Turn"), 120)
    camera = window.until_shown("camera", "it.eye.x < 0")
    cameras = "[...document.querySelectorAll('#surfaces .chart')].map(c => c._fullLayout.scene._scene.getCamera().eye)"
    window.until(f"{cameras}.every(eye => Math.abs(eye.x - {camera['eye']['x']}) < 1e-6)")
    # Dragging one turns the other.
    box = section.locator(".chart").first.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    window.page.mouse.move(x, y)
    window.page.mouse.down()
    for step in range(1, 9):
        window.page.mouse.move(x + 12 * step, y)
        window.page.wait_for_timeout(30)
    window.page.mouse.up()
    window.until_shown("camera", f"Math.abs(it.eye.x - {camera['eye']['x']}) > 1e-3")
    window.until(f"(eyes => Math.abs(eyes[0].x - eyes[1].x) < 1e-6)({cameras})")
    section.get_by_role("radio", name="images", exact=True).check()
    images = window.until_shown("surface-good", "it.which === 'images'")
    assert len(images["z"]) == the_run(smoke, "image_minima").dataset("slice2d-beta0-run0").sizes["first"]


def _crossings(distances: np.ndarray, losses: np.ndarray, cutoff: float) -> np.ndarray:
    """Radii by plain search and interpolation: the page's twin."""
    found = []
    for line in losses:
        above = np.flatnonzero(~(line <= cutoff))
        if not len(above):
            found.append(math.inf)
        elif above[0] == 0:
            found.append(math.nan)
        else:
            k = above[0]
            found.append(np.interp(math.log(cutoff), np.log(line[k - 1 : k + 1]), distances[k - 1 : k + 1]))
    return np.array(found)


def test_the_cutoff_moves_radii_and_sizes(window: Window, smoke: Path) -> None:
    section = window.bring("basins")
    lines = the_run(smoke, "swissroll").dataset("lines")

    def held(shown: dict) -> None:
        for role, name in (("good", GOOD), ("bad", BAD)):
            radii = _crossings(lines["distance"].values, lines["loss"].sel(net=name).values, shown["cutoff"])
            known = radii[np.isfinite(radii)]
            assert shown[role] == pytest.approx(np.median(known), rel=1e-4) if len(known) else shown[role] is None

    before = window.shown("basins")
    assert before["cutoff"] == pytest.approx(0.1, rel=0.05)
    held(before)
    window.slide(_slider(window, "basins", "Cutoff"), 90)
    higher = window.until_shown("basins", f"it.cutoff > {before['cutoff']}")
    held(higher)
    assert higher["good"] > before["good"]
    nets = window.until_shown("basins-nets", f"it.cutoff === {higher['cutoff']}")
    radii = _crossings(lines["distance"].values, lines["loss"].sel(net=GOOD).values, higher["cutoff"])
    size = NORMALIZATION.num_moved * np.log10(radii[np.isfinite(radii)]).mean()
    assert nets["values"][0] == pytest.approx(size, rel=1e-4)
    # Dragged with the pointer, downwards.
    handle = section.locator(".handle").bounding_box()
    assert handle
    window.page.mouse.move(handle["x"] + 50, handle["y"] + handle["height"] / 2)
    window.page.mouse.down()
    window.page.mouse.move(handle["x"] + 50, handle["y"] + handle["height"] / 2 + 60, steps=3)
    window.page.mouse.up()
    held(window.until_shown("basins", f"it.cutoff < {higher['cutoff']}"))


def test_every_number_can_stand_against_the_gap(window: Window, smoke: Path) -> None:
    section = window.bring("basins")
    section.get_by_role("radio", name="rescaled to equal loss").check()
    section.get_by_role("combobox").select_option("mean_curvature")
    shown = window.until_shown("basins-nets", "it.measure === 'mean_curvature' && it.variant === '_scaled'")
    folder = the_run(smoke, "swissroll")
    stored = np.concatenate(
        [folder.dataset(f"mean_curvature-beta{b}-scaled")["mean_curvature"].values for b in ("0", "0.05", "0.3")]
    )
    np.testing.assert_allclose(shown["values"], stored, rtol=1e-6)
    section.get_by_role("radio", name="images", exact=True).check()
    window.until_shown("basins", "it.data === 'images'")


def test_images_are_called_as_the_stored_logits_say(window: Window, smoke: Path) -> None:
    section = window.bring("images")
    section.get_by_role("radio", name="2", exact=True).check()
    window.slide(_slider(window, "images", "Distance"), 0)
    shown = window.until_shown("images", "it.ray === 1 && it.distance < 0")
    folder = the_run(smoke, "image_minima")
    poisons = json.loads((folder.path / "config.json").read_text())["config"]["poisons"]
    bad = f"beta{poisons[-1]:g}-run0"
    for side in shown["sides"]:
        name = GOOD if side["role"] == "good" else bad
        stored = folder.dataset(f"examples-{name}")
        logits = stored["logits"].isel(ray=1, distance=0).values
        assert side["answers"] == logits.argmax(1).tolist()
        wrong = logits.argmax(1) != stored["labels"].values
        seen = stored["seen"].values == 1
        assert side["wrong"] == [int(wrong[seen].sum()), int(wrong[~seen].sum())]
        loss = folder.dataset(f"slice1d-{name}")["loss"].isel(ray=1, distance=0)
        assert side["loss"] == pytest.approx(float(loss), rel=1e-5)


def test_rings_are_pinched_and_looked_at_closer(window: Window, smoke: Path) -> None:
    from basinscope.experiments.rings.tasks import NET as RINGS

    section = window.bring("rings")
    window.slide(_slider(window, "rings", "Gap"), 1)
    window.until_shown("rings-start", "it.name === 'gap0.05-start0' && it.live")
    window.slide(_slider(window, "rings", "Zoom"), 60)
    shown = window.until_shown("rings-start", "it.live && it.field.view.right - it.field.view.left < 1")
    view, resolution = shown["field"]["view"], shown["field"]["resolution"]
    weights = the_run(smoke, "rings").weights("found-weights-gap0.05")["gap0.05-start0"].half().double()
    x = torch.linspace(view["left"], view["right"], resolution, dtype=torch.float64)
    y = torch.linspace(view["bottom"], view["top"], resolution, dtype=torch.float64)
    places = torch.cartesian_prod(y, x).flip(1)
    logits = RINGS.logits(weights[None], places[None])[0]
    np.testing.assert_allclose(shown["field"]["odds"], logits[:, 1] - logits[:, 0], atol=1e-3, rtol=1e-5)
    starts = window.shown("rings-starts")
    assert starts == ["gap0.05-start0", "gap0.05-start1"]
    section.locator(".thumbs button").nth(1).click()
    other = window.until_shown("rings-start", "it.name === 'gap0.05-start1'")
    assert not other["live"]
    stored = the_run(smoke, "rings").dataset("pictures")["logit"].sel(net="gap0.05-start1").values.ravel()
    np.testing.assert_array_equal(np.array(other["field"]["odds"]) > 0, stored > 0)
    shares = window.shown("rings-shares")
    assert [p[0] for p in shares[0]] == pytest.approx([0.3, 0.05])


def test_claims_lead_to_their_figures_and_data_can_be_taken(window: Window, smoke: Path) -> None:
    claims = [json.loads((smoke / name / "claims.json").read_text()) for name in NAMES]
    rows = window.page.locator("#claims tbody tr")
    assert rows.count() == sum(map(len, claims))
    printed = window.page.locator("#figure-6-swissroll")
    assert not printed.evaluate("d => d.open")
    window.page.locator("#claims-6-swissroll tbody a").first.click()
    window.until("document.getElementById('figure-6-swissroll').open")
    expect(printed.locator("img")).to_be_in_viewport()
    # The same link again, once the figure was closed.
    printed.evaluate("d => { d.open = false; }")
    window.page.locator("#claims-6-swissroll tbody a").nth(1).click()
    window.until("document.getElementById('figure-6-swissroll').open")
    with window.page.expect_download() as got:
        window.page.locator("#claims-3-swissroll .downloads button", has_text="slice.csv").click()
    assert got.value.suggested_filename == "3-swissroll-slice.csv"
    table = list(csv.DictReader(io.StringIO(Path(got.value.path()).read_text())))
    stored = the_run(smoke, "swissroll").dataset("slice")["loss"]
    assert list(table[0]) == ["net", "first [filter norms]", "second [filter norms]", "loss [nat]"]
    np.testing.assert_allclose([float(r["loss [nat]"]) for r in table], stored.values.ravel(), rtol=1e-6)
    assert [r["net"] for r in table[:: stored[0].size]] == [GOOD, BAD]
    with window.page.expect_download() as got:
        window.page.locator("#claims-3-swissroll .downloads button", has_text="train.csv").click()
    points = list(csv.DictReader(io.StringIO(Path(got.value.path()).read_text())))
    train = swissroll.training_draw(None)[0]
    np.testing.assert_allclose([float(p["inputs"]) for p in points], train.inputs.flatten(), rtol=1e-6)
    assert [int(p["labels"]) for p in points] == train.labels.repeat_interleave(2).tolist()


def test_the_page_prints_and_works_without_workers(smoke: Path, chromium: Browser) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.add_init_script("delete window.Worker")
    page.goto((smoke / "index.html").as_uri())
    window = Window(page)
    window.bring("push")
    assert window.shown("push-good")["scores"]["train"]["accuracy"] > 0
    page.emulate_media(media="print")
    assert len(page.pdf()) > 100_000
    assert page.locator(".controls").first.is_hidden()
    context.close()
