"""Summarises the numbers of a survey in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import xarray as xr

from basinscope.probes.rows import Row
from basinscope.probes.table import figures_by_kind


def rows(results: Mapping[str, xr.Dataset]) -> list[Row]:
    """Summarise the results of one network: its loss, then the numbers of each result.

    Args:
        results: By stem, as `tasks.collect` returns them.
    """
    known = [(one, results[stem]) for stem, one in figures_by_kind().items() if stem in results]
    losses = (loss for one, result in known if (loss := one.center(result)) is not None)
    unit = str(next(iter(results.values())).attrs.get("loss_unit", "")) if results else ""
    own = [Row("loss", loss, "", unit, 1) for loss in [next(losses, None)] if loss is not None]
    return own + [row for one, result in known for row in one.rows(result)]


def table(columns: Mapping[str, Sequence[Row]]) -> str:
    """Format the numbers of one or several networks as a plain-text table, one column per network."""
    names = list(dict.fromkeys(row.name for column in columns.values() for row in column))
    by_name = {label: {row.name: row for row in column} for label, column in columns.items()}
    lines = [["", *columns]]
    for name in names:
        known = [column[name] for column in by_name.values() if name in column]
        unit = f" [{known[0].unit}]" if known[0].unit else ""
        cells = []
        for column in by_name.values():
            row = column.get(name)
            cells.append("–" if row is None else f"{row.value:.4g}" + (f" ({row.spread})" if row.spread else ""))
        lines.append([name + unit, *cells])
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
