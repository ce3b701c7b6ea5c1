"""The package's own order, read from its syntax: rooms, cycles, lengths and names."""

import ast
import importlib
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import basinscope as bs

ROOT = Path(__file__).parents[1]
HOME = ROOT / "src" / "basinscope"
FILES = sorted(HOME.rglob("*.py"))
LONGEST_FILE, LONGEST_BODY = 400, 80
ABOVE_ALL = {"basinscope", "basinscope.__main__", "basinscope._version"}
"""The door, which loads when first used, and what holds no code of a room."""
SHARED = {"Config", "Measurements", "claims", "collect", "draw", "exhibit", "tasks"}
"""The parts that every experiment has."""


def _name(path: Path) -> str:
    parts = ["basinscope", *path.relative_to(HOME).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
PATHS = {_name(path): path for path in FILES}


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _imports(node: ast.AST, *, inner: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports below a node, those for type checkers left out; `inner` goes into functions, too."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif _for_types(child):
            assert isinstance(child, ast.If)
            for other in child.orelse:
                yield from _imports(ast.Module([other], []), inner=inner)
        elif inner or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _imports(child, inner=inner)


def _imported(module: str, *, inner: bool) -> set[str]:
    """Modules of the package that one imports."""
    found: set[str] = set()
    for each in _imports(TREES[module], inner=inner):
        if isinstance(each, ast.Import):
            found |= {alias.name for alias in each.names}
            continue
        assert not each.level, f"{module}: a relative import"
        whole = {f"{each.module}.{alias.name}" for alias in each.names}
        found |= (whole & set(TREES)) or {str(each.module)}
        if not whole <= set(TREES):
            found.add(str(each.module))
    return {name for name in found if name in TREES and name != module}


def _rooms() -> list[str]:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    house = text.partition("## Layout")[2].partition("\n## ")[0]
    line = next(found for found in re.findall(r"`([^`]*)`", house) if " · " in found.replace("\n", " "))
    return [name.strip() for name in line.replace("\n", " ").split("·")]


def _room(module: str) -> str:
    return module.split(".")[1]


def test_the_house_names_every_room():
    assert sorted(_rooms()) == sorted({_room(name) for name in TREES if name not in ABOVE_ALL})


@pytest.mark.parametrize("inner", [False, True], ids=["when loaded", "when called"])
def test_rooms_import_only_rooms_named_before_them(inner):
    place = {room: k for k, room in enumerate(_rooms())}
    wrong = sorted(
        f"{module} imports {other}"
        for module in TREES
        if module not in ABOVE_ALL
        for other in _imported(module, inner=inner)
        if other not in ABOVE_ALL and place.get(_room(other), -1) > place.get(_room(module), -1)
    )
    assert not wrong


def test_no_module_imports_itself_by_way_of_others():
    edges = {module: _imported(module, inner=False) for module in TREES}
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " → ".join([*way[way.index(module) :], module])
        if module in done:
            return
        for other in sorted(edges[module]):
            visit(other, (*way, module))
        done.add(module)

    for module in sorted(TREES):
        visit(module, ())


def test_files_are_short():
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in PATHS.items()}
    assert not {name: num for name, num in lengths.items() if num > LONGEST_FILE}


def _body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_functions_are_short():
    found = {
        f"{module}.{node.name}": _body_lines(node)
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert not {name: num for name, num in found.items() if num > LONGEST_BODY}


def _homonyms() -> dict[str, list[str]]:
    homes: dict[str, set[str]] = defaultdict(set)
    for module, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name[0] != "_":
                homes[node.name].add(module)
    return {name: sorted(modules) for name, modules in homes.items() if len(modules) > 1}


def test_a_public_name_means_one_thing():
    assert {name: modules for name, modules in _homonyms().items() if name not in SHARED} == {}


def test_the_list_of_shared_names_holds_nothing_else():
    assert set(_homonyms()) >= SHARED


def _defaults(tree: ast.Module) -> list[tuple[str, float]]:
    """Numbers other than 0 and 1 that parameters have by default."""
    numbers = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            listed = node.args
            pairs = [*zip(reversed(listed.args), reversed(listed.defaults), strict=False)]
            for arg, value in [*pairs, *zip(listed.kwonlyargs, listed.kw_defaults, strict=True)]:
                if isinstance(value, ast.Constant) and type(value.value) in (int, float) and value.value not in (0, 1):
                    numbers.append((arg.arg, value.value))
    return numbers


def test_a_default_has_one_home():
    homes: dict[tuple[str, float], list[str]] = defaultdict(list)
    for module, tree in TREES.items():
        for default in _defaults(tree):
            homes[default].append(module)
    assert {default: modules for default, modules in homes.items() if len(modules) > 1} == {}


@pytest.mark.parametrize("name", bs.__all__)
def test_every_public_name_resolves_and_is_documented(name):
    found = getattr(bs, name)
    if name == "__version__":
        assert re.fullmatch(r"\d+\.\d+\.\d+\S*", found)
        return
    assert (found.__doc__ or "").strip()
    assert found.__module__.startswith("basinscope.")


def test_the_door_is_complete():
    assert set(bs.__all__) == {*bs._HOMES, "__version__"}
    assert dir(bs) == sorted(bs.__all__)
    for name, home in bs._HOMES.items():
        module = importlib.import_module(f"basinscope.{home}")
        assert hasattr(module, name)
    for_types = {
        alias.asname or alias.name: str(node.module)
        for block in TREES["basinscope"].body
        if _for_types(block)
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert for_types == {name: f"basinscope.{home}" for name, home in bs._HOMES.items()}


def test_every_public_name_is_in_the_documentation():
    pages = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md"))
    assert [name for name in bs.__all__ if name != "__version__" and not re.search(rf"\b{name}\b", pages)] == []
