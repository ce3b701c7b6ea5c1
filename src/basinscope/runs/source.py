"""Digests of source code: of some modules with all that they import, or of the whole package."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path

PACKAGE = "basinscope"

NOT_FOLLOWED: Mapping[str, str] = {
    "_version": "a release that computes the same starts no new runs",
    "errors": "defines exceptions",
    "progress": "displays progress",
    "results": "labels computed arrays, under a version of its own",
    "runs": "stores results and distributes work",
    "plots": "draws stored results",
    "report": "shows stored results",
    "cli": "parses and prints",
}
"""Subpackages that compute nothing, each with the reason; modules that only they import are not covered either."""
DATA_FILES: Mapping[str, tuple[str, ...]] = {f"{PACKAGE}.landscape.kernel": ("kernel.c",)}
"""Data files that are digested with a module."""


def source_digest(*entries: str, root: Path | None = None) -> str:
    """Digest the source of some modules and of all that they import, directly or not.

    Args:
        entries: Full names of modules.
        root: Folder of the package; by default, that of the installed one.

    Returns:
        64 hexadecimal digits. They change with any edit of an imported module, even of a comment, and with no other
        edit.

    Raises:
        ModuleNotFoundError: There is no such module.

    Example:
        >>> len(source_digest("basinscope.seeds"))
        64
    """
    where = root or _installed()
    names = modules_behind(entries, root=where)
    files = [_file_of(name, where) for name in names]
    files += [where.joinpath(*name.split(".")[1:-1], extra) for name in names for extra in DATA_FILES.get(name, ())]
    return _digest(files, where)


def package_digest(*, without: Iterable[str] = ()) -> str:
    """Digest all source of the installed package, except the subpackages in `without`."""
    root, left_out = _installed(), set(without)
    files = (file for suffix in ("*.py", "*.c") for file in root.rglob(suffix))
    return _digest((file for file in files if file.relative_to(root).parts[0] not in left_out), root)


def modules_behind(entries: Iterable[str], *, root: Path | None = None) -> list[str]:
    """List the modules of the package that some modules import, directly or not, themselves included, sorted.

    Imports inside functions count, those only for type checkers do not. `NOT_FOLLOWED` is left out.

    Args:
        entries: Full names of modules.
        root: Folder of the package; by default, that of the installed one.

    Raises:
        ModuleNotFoundError: There is no such module.
    """
    where = root or _installed()
    waiting, covered = list(entries), set[str]()
    for name in waiting:
        if _find(name, where) is None:
            raise ModuleNotFoundError(f"{name}: no such module", name=name)
    while waiting:
        name = waiting.pop()
        if name in covered or not _followed(name) or _find(name, where) is None:
            continue
        covered.add(name)
        waiting += _imported(name, where)
    return sorted(covered)


def _installed() -> Path:
    return Path(str(resources.files(PACKAGE)))


def _digest(files: Iterable[Path], root: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _followed(name: str) -> bool:
    """Whether a module is covered; the package's own `__init__` only re-exports."""
    package, *rooms = name.split(".")
    return package == PACKAGE and bool(rooms) and rooms[0] not in NOT_FOLLOWED


def _find(name: str, root: Path) -> Path | None:
    """Find the file of a module or subpackage; None if there is no such module in the package."""
    package, *parts = name.split(".")
    if package != PACKAGE:
        return None
    path = root.joinpath(*parts)
    files = (path / "__init__.py", path.with_name(f"{path.name}.py"))
    return next((file for file in files if file.is_file()), None)


def _file_of(name: str, root: Path) -> Path:
    file = _find(name, root)
    assert file is not None
    return file


def _imported(name: str, root: Path) -> tuple[str, ...]:
    """List the imports of a module that may be modules, with their parent packages."""
    file = _file_of(name, root)
    return _imports(file.read_bytes(), name if file.name == "__init__.py" else name.rpartition(".")[0])


@cache
def _imports(source: bytes, package: str) -> tuple[str, ...]:
    """List the modules that source code in a package may import, with their parent packages."""
    names = {package}
    for node in _executed(ast.parse(source)):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            # Names after `import` may be modules or members of one.
            targets = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for target in targets:
            parts = target.split(".")
            names |= {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
    return tuple(sorted(name for name in names if name.split(".")[0] == PACKAGE))


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """Resolve the dots of a relative import."""
    if not node.level:
        return node.module or ""
    base = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes below one, except code only for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _for_type_checkers(child.test):
            for other in child.orelse:
                yield other
                yield from _executed(other)
        else:
            yield child
            yield from _executed(child)


def _for_type_checkers(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )
