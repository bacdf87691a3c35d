"""CEL expressions: conditions and computed values."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.errors import ExpressionError, FaultsError, Place
from samovar.expressions.expression import Expression
from samovar.values import Record

HERE = Place(path=None, line=3, column=10)
ANSWER = Record("YES it is", {"content": "YES it is", "tokens": 5})


def value(text: str, **variables: object) -> object:
    return Expression.parse(text, HERE).evaluate(variables)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n + 1", 6),
        ("n == 5.0", True),
        ("n + 1.5", 6.5),
        ("n / 2", 2),
        ("n / 2.0", 2.5),
        ("-n / 2", -2),
        ("n < 5.5 && 4.5 < n", True),
        ("size('häß😀')", 4),
        ("v.content.contains('YES') && v.contains('it')", True),
        ("v.includes('YES')", True),
        ("v.toLowerCase().includes('yes') && n === 5 && n !== 6", True),
        ("v == 'YES it is'", True),
        ("v['tokens'] + v.tokens", 10),
        ("v.tokens == 5 ? 'a' : 'b'", "a"),
        ("has(v.nothing)", False),
        ("v.json == null", True),
        ("size(v) + v.size()", 18),
        ("v.matches('(?i)yes')", True),
        ("xs.exists(v, v == n)", True),
        ("xs.map(v, v + n1)", [6, 7]),
        ("m.a[0].b", "deep"),
        ("{'k': v}.k", "YES it is"),
        ("n in xs", True),
        ("'v.tokens'", "v.tokens"),
        ("timestamp('2020-01-01T00:00:00Z')", "2020-01-01T00:00:00+00:00"),
    ],
)
def test_what_expressions_give(text: str, expected: object) -> None:
    variables = {"n": 5, "n1": 1, "v": ANSWER, "xs": [5, 6], "m": {"a": [{"b": "deep"}]}}
    assert value(text, **variables) == expected


def test_the_names_an_expression_reads_are_its_variables_only() -> None:
    text = (
        "a.b.contains(d) && xs.exists(e, e.f == g) || size(h) > 1 && 'i' != \"j\" && {k: l}.k == m[n] && true"
    )
    assert Expression.parse(text, HERE).names == {"a", "d", "xs", "g", "h", "k", "l", "m", "n"}


@pytest.mark.parametrize(
    ("text", "part", "column"),
    [
        ("n +", "the end", 13),
        ("a b", "an operator or the end is expected, found 'b'", 12),
        ("v.content ==", "the end", 22),
        ("", "", 10),
        ("(" * 65 + "1" + ")" * 65, "at most 64 deep", 74),
        ("-" * 100 + "1", "64 signs", 10),
        ("1" * 65_537, "65536 characters", 10),
        ("a ? b : " * 70 + "c", "64 ternaries", 10),
    ],
)
def test_syntax_faults_have_their_column(text: str, part: str, column: int) -> None:
    with pytest.raises(FaultsError) as caught:
        Expression.parse(text, HERE)
    (fault,) = caught.value.faults
    assert fault.code == "condition-syntax"
    assert part in fault.message
    assert (fault.place.line, fault.place.column) == (3, column)


def test_an_unknown_variable_is_named_with_the_nearest_also_where_it_would_not_matter() -> None:
    for text in ("verdct == 1", "true || verdct == 1"):
        with pytest.raises(ExpressionError, match=r"no variable 'verdct'\. Did you mean 'verdict'"):
            value(text, verdict=1)


@pytest.mark.parametrize(
    "text",
    [
        "1 / 0", "1 % 0", "n.x.y", "m.nothing", "xs[9]", "9223372036854775807 + 1", "b'bytes'",
        "n.contains('x')", "'a'.matches('(')", "int('x')",
    ],
)  # fmt: skip
def test_what_cannot_be_computed_is_an_expression_error(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        value(text, n=5, m={"a": 1}, xs=[1])
    assert "samovar_parts" not in str(caught.value)
    assert caught.value.place == HERE


@given(st.text(alphabet=st.sampled_from(list("abv.()[]{}?:,|&!=<>+-*/%'\"\\1 0_\nérux")), max_size=60))
def test_any_text_is_an_expression_or_a_fault(text: str) -> None:
    try:
        expression = Expression.parse(text, HERE)
    except FaultsError:
        return
    with contextlib.suppress(ExpressionError):
        expression.evaluate({"a": 1, "b": "x", "v": ANSWER})


@given(st.text())
def test_a_value_is_never_read_as_an_expression(text: str) -> None:
    assert value("x == y", x=text, y=text) is True
    assert value("x + '!'", x=text) == text + "!"


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("x = 1", "To compare, write `==`."),
        ("x == 1 and y", "Write `&&` for and."),
        ("x | y", "Write `||` for or."),
        ("not x", "Write `!` for not."),
        ("x <= 1 >", ""),
        ("a || b &&", ""),
        ("x == '=' +", ""),
    ],
)
def test_what_other_languages_write_is_told_in_cel(text: str, advice: str) -> None:
    with pytest.raises(FaultsError) as caught:
        Expression.parse(text, Place(path=None, line=1))
    message = caught.value.faults[0].message
    assert message.endswith(advice) if advice else "Write `" not in message and "`==`" not in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('answer.trim().lowerAscii() == "yes"', True),
        ('items.contains("x") && !items.contains("y")', True),
        ('table.includes("k")', True),
        ("math.abs(n) + max(1, 2)", 5),
        ("answer.substring(1, 4)", "YES"),
        ('math_or.contains("x") || math.round(1.5) == 2.0', True),
    ],
)
def test_functions_of_the_extensions(text: str, expected: object) -> None:
    variables = {"answer": " YES\n", "items": ["x"], "table": {"k": 1}, "n": -3, "math_or": "y"}
    assert value(text, **variables) == expected


@pytest.mark.parametrize(
    ("text", "column", "near"),
    [
        ('a.contians("x")', 3, "'contains'"),
        ("size(a) > 1 && len(a) > 2", 16, "'size'"),
        ("a.toLower() == b", 3, "'lowerAscii'"),
        ("maths.abs(a)", 7, "'math.abs'"),
    ],
)
def test_a_function_that_is_not_there_is_named_before_the_run(text: str, column: int, near: str) -> None:
    with pytest.raises(FaultsError) as caught:
        Expression.parse(text, HERE)
    [fault] = caught.value.faults
    assert (fault.code, fault.place.column) == ("unknown-function", HERE.column + column - 1)
    assert near in fault.message


@pytest.mark.parametrize("text", ["n.trim()", 'n.contains("x")', "word.charAt(9)", "min()", 'max(n, "a")'])
def test_a_function_that_cannot_take_a_value_says_so(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ExpressionError, match=r"takes a |out of range|at least one|Cannot compare"):
        value(text, n=3, word="x")
    assert capfd.readouterr().err == ""


def test_functions_count_for_the_bound() -> None:
    with pytest.raises(ExpressionError, match="takes too long"):
        value("l.all(a, l.all(b, l.contains(a) && b != ''))", l=[str(n) for n in range(500)])
