import json
import re
import shutil
from pathlib import Path

import pytest

from basinscope.experiments.registry import NAMES, load_experiment
from basinscope.report.page import write_page
from basinscope.report.words import comparison, number
from basinscope.runs import atomic, records
from tests.stored import the_run


def test_page_holds_every_figure_and_claim_and_asks_for_nothing(smoke: Path) -> None:
    page = (smoke / "index.html").read_text(encoding="utf-8")
    claims = [json.loads((smoke / name / "claims.json").read_text()) for name in NAMES]
    still = [stem for name in NAMES for stem in load_experiment(name).figures if not stem.endswith("moving")]
    assert page.count("<figure>") == len(still) == 11
    assert page.count('<td class="words">') == sum(map(len, claims))
    assert not re.search(r'<[^>]*\s(?:src|href)="(?!data:|#|https://arxiv\.org)', page)


def test_text_from_files_is_escaped(smoke: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(smoke, out)
    file = out / "swissroll" / "claims.json"
    claims = json.loads(file.read_text())
    claims[0]["claim"] = claims[0]["data"] = "<script>alert('x')</script>"
    file.write_text(json.dumps(claims))
    pointer = records.read(file.with_name("run.json"))
    assert pointer is not None
    pointer["files"]["claims.json"] = atomic.sha256(file)
    records.write_record(file.with_name("run.json"), pointer)
    page = write_page(out).read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "–"), (0.98, "0.98"), (12345.6, "12,346"), (1.5e-7, "1.50·10⁻⁷"), (0, "0"), (-3.25e8, "−3.25·10⁸")],
)
def test_numbers_are_written_for_readers(value: float | None, words: str) -> None:
    assert number(value) == words


def test_targets_are_written_with_the_signs_of_a_textbook() -> None:
    assert [comparison(t) for t in (">= 0.9", "<= -0.9", "== 1", "–")] == ["≥ 0.9", "≤ −0.9", "= 1", "–"]


def test_a_run_without_what_is_explored_keeps_its_printed_figures(
    smoke: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(smoke, out)
    (the_run(out, "swissroll").path / "results" / "lines.nc").unlink()
    page = write_page(out).read_text(encoding="utf-8")
    assert "for the interactive part: basinscope run swissroll" in caplog.text
    assert 'id="exhibit-swissroll"' not in page
    assert 'id="exhibit-image_minima"' in page
    assert page.count("<figure>") == 11
    assert '<details class="printed" id="figure-6-swissroll" open>' in page
    assert 'data-part="poison"' not in page
    assert 'data-part="surfaces" data-exhibits="image_minima"' in page


def test_names_of_scripts_and_results_do_not_reach_the_page_as_code(smoke: Path) -> None:
    page = (smoke / "index.html").read_text(encoding="utf-8")
    packed = re.findall(r'<script type="text/plain" id="(exhibit-[^"]*|plotly)">(.*?)</script>', page, re.S)
    assert len(packed) == len(NAMES) + 1
    for _, text in packed:
        assert re.fullmatch(r"[A-Za-z0-9+/=]+", text)
