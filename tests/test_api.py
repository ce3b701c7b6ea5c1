"""The API reference says what the docstrings say, of every public name."""

import importlib.util
import re
from pathlib import Path

import basinscope as bs

DOCS = Path(__file__).parent.parent / "docs"
spec = importlib.util.spec_from_file_location("make_api", DOCS / "make_api.py")
assert spec is not None
assert spec.loader is not None
make_api = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_api)


def test_the_reference_is_that_of_this_source() -> None:
    for name in make_api.HEADS:
        written = (DOCS / name).read_text(encoding="utf-8")
        assert written == make_api.reference(name), "run make api"


def test_every_public_name_is_in_it_once() -> None:
    written = "\n".join((DOCS / name).read_text(encoding="utf-8") for name in make_api.HEADS)
    names = re.findall(r"^### (\w+)$", written, re.MULTILINE)
    assert sorted(names) == sorted(set(bs.__all__) - {"__version__"})


def test_every_argument_of_a_verb_is_explained() -> None:
    written = (DOCS / "api.md").read_text(encoding="utf-8")
    verbs = written.split("\n## ")[1].split("\n### ")[1:]
    for entry in verbs:
        signature = entry.split("```")[1].split("->")[0]
        for argument in re.findall(r"(?:\(|^    |, )(\w+): ", signature, re.MULTILINE):
            assert f"- `{argument}`: " in entry, f"{entry.splitlines()[0]}: {argument}"
