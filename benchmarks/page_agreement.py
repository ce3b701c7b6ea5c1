"""How far the networks on the page are from torch, over a grid of the plane.

    python benchmarks/page_agreement.py OUT

OUT is a folder of finished runs with a page.
"""

from __future__ import annotations

import argparse
import os
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from playwright.sync_api import sync_playwright

from basinscope.experiments import registry
from basinscope.runs import records
from basinscope.runs.store import RunFolder

POINTS = {"minefield": 40, "swissroll": 40, "rings": 24}
"""Experiments whose networks the page holds, and points along each side of the grid."""
EVALUATE = """async ([name, places]) => {
  const { results, facts } = await basinscope.exhibit(name);
  const { shapeOf, pack, logits } = basinscope.engine;
  const shape = shapeOf(facts.widths);
  const { values, shape: [num] } = results.weights.weights;
  const net = (k) => pack(shape, values.subarray(k * shape.size, (k + 1) * shape.size), null, 0);
  return Array.from({ length: num }, (_, k) => Array.from(logits(shape, net(k), Float64Array.from(places))));
}"""


def main() -> None:
    """Compare every network that the page holds, in double and in single precision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    with sync_playwright() as playwright:
        path = os.environ.get("BASINSCOPE_CHROMIUM") or shutil.which("chromium")
        page = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"]).new_page()
        page.goto((out / "index.html").resolve().as_uri())
        for name, points in POINTS.items():
            pointer = records.read(out / name / "run.json")
            if pointer is None:
                continue
            folder, experiment = RunFolder(out / "runs" / pointer["run"]), registry.load_experiment(name)
            config = registry.restore(experiment, (folder.read_json("config.json") or {})["config"])
            exhibit = experiment.exhibit(folder, config)
            net = import_module(f"basinscope.experiments.{name}.tasks").NET
            axis = torch.linspace(-1, 1, points, dtype=torch.float64) * exhibit.facts["extent"]
            places = torch.cartesian_prod(axis, axis)
            there = np.array(page.evaluate(EVALUATE, [name, places.flatten().tolist()]))
            weights = torch.from_numpy(exhibit.results["weights"]["weights"].values.astype(np.float32))
            for dtype in (torch.float64, torch.float32):
                found = net.logits(weights.to(dtype), places[None].to(dtype)).double()
                here = (found[..., 0] if found.shape[-1] == 1 else found[..., 1] - found[..., 0]).numpy()
                off, largest = np.abs(there - here).max(), np.abs(here).max()
                told = f"{name}, {len(here)} networks, {dtype}"
                print(f"{told}: off by at most {off:.1e}, log-odds up to {largest:.0f}")


if __name__ == "__main__":
    main()
