"""Write the API reference, docs/api.md, from the docstrings of the public door."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import griffe

import basinscope as bs
from basinscope.results.schema import KINDS

GROUPS = {
    "Your own network": "survey Survey Objective slice1d slice2d linear_path align connect basin_radius log_volume "
    "curvature mean_curvature sharpness Recorder TrainingProbes tsne plot save load InputError",
    "Landscapes of small networks and of streamed images": "CleanLoss StreamedLoss PointObjective Normalization "
    "gaussian scale_last_layer top_eigenvalue rising_lines tsne_map decision_boundary moving_boundary input_margin",
    "Training good and bad minima": "run Run MLP StackTrainer SingleTrainer Member StopRule Schedule Recipe",
    "Data": "Samples Images ImageTask scattered_digits",
    "Parameters": "ParameterLayout flatten unflatten",
}
OWN = "Your own network"
HEADS = {
    "api.md": """# API reference: your own network

Every name below is imported from `basinscope`; made from the docstrings by `make api`. Which probe to choose:
[your-network.md](your-network.md). What the paper's figures are made with, such as stacks of small networks, poisoned
training and streamed images: [api-paper.md](api-paper.md).

In signatures: `Loss` is a function of a model and a batch; `Batches` a list, a `DataLoader` or a function that
returns an iterator; `Choice` patterns of names, or a function of name and tensor; `Scheme` is `"filter"`, `"layer"`
or `"sphere"`; `OneDim` is `"fixed"` or `"moved"`; `Precision` is `"single"` or `"own"`; `Count` is a function of a
batch or the name of a field; `Scale` is `"plain"` or `"filter"`; `Minimum` is a state dictionary, a network or a file
of safetensors; `Points` a list of these, the folder of a `Recorder`, or several of both by name; `Watcher` is True,
False, None or a function of the finished share; `Masks` is `"zeros"` or tensors of 0 and 1 by parameter name;
`Instance` is a network or a function that makes one; a `Step` is a direction and a distance; `MAX_STEPS` is 100;
`Probes` is an `Objective`, `TrainingProbes` or functions of the network by name.
""",
    "api-paper.md": """# API reference: what the paper's figures are made with

Every name below is imported from `basinscope`; made from the docstrings by `make api`. For your own network:
[api.md](api.md).
""",
}


def main() -> None:
    """Write the files."""
    for name in HEADS:
        (Path(__file__).parent / name).write_text(reference(name), encoding="utf-8")


def reference(file: str) -> str:
    """Everything about every public name that belongs into a file, as Markdown."""
    package = griffe.load("basinscope", search_paths=[str(Path(bs.__file__).parents[1])])
    parts = [HEADS[file]]
    for title, names in GROUPS.items():
        if (title == OWN) == (file == "api.md"):
            parts.append(f"## {title}\n")
            parts += [_entry(package, name) for name in names.split()]
    return "\n".join([*parts, *(_kinds() if file == "api.md" else [])])


def _kinds() -> list[str]:
    """What the datasets that verbs return hold."""
    lines = ["## What results hold\n"]
    for kind in (
        "slice1d",
        "slice2d",
        "curve",
        "radius",
        "volume",
        "curvature",
        "sharpness",
        "mean_curvature",
        "training",
        "weight_map",
    ):
        lines += [f"### `{kind}`\n", "| variable | along | what it is |", "|---|---|---|"]
        for name, variable in KINDS[kind].variables.items():
            codes = "; ".join(f"{code}: {word}" for code, word in (variable.flags or {}).items())
            told = f"{variable.meaning} ({codes})" if codes else variable.meaning
            lines.append(f"| `{name}` | {', '.join(variable.dims)} | {told} |")
        lines.append("")
    return lines


def _entry(package: griffe.Module, name: str) -> str:
    """One function or class, with its public methods."""
    value = getattr(bs, name)
    found = package[f"{value.__module__.removeprefix('basinscope.')}.{value.__name__}"]
    lines = [f"### {name}\n", f"```python\n{_signature(found, name)}\n```\n", *_sections(found)]
    if found.is_class:
        public = {key: m for key, m in found.members.items() if not key.startswith("_") and m.docstring}
        facts = [(key, m) for key, m in public.items() if m.is_attribute]
        if facts:
            lines += ["Attributes:\n", *(f"- `{key}`: {_plain(_first(m))}" for key, m in facts), ""]
        for key, member in public.items():
            if member.is_function and not member.docstring.value.startswith("See `"):
                lines += [f"#### {name}.{key}\n", f"```python\n{_signature(member, key)}\n```\n", *_sections(member)]
    return "\n".join(lines)


def _first(member: griffe.Object) -> str:
    """The first paragraph of a docstring."""
    return member.docstring.value.split("\n\n")[0] if member.docstring else ""


def _signature(found: griffe.Object, name: str) -> str:
    parameters = getattr(found, "parameters", [])
    words, starred = [], False
    for one in parameters:
        if one.name in ("self", "cls"):
            continue
        kind = one.kind
        if kind is griffe.ParameterKind.keyword_only and not starred:
            words.append("*")
            starred = True
        stars = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}.get(kind, "")
        starred |= stars == "*"
        default = f" = {one.default}" if one.default is not None and not stars else ""
        words.append(
            f"{stars}{one.name}: {one.annotation}{default}" if one.annotation else f"{stars}{one.name}{default}"
        )
    returns = f" -> {found.returns}" if getattr(found, "returns", None) else ""
    short = f"{name}({', '.join(words)}){returns}"
    return short if len(short) <= 100 else f"{name}(\n    " + ",\n    ".join(words) + f",\n){returns}"


def _sections(found: griffe.Object) -> list[str]:
    lines: list[str] = []
    if found.docstring is None:
        return lines
    for section in found.docstring.parse("google", warnings=False):
        kind = section.kind.value
        if kind == "text":
            lines.append(_paragraphs(section.value))
        elif kind in ("parameters", "attributes"):
            lines += [f"{'Arguments' if kind == 'parameters' else 'Attributes'}:\n"]
            lines += [f"- `{item.name}`: {_plain(item.description)}" for item in section.value]
            lines.append("")
        elif kind == "returns":
            lines.append(f"Returns: {_plain(' '.join(item.description for item in section.value))}\n")
        elif kind == "raises":
            lines += [f"Raises `{item.annotation}`: {_plain(item.description)}\n" for item in section.value]
        elif kind == "examples":
            code = "\n".join(text for _, text in section.value)
            lines.append(f"```python\n{inspect.cleandoc(code)}\n```\n")
        elif kind == "admonition":
            title = (section.title or section.value.kind).capitalize()
            text = section.value.description
            lines.append(f"```python\n{text}\n```\n" if ">>>" in text else f"{title}: {_plain(text)}\n")
    return lines


def _paragraphs(text: str) -> str:
    """Text with its paragraphs joined to lines, code left as it is."""
    blocks = re.split(r"\n\n", text)
    return "\n\n".join(block if block.startswith("    ") else _plain(block) for block in blocks) + "\n"


def _plain(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    main()
