"""Sizes of the page's programs, styles and templates, and what a part of the page consists of."""

import re
from importlib import resources
from pathlib import Path

import pytest

from basinscope.report.scripts import SHARED, programs
from basinscope.report.topics import TOPICS
from tests.report.javascript import functions

REPORT = Path(str(resources.files("basinscope.report")))
PROGRAMS = sorted((REPORT / "js").rglob("*.js"))
MOST_LINES, MOST_BODY_LINES = 400, 80
WITHOUT_TOPIC = {"hero", "survey"}
"""Parts that the page places by itself: the first picture, and one's own networks."""


def _named(path: Path) -> str:
    return path.relative_to(REPORT).as_posix()


@pytest.mark.parametrize("path", [*PROGRAMS, *REPORT.glob("*.css"), *REPORT.glob("templates/*.j2")], ids=_named)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", PROGRAMS, ids=_named)
def test_functions_are_short(path: Path) -> None:
    long = {
        body.line: body.lines for body in functions(path.read_text(encoding="utf-8")) if body.lines > MOST_BODY_LINES
    }
    assert not long, f"{_named(path)}: bodies of more than {MOST_BODY_LINES} lines, by where they begin: {long}"


def test_functions_are_found_in_the_programs() -> None:
    """The reader does not pass a file because it sees nothing in it."""
    for path in PROGRAMS:
        text = path.read_text(encoding="utf-8")
        named = re.findall(r"^\s*(?:async )?function \w+", text, re.M)
        assert len(functions(text)) >= len(named) + text.count("=> {"), path.name


@pytest.mark.parametrize("key", [*(topic.key for topic in TOPICS), *sorted(WITHOUT_TOPIC)])
def test_a_part_is_a_template_a_program_and_a_line(key: str) -> None:
    """Its program enters it once, and no other program, template or style names it."""
    entries = [path for path in PROGRAMS if re.search(rf"^PARTS\.{key} = ", path.read_text(encoding="utf-8"), re.M)]
    own = [path for path in entries if path.relative_to(REPORT / "js/parts").parts[0] in (key, f"{key}.js")]
    assert len(entries) == len(own) == 1
    assert (REPORT / f"templates/{key}.html.j2").exists() == (key not in WITHOUT_TOPIC)
    others = [path for path in PROGRAMS if key not in path.parts]
    for path in others:
        assert f"PARTS.{key}" not in path.read_text(encoding="utf-8"), _named(path)
    assert f"#{key}" not in (REPORT / "page.css").read_text(encoding="utf-8")
    if key not in WITHOUT_TOPIC:
        page = (REPORT / "templates/page.html.j2").read_text(encoding="utf-8")
        assert f'"{key}"' not in page


def test_every_part_has_its_line() -> None:
    folders = {path.stem for path in (REPORT / "js/parts").iterdir()}
    assert folders == {topic.key for topic in TOPICS} | WITHOUT_TOPIC


def test_what_parts_share_comes_before_them_and_what_starts_them_last() -> None:
    order = [name.split("/")[0] for name in programs()]
    assert list(dict.fromkeys(order)) == [*SHARED, "parts.js", "parts", "main.js"]
