"""Numbers in README and docs come from the stored runs, by the command that CI checks."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CLAIM = "good net (run 0, natural): accuracy on the dense test set"


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "docs" / "write_numbers.py", *words], capture_output=True, text=True, check=False
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """README and docs of a repository that one may change."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("images", "__pycache__"))
    shutil.copy(ROOT / "README.md", tmp_path)
    return tmp_path


def changed(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def claims(path: Path, measured: float) -> Path:
    claim = {
        "claim": CLAIM,
        "measured": measured,
        "unit": "1",
        "num": 2,
        "spread": [measured, 0.999],
        "target": ">= 0.98",
    }
    path.write_text(json.dumps([claim | {"preset": "quick", "data": "a draw", "holds": True}]), encoding="utf-8")
    return path


def test_every_number_is_as_stored() -> None:
    done = command("--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_number_copied_by_hand_is_named_with_file_line_is_and_should_be(copy: Path) -> None:
    changed(copy / "README.md", "good-test range-->98.8 % –", "good-test range-->98.9 % –")
    changed(copy / "docs" / "rings.md", "| 0.1368 |", "| 0.1369 |")
    done = command("--check", "--root", copy)
    assert done.returncode == 1
    lines = (copy / "README.md").read_text(encoding="utf-8").splitlines()
    (line,) = [number for number, text in enumerate(lines, 1) if "98.9 % –" in text]
    assert f'README.md:{line}: is "98.9 % – 99.7 %", should be "98.8 % – 99.7 %"' in done.stdout
    assert "docs/rings.md:" in done.stdout
    assert "98.9 % –" in (copy / "README.md").read_text(encoding="utf-8")
    assert command("--root", copy).returncode == 0
    assert command("--check", "--root", copy).returncode == 0


def test_one_stored_run_changes_every_document_that_quotes_it(copy: Path, tmp_path: Path) -> None:
    taken = command("--take", claims(tmp_path / "claims.json", 0.985), "--as", "swissroll-quick-seed2", "--root", copy)
    assert taken.returncode == 0, taken.stderr
    stored = json.loads((copy / "docs" / "numbers" / "swissroll-quick-seed2.json").read_text(encoding="utf-8"))
    assert stored["numbers"]["good-test"]["measured"] == 0.985
    assert stored["preset"] == "quick"
    command("--root", copy)
    assert "98.5 % – 99.7 %" in (copy / "README.md").read_text(encoding="utf-8")
    assert "99.5 % · 99.5 % · 98.5 %" in (copy / "docs" / "swissroll.md").read_text(encoding="utf-8")


def test_a_benchmark_is_taken_from_what_it_prints(copy: Path, tmp_path: Path) -> None:
    row = "64 nets one after another (module and Adam of torch) ÷ a stack of 64"
    head = "torch 2\n\n| what | target | median ratio | range | repeats |\n|---|---|---|---|---|\n"
    printed = f"{head}| {row} | ≥ 6 | 8.5 | 8.1 – 8.9 | 7 |\n"
    (tmp_path / "speed.txt").write_text(printed, encoding="utf-8")
    done = command("--take", tmp_path / "speed.txt", "--as", "swissroll_speed-here", "--root", copy)
    assert done.returncode == 0, done.stderr
    stored = json.loads((copy / "docs" / "numbers" / "swissroll_speed-here.json").read_text(encoding="utf-8"))
    assert stored["numbers"]["stack"]["measured"] == 8.5
    assert stored["numbers"]["stack"]["spread"] == [8.1, 8.9]


@pytest.mark.parametrize(
    ("mark", "says"),
    [
        ("a <!--n nowhere/good-test-->1<!--/n-->", "no set nowhere"),
        ("a <!--n swissroll/nothing-->1<!--/n-->", "swissroll/nothing"),
        ("a <!--n swissroll/good-test-->1<!--/n-->", "5 files have it"),
        ("a <!--n swissroll/good-test range-->1", "not closed"),
        ("<!--n minefield/nearby-->1<!--/n-->", "begins a line"),
        ("<!--table none-->\n<!--/table-->", "no table none"),
    ],
)
def test_a_wrong_mark_is_one_line(copy: Path, mark: str, says: str) -> None:
    with (copy / "docs" / "rings.md").open("a", encoding="utf-8") as file:
        file.write(f"\n{mark}\n")
    done = command("--check", "--root", copy)
    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
