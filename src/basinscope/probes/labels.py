"""The facts that every result of a probe carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from basinscope._version import __version__
from basinscope.landscape.protocol import Landscape
from basinscope.results.convert import Values, dataset


def labelled(
    kind: str,
    landscape: Landscape,
    values: Mapping[str, Values],
    *,
    units: Mapping[str, str] | None = None,
    **attributes: Any,
) -> xr.Dataset:
    """Label arrays as a result around one network.

    Args:
        kind: A name in `results.schema.KINDS`.
        landscape: Whose loss was measured.
        values: The variables of that kind.
        units: Units of the variables that depend on the network: of its loss, or of the directions.
        attributes: Further facts, such as the seed.
    """
    evaluated = str(getattr(landscape, "evaluation", ""))
    found = dataset(
        kind,
        values,
        model=landscape.network,
        num_moved=landscape.num_moved,
        one_dim=landscape.one_dim,
        loss_unit=landscape.unit,
        basinscope=__version__,
        **({"evaluation": evaluated} if evaluated else {}),
        **attributes,
    )
    for name, unit in (units or {}).items():
        found[name].attrs["units"] = unit
    return found
