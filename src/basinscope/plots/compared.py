"""Compared results of several networks: checks that they are comparable, and their description in titles."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from basinscope.errors import InputError
from basinscope.plots.style import COLOURS

Results = xr.Dataset | Mapping[str, xr.Dataset]
"""One result, or results of one kind by name of the network."""
Named = Mapping[str, xr.Dataset]

_NORMALIZED = {"filter": "filter-normalised", "layer": "layer-normalised", "sphere": "of length 1"}
_DIRECTIONS = {
    "hessian": "eigenvectors of largest curvature",
    "pca": "main axes of the marked points",
    "given": "directions as given",
}


def by_name(results: Results) -> Named:
    """Results by name of the network; a single result has an empty name.

    Raises:
        InputError: These are not results, kinds are mixed, or there are more results than colours.
    """
    named = {"": results} if isinstance(results, xr.Dataset) else results
    if not (isinstance(named, Mapping) and all(isinstance(result, xr.Dataset) for result in named.values())):
        raise InputError("plot: give a result, or several by name: plot({'good': one, 'bad': other})")
    kinds = {str(result.attrs.get("kind")) for result in named.values()}
    if len(kinds) != 1:
        raise InputError(f"plot: give results of one kind, not {', '.join(sorted(kinds)) or 'none'}")
    if len(named) > len(COLOURS):
        raise InputError(f"plot: {len(named)} results in one figure are too many; at most {len(COLOURS)}")
    return {str(name): result for name, result in named.items()}


def with_unit(name: str, unit: str) -> str:
    """Label of an axis."""
    return f"{name} [{unit}]" if unit else name


def common_unit(results: Named, variable: str) -> str:
    """Unit of a variable, common to all results.

    Raises:
        InputError: Units differ.
    """
    units = {str(result[variable].attrs.get("units", "")) for result in results.values()}
    if len(units) != 1:
        names = " and ".join(sorted(unit or "none" for unit in units))
        raise InputError(f"plot: {variable} has the units {names}; results must share one")
    return units.pop()


def model_facts(results: Named) -> str:
    """Class of each network and its number of moved entries, without repetition."""
    facts = (
        f"{r.attrs.get('model', '')}, {int(r.attrs.get('num_moved', 0)):,} moved entries" for r in results.values()
    )
    return "\n".join(dict.fromkeys(facts))


def facts(result: xr.Dataset) -> str:
    """Describe the moved entries and the directions."""
    directions = _DIRECTIONS.get(str(result.attrs.get("directions")))
    if result.attrs.get("directions") == "between":
        directions = "straight line to another minimum" if "ray" in result.dims else "plane through other minima"
    elif directions is None:
        scheme = result.attrs.get("scheme")
        directions = f"random directions, {_NORMALIZED.get(str(scheme), scheme)}"
    elif (products := result.attrs.get("products", "second derivatives")) != "second derivatives":
        directions += f", by {products}"
    aligned = ", units aligned" if result.attrs.get("aligned") else ""
    return f"{model_facts({'': result})}\n{directions}{aligned}"


def all_facts(results: Named) -> str:
    """Describe all results, without repeating lines."""
    texts = dict.fromkeys(facts(result) for result in results.values())
    return "\n".join(dict.fromkeys("\n".join(texts).split("\n")))


def basin_bound(results: Named) -> str:
    """Describe the common cutoff or rise that bounds all basins, or the range of cutoffs."""
    unit = common_unit(results, "cutoff")
    cutoffs = np.array([float(result["cutoff"]) for result in results.values()])
    rises = cutoffs - np.array([float(result["center_loss"]) for result in results.values()])
    for word, heights in (("cutoff", cutoffs), ("rise", rises)):
        if np.allclose(heights, heights[0], rtol=1e-6, atol=0):
            return f"{word} {heights[0]:.3g} {unit}".strip()
    return f"cutoffs {cutoffs.min():.3g} to {cutoffs.max():.3g} {unit}".strip()
