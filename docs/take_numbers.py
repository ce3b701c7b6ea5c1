"""Store the quoted numbers of a run's claims, or of a benchmark's output."""

from __future__ import annotations

import datetime
import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from stored_numbers import Numbers, NumbersError


def take(source: Path, name: str, root: Path) -> Path:
    """Store the quoted numbers of a run's claims, or of a benchmark's printed tables.

    Args:
        source: A `claims.json` in an output folder, or the saved output of a benchmark.
        name: What to call it: a section of quoted.toml, then `-` and anything, such as `swissroll-quick-seed0`.
        root: The repository.

    Raises:
        NumbersError: No section has this name, or nothing in the source is quoted.
    """
    numbers = Numbers(root / "docs" / "numbers")
    sections = [key for key in numbers.sections if name == key or name.startswith(f"{key}-")]
    if not sections or not re.fullmatch(r"[\w.-]+", name):
        raise NumbersError(f"--as {name}: should begin with one of {', '.join(sorted(numbers.sections))}")
    section = max(sections, key=len)
    text = source.read_text(encoding="utf-8")
    is_claims = source.suffix == ".json"
    rows = {claim["claim"]: claim for claim in json.loads(text)} if is_claims else benchmark_rows(text)
    found = {}
    for key, about in numbers.sections[section].items():
        for words, row in rows.items():
            if any(fnmatchcase(words, pattern.replace("[", "[[]")) for pattern in _patterns(about)):
                kept = ("claim", "published", "target", "measured", "unit", "num", "spread", "holds")
                found[key] = {field: row[field] for field in kept if row.get(field) is not None}
                break
    if not found:
        raise NumbersError(f"{source}: nothing in it is quoted in section {section} of quoted.toml")
    facts = claims_facts(source, rows) if is_claims else {"environment": text.strip().splitlines()[0]}
    taken = {"section": section, "source": f"taken from {source.name}", **facts}
    taken["date"] = datetime.datetime.fromtimestamp(source.stat().st_mtime, datetime.UTC).date().isoformat()
    path = numbers.folder / f"{name}.json"
    path.write_text(json.dumps(taken | {"numbers": found}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _patterns(about: dict[str, Any]) -> list[str]:
    """How a quantity is called in claims or tables; nothing where it was only transcribed."""
    claim = about.get("claim", [])
    return [claim] if isinstance(claim, str) else claim


def claims_facts(source: Path, rows: dict[str, Any]) -> dict[str, Any]:
    """What is known of the run behind a claims.json: preset and data, and, where its folder is there, the rest."""
    first = next(iter(rows.values()))
    facts = {"preset": first["preset"], "data": first["data"]}
    pointer = source.parent / "run.json"
    if pointer.exists():
        run = json.loads(pointer.read_text(encoding="utf-8"))["run"]
        facts["run"] = run
        provenance = source.parents[1] / "runs" / run / "provenance.json"
        if provenance.exists():
            known = json.loads(provenance.read_text(encoding="utf-8"))
            facts |= {key: known[key] for key in ("seeds", "environment") if key in known}
    return facts


def benchmark_rows(text: str) -> dict[str, dict[str, Any]]:
    """Read the Markdown tables that a benchmark prints.

    Returns:
        By `what` or `what | package`, and with ` | column` behind it for every further column of numbers, the value
        and its range.
    """
    rows: dict[str, dict[str, Any]] = {}
    head: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            head = [] if not line.strip() else head
            continue
        cells = [cell.strip() for cell in line.strip("|\n").split("|")]
        if not head:
            head = cells
        elif set(line) - set("|- :"):
            named = dict(zip(head, cells, strict=False))
            words = " | ".join(named[key] for key in head[:2] if key in ("what", "package", head[0]))
            for column, cell in named.items():
                values = _values(cell)
                if column in (head[0], "package", "range", "target", "repeats") or not values:
                    continue
                spread = _values(named.get("range", "")) or values[1:3]
                entry = {"claim": f"{words} | {column}", "measured": values[0], "spread": spread or None}
                rows[entry["claim"]] = entry
    return rows


def _values(cell: str) -> list[float]:
    """The numbers in a cell; percentages as shares."""
    found = re.findall(r"(\d[\d,]*\.?\d*(?:e[-+]?\d+)?)( ?%?)", cell)
    return [float(value.replace(",", "")) / (100 if sign.strip() else 1) for value, sign in found]
