"""A small reader of JavaScript: where each function's body begins and ends.

It knows strings, template literals with expressions in them, comments, regular expressions and brackets. That is enough
to find functions, methods and arrows; it does not check that a program is valid.
"""

import re
from dataclasses import dataclass

_WORD = re.compile(r"[\w$]+")
_CONTROL = {"if", "for", "while", "switch", "catch", "with", "await"}
_BEFORE_REGEX = {
    *("return", "typeof", "case", "in", "of", "delete", "void", "throw", "new", "else", "do", "await", "yield"),
    "instanceof",
}
_CLOSES = {"(": ")", "[": "]", "{": "}"}


class ScanError(ValueError):
    """The reader lost its way; what it says of the file could be wrong."""


@dataclass(frozen=True)
class Body:
    """The body of a function."""

    line: int
    """Where it begins, counted from 1."""
    lines: int
    """Lines between its braces, or those of an arrow's expression."""


def bare(source: str) -> str:  # noqa: PLR0915
    """Blank out what is no code: comments, and the insides of strings, templates and regular expressions.

    Returns:
        As many characters in as many lines. An expression in a template stays, in braces of its own.

    Raises:
        ScanError: Something that was opened does not end.
    """
    out = list(source)

    def blank(begin: int, end: int) -> None:
        for k in range(begin, min(end, len(out))):
            if out[k] != "\n":
                out[k] = " "

    def end_of(mark: str, begin: int) -> int:
        end = source.find(mark, begin)
        if end < 0:
            raise ScanError(f"line {source.count(chr(10), 0, begin) + 1}: {mark!r} is missing")
        return end

    def template(k: int) -> int:
        """Go through a template from behind its first quote."""
        begin = k
        while k < len(source):
            if source[k] == "\\":
                k += 2
            elif source[k] == "`":
                blank(begin, k)
                return k + 1
            elif source.startswith("${", k):
                blank(begin, k + 1)
                begin = k = code(k + 2, "}")
            else:
                k += 1
        raise ScanError("a template does not end")

    def code(k: int, until: str) -> int:
        """Go through code up to a closing brace that was not opened in it, or to the end."""
        depth = 0
        last = ""
        while k < len(source):
            char = source[k]
            if source.startswith("//", k):
                end = source.find("\n", k)
                end = len(source) if end < 0 else end
                blank(k, end)
                k = end
                continue
            if source.startswith("/*", k):
                end = end_of("*/", k + 2) + 2
                blank(k, end)
                k = end
                continue
            if char == "`":
                k, last = template(k + 1), "`"
                continue
            if char in "'\"":
                end = _end_of_string(source, k)
                blank(k + 1, end)
                k, last = end + 1, char
                continue
            if char == "/" and (last == "" or last in _BEFORE_REGEX or last in "(,=:[!&|?{;+-*%<>~^"):
                end = _end_of_regex(source, k)
                blank(k + 1, end)
                k, last = end + 1, "/regex"
                continue
            if word := _WORD.match(source, k):
                k, last = word.end(), word[0]
                continue
            if char == "{":
                depth += 1
            elif char == "}":
                if depth == 0 and until:
                    return k + 1
                depth -= 1
            if not char.isspace():
                last = char
            k += 1
        if until or depth:
            raise ScanError("braces do not match")
        return k

    code(0, "")
    return "".join(out)


def _end_of_string(source: str, begin: int) -> int:
    k = begin + 1
    while k < len(source) and source[k] not in (source[begin], "\n"):
        k += 2 if source[k] == "\\" else 1
    if k >= len(source) or source[k] == "\n":
        raise ScanError(f"line {source.count(chr(10), 0, begin) + 1}: a string does not end")
    return k


def _end_of_regex(source: str, begin: int) -> int:
    k, in_class = begin + 1, False
    while k < len(source) and source[k] != "\n":
        if source[k] == "/" and not in_class:
            return k
        in_class = (in_class or source[k] == "[") and source[k] != "]"
        k += 2 if source[k] == "\\" else 1
    raise ScanError(f"line {source.count(chr(10), 0, begin) + 1}: a regular expression does not end")


def functions(source: str) -> list[Body]:
    """Find every function, method and arrow.

    Raises:
        ScanError: Brackets do not match, or something that was opened does not end.
    """
    code = bare(source)
    partner = _partners(code)
    found = []
    for k, char in enumerate(code):
        if char == "{" and _opens_function(code, k, partner):
            begin, end = (code.count("\n", 0, at) for at in (k, partner[k]))
            found.append(Body(begin + 1, max(1, end - begin - 1)))
        elif code.startswith("=>", k):
            begin = k + 2 + len(code[k + 2 :]) - len(code[k + 2 :].lstrip())
            if code[begin] != "{":
                end = _end_of_expression(code, begin, partner)
                last = len(code[:end].rstrip())
                found.append(Body(code.count("\n", 0, begin) + 1, code.count("\n", begin, last) + 1))
    return found


def _partners(code: str) -> dict[int, int]:
    """Match brackets, both ways."""
    partner: dict[int, int] = {}
    opened: list[int] = []
    for k, char in enumerate(code):
        if char in _CLOSES:
            opened.append(k)
        elif char in _CLOSES.values():
            if not opened or _CLOSES[code[opened[-1]]] != char:
                raise ScanError(f"line {code.count(chr(10), 0, k) + 1}: {char!r} closes nothing")
            begin = opened.pop()
            partner |= {begin: k, k: begin}
    if opened:
        raise ScanError(f"line {code.count(chr(10), 0, opened[-1]) + 1}: {code[opened[-1]]!r} is not closed")
    return partner


def _opens_function(code: str, brace: int, partner: dict[int, int]) -> bool:
    before = code[:brace].rstrip()
    if before.endswith("=>"):
        return True
    if not before.endswith(")"):
        return False
    word = re.search(r"([\w$]*)\s*$", code[: partner[len(before) - 1]])
    return word is not None and word[1] not in _CONTROL


def _end_of_expression(code: str, begin: int, partner: dict[int, int]) -> int:
    k = begin
    while k < len(code) and code[k] not in ",;)]}":
        k = partner[k] + 1 if code[k] in _CLOSES else k + 1
    return k
