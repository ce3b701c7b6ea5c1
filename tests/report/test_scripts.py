import base64
import hashlib
import re
from importlib import resources
from pathlib import Path

from basinscope.report.scripts import programs, scripts

FOLDER = Path(str(resources.files("basinscope.report") / "js"))


def test_every_program_is_on_the_page_once() -> None:
    assert sorted(programs()) == sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.js"))


def test_nothing_turns_text_into_html_or_code() -> None:
    for path in FOLDER.rglob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            path.name
        )
        assert not re.search(r"\bfetch\(|XMLHttpRequest|WebSocket|sendBeacon|https?://", text), path.name
        assert "</script" not in text, path.name


def test_the_policy_names_the_programs_and_nothing_else(smoke: Path) -> None:
    page = (smoke / "index.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    rules = dict(rule.split(" ", 1) for rule in policy[1].replace("&#39;", "'").split("; "))
    assert rules["default-src"] == "'none'"
    assert "unsafe-eval" not in policy[1]
    assert "unsafe-inline" not in rules["script-src"]
    (program,) = re.findall(r"<script>(.*?)</script>", page, re.S)
    assert f"'sha256-{base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()}'" in rules["script-src"]
    assert len(rules["script-src"].split()) == 2
    assert scripts().page == program
