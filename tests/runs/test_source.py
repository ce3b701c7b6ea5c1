import json
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

import basinscope
from basinscope.experiments.registry import NAMES, load_experiment
from basinscope.runs.source import DATA_FILES, NOT_FOLLOWED, modules_behind, source_digest

INSTALLED = Path(basinscope.__file__).parent


@cache
def behind(name: str) -> frozenset[str]:
    """Modules that the hash of an experiment's runs covers."""
    return frozenset(modules_behind(load_experiment(name).source))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package's source."""
    return Path(shutil.copytree(INSTALLED, tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__", "report")))


def digests(root: Path) -> dict[str, str]:
    return {name: source_digest(*load_experiment(name).source, root=root) for name in NAMES}


def file_of(module: str, root: Path) -> Path:
    place = root.joinpath(*module.split(".")[1:])
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def comment(files: list[Path]) -> None:
    for file in files:
        file.write_text(file.read_text(encoding="utf-8") + "\n# A comment.\n", encoding="utf-8")


def modules_of(root: Path) -> set[str]:
    """Every module of a package by its full name."""
    paths = [file.relative_to(root).with_suffix("") for file in root.rglob("*.py")]
    return {".".join(["basinscope", *(part for part in path.parts if part != "__init__")]) for path in paths}


def test_a_copy_has_the_digest_of_the_original(package: Path) -> None:
    assert digests(package) == digests(INSTALLED)


def test_comments_in_modules_that_no_experiment_uses_renew_nothing(package: Path) -> None:
    before = digests(package)
    unused = modules_of(package) - frozenset().union(*map(behind, NAMES))
    assert {"basinscope.runs.store", "basinscope.plots.lines", "basinscope.cli.verbs"} <= unused
    # Rooms that compute have modules that only other doors open.
    assert any(module.split(".")[1] not in NOT_FOLLOWED for module in unused - {"basinscope"})
    comment([file_of(module, package) for module in unused])
    assert digests(package) == before


@pytest.mark.parametrize("name", NAMES)
def test_a_comment_in_a_module_that_one_experiment_uses_renews_its_runs_alone(package: Path, name: str) -> None:
    before, uses = digests(package), Counter(module for other in NAMES for module in behind(other))
    own = [module for module in behind(name) if uses[module] == 1]
    assert f"basinscope.experiments.{name}.tasks" in own
    assert f"basinscope.experiments.{name}.config" in own
    for module in own:
        file = file_of(module, package)
        content = file.read_bytes()
        comment([file])
        changed = {
            other: source_digest(*load_experiment(other).source, root=package)
            for other in (name, NAMES[name == NAMES[0]])
        }
        assert {other for other, digest in changed.items() if digest != before[other]} == {name}, module
        file.write_bytes(content)


def test_a_comment_in_a_module_that_all_use_renews_all(package: Path) -> None:
    before = digests(package)
    comment([package / "seeds.py"])
    assert all(digest != before[name] for name, digest in digests(package).items())


def test_the_source_of_the_kernel_counts_with_its_module(package: Path) -> None:
    before = digests(package)
    ((module, (file,)),) = DATA_FILES.items()
    path = file_of(module, package).with_name(file)
    path.write_bytes(path.read_bytes() + b"\n// A comment.\n")
    changed = {name for name, digest in digests(package).items() if digest != before[name]}
    assert changed == {name for name in NAMES if module in behind(name)} != set()


def test_every_file_beside_the_modules_that_compute_is_named() -> None:
    others = {file for file in INSTALLED.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc", ".typed")}
    beside = {file for file in others if file.relative_to(INSTALLED).parts[0] not in NOT_FOLLOWED}
    named = {file_of(module, INSTALLED).with_name(file) for module, files in DATA_FILES.items() for file in files}
    assert beside == named


def test_rooms_that_are_not_followed_exist() -> None:
    assert all((INSTALLED / room).is_dir() or (INSTALLED / f"{room}.py").is_file() for room in NOT_FOLLOWED)


def test_every_module_that_computes_and_is_loaded_with_the_tasks_is_covered() -> None:
    code = """
import importlib, json, sys
loaded = {}
for name in sys.argv[1:]:
    for module in [module for module in sys.modules if module.split(".")[0] == "basinscope"]:
        del sys.modules[module]
    importlib.import_module(f"basinscope.experiments.{name}.tasks")
    loaded[name] = [module for module in sys.modules if module.split(".")[0] == "basinscope"]
print(json.dumps(loaded))
"""
    done = subprocess.run([sys.executable, "-c", code, *NAMES], capture_output=True, text=True, check=True)
    for name, modules in json.loads(done.stdout).items():
        computing = {
            module for module in modules if module != "basinscope" and module.split(".")[1] not in NOT_FOLLOWED
        }
        assert f"basinscope.experiments.{name}.tasks" in computing
        assert computing <= behind(name)


def test_every_way_to_import_is_followed(tmp_path: Path) -> None:
    sources = {
        "__init__": "from basinscope import door",
        "door": "",
        "start": "import basinscope.one.plain\n"
        "from basinscope.one import module, NAME\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from basinscope import types_only\n"
        "else:\n    from basinscope import otherwise\n"
        "def work():\n    from basinscope.one.inner import late\n    import numpy, basinscope.cli.verbs",
        "types_only": "",
        "otherwise": "",
        "one.__init__": "",
        "one.plain": "from . import sibling\nfrom ..up import thing",
        "one.module": "from .sibling import name",
        "one.sibling": "import basinscope.start  # a circle",
        "one.inner.__init__": "from .deep import x",
        "one.inner.deep": "",
        "one.inner.late": "",
        "one.unused": "",
        "up": "",
        "cli.__init__": "",
        "cli.verbs": "import basinscope.behind_the_command_line",
        "behind_the_command_line": "",
    }
    for module, source in sources.items():
        file = tmp_path.joinpath(*module.split(".")).with_suffix(".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    covered = ["one", "one.inner", "one.inner.deep", "one.inner.late", "one.module", "one.plain", "one.sibling"]
    covered += ["otherwise", "start", "up"]
    assert modules_behind(["basinscope.start"], root=tmp_path) == [f"basinscope.{name}" for name in covered]
    with pytest.raises(ModuleNotFoundError, match=r"basinscope\.nowhere: no such module"):
        modules_behind(["basinscope.nowhere"], root=tmp_path)
