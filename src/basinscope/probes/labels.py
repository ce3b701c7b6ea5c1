"""Builds the labelled datasets that probes return."""

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
    """Label arrays as the result of a probe around one network.

    Args:
        kind: A name in `results.schema.KINDS`.
        landscape: The landscape that was measured.
        values: Variables of that kind.
        units: Units of the variables whose unit depends on the loss or the directions.
        attributes: Further attributes, such as the seed.
    """
    evaluation = str(getattr(landscape, "evaluation", ""))
    result = dataset(
        kind,
        values,
        model=landscape.network,
        num_moved=landscape.num_moved,
        one_dim=landscape.one_dim,
        loss_unit=landscape.unit,
        basinscope=__version__,
        **({"evaluation": evaluation} if evaluation else {}),
        **attributes,
    )
    for name, unit in (units or {}).items():
        result[name].attrs["units"] = unit
    if "tensors" in attributes:
        # Beside each vector, too, so that a single one says which tensors it belongs to.
        for variable in result.variables.values():
            if "entry" in variable.dims:
                variable.attrs["tensors"] = attributes["tensors"]
    return result
