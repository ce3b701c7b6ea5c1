"""The reader of JavaScript, on what misleads simple ones."""

import pytest

from tests.report.javascript import Body, ScanError, bare, functions


def _lines(source: str) -> list[tuple[int, int]]:
    return [(body.line, body.lines) for body in functions(source)]


@pytest.mark.parametrize(
    "source",
    [
        "const a = '}'; const b = \"{ ' }\"; const c = '\\'}';",
        "// a brace { and a `quote`\n/* } ' \" ` */ let a = 1;",
        "const a = /[/}]{2}\\/'/g.test(b); const c = b / 2 / d;",
        "const a = x.replaceAll('\"', '\"\"') + `{ ${`}${b}`} \\` } `;",
        "return /}/.test(a) ? `a${{ b: '}' }.b}c` : a / b;",
        "const a = b ? /\\{/ : c; if (d) { e = (f + 1) / 2; }",
    ],
)
def test_what_is_no_code_hides_its_brackets(source: str) -> None:
    code = bare(source)
    assert len(code) == len(source)
    assert code.count("\n") == source.count("\n")
    assert code.count("{") == code.count("}")
    assert functions(source) == []


def test_functions_methods_and_arrows_are_found() -> None:
    source = """function one(a = {}, { b } = { b: "}" }) {
  if (a) {
    return 1;
  }
  for (const c of a) {
    while (c) {}
  }
}
const two = async (d) => {
  return `${d.map((e) => {
    return e;
  })}`;
};
const three = {
  method(f) {
    return f;
  },
  get size() { return 0; },
  async *many() {
    yield 1;
  },
};
const four = () => ({
  g: [1, 2],
  h: "}",
}), five = 5;
try { one(); } catch (error) { two(); }
for await (const i of j) {
}
call((k) => k + 1, function () {
  return 2;
});
"""
    assert _lines(source) == [
        (1, 6),
        (9, 3),
        (10, 1),
        (15, 1),
        (18, 1),
        (19, 1),
        (23, 4),
        (30, 1),
        (30, 1),
    ]


def test_a_body_counts_the_lines_between_its_braces() -> None:
    long = "function f() {\n" + "  a();\n" * 81 + "}\n"
    assert functions(long) == [Body(1, 81)]
    assert functions("const f = () =>\n  a(\n    1,\n  );\n") == [Body(2, 3)]


@pytest.mark.parametrize("source", ["function f() {", "a = '", "a = `b${c}", "/* ", "a = /b", "f(]", "}"])
def test_what_does_not_end_is_an_error_and_no_guess(source: str) -> None:
    with pytest.raises(ScanError):
        functions(source)
