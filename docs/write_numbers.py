"""Write the numbers that come from runs into README and docs, or check them.

    python docs/write_numbers.py                # fill every marked number and table
    python docs/write_numbers.py --check        # exit code 1; names file, line, is and should be
    python docs/write_numbers.py --take out/swissroll/claims.json --as swissroll-quick-seed0
    python docs/write_numbers.py --take output-of-a-benchmark.txt --as swissroll_speed-epyc

In Markdown, a number reads `<!--n SET/ID [MODE] [FORMAT]-->…<!--/n-->`; a table lies between `<!--table NAME-->` and
`<!--/table-->`. `docs/numbers/quoted.toml` lists the sets of files, the claims and benchmark rows that are quoted, and
the tables; each `docs/numbers/*.json` holds one run.

Modes: `one` (default), `each` (file by file), `range` (smallest to largest measured value), `spread` (smallest to
largest spread), `inverse`, `num`, `of` (39 of 41), `holds` (file by file, missed targets marked). Formats: `.1%`, `.1p`
(percentage points), `+.2f`, `,.0f`, `g3` (significant digits), `time` and `min` (of seconds), or text with `{}`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from stored_numbers import Numbers, NumbersError
from take_numbers import take

DOCS = Path(__file__).parent
SPAN = re.compile(r"<!--n (?P<spec>[^>]*?)-->(?P<text>.*?)<!--/n-->", re.S)
TABLE = re.compile(r"<!--table (?P<name>\S+)-->\n(?P<text>.*?)<!--/table-->", re.S)


def fill(text: str, numbers: Numbers, name: str) -> Iterator[tuple[int, int, str, str]]:
    """Compare every marked number and table of a document with the data.

    Yields:
        Where the text of a mark begins and ends, what stands there, what should.

    Raises:
        NumbersError: A mark is wrong; the message names file and line.
    """
    for pattern in (SPAN, TABLE):
        for match in pattern.finditer(text):
            try:
                if pattern is TABLE:
                    should = "\n" + numbers.table(match["name"]) + "\n"
                else:
                    should = numbers.span(match["spec"])
                    if not text[text.rfind("\n", 0, match.start()) + 1 : match.start()].strip():
                        raise NumbersError("a mark that begins a line stops Markdown there; put a word before it")
            except NumbersError as error:
                raise NumbersError(f"{name}:{line_of(text, match.start())}: {error}") from None
            yield match.start("text"), match.end("text"), match["text"], should
    left = TABLE.sub("", SPAN.sub("", text))
    if broken := re.search(r"<!--/?(?:n|table)\b.*", left):
        raise NumbersError(f"{name}: a mark is not closed, or not opened: {broken[0]}")


def line_of(text: str, place: int) -> int:
    """Line of a place in a text, counted from 1."""
    return text.count("\n", 0, place) + 1


def documents(root: Path) -> list[Path]:
    """README and everything beside this file."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def write(root: Path, *, check: bool = False) -> list[str]:
    """Fill all documents, or only say what is wrong in them.

    Returns:
        One line for each number or table row that was not as it should be.
    """
    numbers, wrong = Numbers(root / "docs" / "numbers"), []
    for path in documents(root):
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(root).as_posix()
        for start, end, present, should in sorted(fill(text, numbers, name), reverse=True):
            if present != should:
                wrong += differences(name, line_of(text, start), present, should)
                text = text[:start] + should + text[end:]
        if not check:
            path.write_text(text, encoding="utf-8")
    return wrong


def differences(name: str, line: int, present: str, should: str) -> list[str]:
    """Name the lines in which two texts differ."""
    old, new = present.split("\n"), should.split("\n")
    if len(old) != len(new):
        return [f"{name}:{line}: the table has {len(old) - 2} lines, should have {len(new) - 2}"]
    pairs = zip(old, new, strict=True)
    return [f'{name}:{line + k}: is "{a}", should be "{b}"' for k, (a, b) in enumerate(pairs) if a != b]


def main(arguments: list[str] | None = None) -> int:
    """Do what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a number is not as stored")
    parser.add_argument("--take", type=Path, metavar="FILE", help="claims.json, or the saved output of a benchmark")
    parser.add_argument("--as", dest="name", metavar="NAME", help="name of the stored file")
    parser.add_argument("--root", type=Path, default=DOCS.parent, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if (options.take is None) != (options.name is None):
        parser.error("--take and --as go together")
    try:
        if options.take:
            sys.stdout.write(f"{take(options.take, options.name, options.root)}\n")
            return 0
        wrong = write(options.root, check=options.check)
    except (NumbersError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.writelines(f"{line}\n" for line in wrong)
    return int(options.check and bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
