"""What every result around an `Objective` says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from basinscope._version import __version__
from basinscope.landscape.module_objective import Objective
from basinscope.results.convert import Values, dataset


def labelled(
    kind: str, objective: Objective, values: Mapping[str, Values], *, units: Mapping[str, str], **attributes: Any
) -> xr.Dataset:
    """Label arrays as a result around one network.

    Args:
        kind: A name in `results.schema.KINDS`.
        objective: Whose loss was measured.
        values: Every variable of that kind.
        units: Units of the variables that depend on the network: of its loss, or of the directions.
        attributes: Further facts, such as the seed.
    """
    found = dataset(
        kind,
        values,
        model=type(objective.model).__name__,
        num_moved=objective.num_moved,
        one_dim=objective.one_dim,
        loss_unit=objective.unit,
        basinscope=__version__,
        **attributes,
    )
    for name, unit in units.items():
        found[name].attrs["units"] = unit
    return found
