"""Expressions: conditions and computed values."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.errors import ExpressionError, FaultsError, Place, TooLargeError
from samovar.expressions.expression import Expression
from samovar.expressions.meter import Meter
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


def test_what_a_choice_does_not_take_need_not_be_there() -> None:
    assert value("ok ? 1 : later", ok=True) == 1
    assert value("ok ? later.x[0] : [ok ? later : 2]", ok=False) == [2]
    assert value("ok ? default(later, 3) : later", ok=True) == 3
    with pytest.raises(ExpressionError, match=r"no variable 'latr'\. Did you mean 'late'") as caught:
        value("ok ? 1 : latr", ok=False, late=2)
    assert caught.value.place is not None and caught.value.place.column == HERE.column + 9


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


@pytest.mark.slow
def test_functions_count_for_the_bound() -> None:
    with pytest.raises(ExpressionError, match="takes too long"):
        value("l.all(a, l.all(b, l.contains(a) && b != ''))", l=[str(n) for n in range(500)])


# Paths that need not lead anywhere.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("default(m.a.b, 0)", 1),
        ("default(m.a.x, 0)", 0),
        ("default(m.x.y.z, 'none')", "none"),
        ("default(m['a']['b'], 0)", 1),
        ("default(xs[1], 7)", 6),
        ("default(xs[5], 7)", 7),
        ("default(xs[-1], 7)", 6),
        ("default(n.x, 0)", 0),
        ("default(nothing.x, 0)", 0),
        ("default(v.tokens, 0) + default(v.words, 1)", 6),
        ("default(not_there, m.a.b) + 1", 2),
        ("default(m.empty, 1)", None),
        ("default(not_yet, 'x')", "x"),
        ("xs.map(x, default(m.x, x))", [5, 6]),
    ],
)
def test_a_default_stands_for_a_step_that_is_not_there(text: str, expected: object) -> None:
    variables = {"m": {"a": {"b": 1}, "empty": None}, "xs": [5, 6], "n": 3, "nothing": None, "v": ANSWER}
    assert value(text, **variables) == expected


def test_what_is_wrong_within_a_default_is_wrong() -> None:
    for text in ("default(xs[1 / 0], 7)", "default(m[other], 7)"):
        with pytest.raises(ExpressionError):
            value(text, xs=[1], m={})
    expression = Expression.parse("default(a.b, c) + d + default(d.e, 1)", HERE)
    assert (sorted(expression.names), sorted(expression.defaulted)) == (["a", "c", "d"], ["a"])


@pytest.mark.parametrize("text", ["a.b ?: 1", "a.b ?? 1", "a?.b", "(a.b ?: 1) + 2"])
def test_the_signs_of_other_languages_for_a_default_are_told(text: str) -> None:
    with pytest.raises(FaultsError, match=r"There is no `\?.` here: `default\(a(\.b)?, value\)`"):
        value(text)


# Numbers.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2.5", 3.5),
        ("3 * 0.5", 1.5),
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("-7 % 2", -1),
        ("7 / 2.0", 3.5),
        ("9007199254740993 == 9007199254740992.0", False),
        ("[1, 2.0] == [1.0, 2]", True),
        ("1 in [1.0]", True),
        ("max(1, 2.5) + min(3, 0.5)", 3.0),
        ("sum([1, 2.5])", 3.5),
        ("-9223372036854775808", -(2**63)),
        ("duration('-1ns') < duration('0s')", True),
        ("type(1) == int && type(1.5) != int && type('') in [string, bytes]", True),
    ],
)
def test_numbers_of_both_kinds_are_computed_together(text: str, expected: object) -> None:
    assert value(text) == expected
    assert type(value(text)) is type(expected)


@pytest.mark.parametrize(
    "text",
    [
        "-(-9223372036854775808)", "9223372036854775807 + 1", "-9223372036854775808 / -1", "big", "big + 1",
        "m.big", "math.abs(-9223372036854775808)", "sum([9223372036854775807, 1])", "int(1e19)", "xs",
        "duration('99999999999h')", "duration('290y')", "timestamp('9999-12-31T23:00:00Z') + duration('2h')",
    ],
)  # fmt: skip
def test_what_goes_beyond_64_bits_is_an_error(text: str) -> None:
    with pytest.raises(ExpressionError):
        value(text, big=2**63, m={"big": -(2**63) - 1}, xs=[2**70])


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_the_quotient_and_the_rest_make_the_number(a: int, b: int) -> None:
    if b in (0, -1):
        return
    assert value("a / b * b + a % b == a", a=a, b=b) is True
    assert value("a < b", a=a, b=b) == (a < b) == value("double(a) < b || a < b", a=a, b=b)


def test_sizes_and_places_are_in_characters() -> None:
    text = "hä😀ß"
    assert value("size(s)", s=text) == 4
    assert value("s.substring(0, size(s) - 1) + s.charAt(size(s) - 1)", s=text) == text
    assert value("s.indexOf('ß')", s=text) == 3


# Names.


def test_names_have_letters_of_any_script_in_one_form() -> None:
    composed, decomposed = "gr\u00f6\u00dfe", "gro\u0308\u00dfe"
    for written in (composed, decomposed):
        expression = Expression.parse(f"{written} + m.{written}", HERE)
        assert expression.names == {composed, "m"}
        assert expression.evaluate({composed: 1, "m": {decomposed: 2}}) == 3
        assert Expression.parse(f"has(m.{written})", HERE).evaluate({"m": {decomposed: 2}}) is True
        assert Expression.parse(f"has(m.{written}x)", HERE).evaluate({"m": {decomposed: 2}}) is False
    assert value("名前 == 'x' && नाम == 1", 名前="x", नाम=1) is True
    assert value("package + import + as", **{"package": 1, "import": 2, "as": 3}) == 6


@pytest.mark.parametrize(
    ("text", "said", "column"),
    [
        ("x == “yes”", '`“` is not the quote that it looks like: write `"`', 6),
        ("x == ‘yes’", "write `'`", 6),
        ("x – 1", "`–` is not the sign that it looks like: write `-`", 3),
        ("x ≥ 1", "write `>=`", 3),
        ("x ＝＝ 1", "`＝` is a wide character: write `=`", 3),
        ("x == 1\u200b", "invisible character here (U+200B)", 7),
        ("${x} == 1", "write name, not ${name}", 1),
        ("x == 'a\\d'", "has no meaning in quotes", 8),
        ("x == 'yes", "does not end", 6),
        ("x == 1.2.3", "an operator or the end is expected, found '.3'", 9),
        ("x == 12abc", "'12abc' is not a number", 6),
        ("x <> 1", "Write `!=` for unequal", 4),
        ("x is 1", "To compare, write `==`", 3),
        ("x.y(1, 2", "A comma or the bracket `)` is expected", 9),
        ("[1, 2", "the bracket `]` is expected", 6),
        ("x, y", "write several as a list", 2),
        ("x == 5u", "no `u` suffix", 6),
        ("9223372036854775808", "64 bits", 1),
        ("x == 9223372036854775809", "64 bits", 6),
        ("-9223372036854775809", "64 bits", 2),
        ("9" * 5000, "64 bits", 1),
        ("0xFFFFFFFFFFFFFFFFFF", "64 bits", 1),
        ("substring('a')", "takes 2 or 3 values, not 1", 1),
        ("xs.map(1, 2)", "`list.map(item, value)`", 4),
        ("has(x)", "has(answer.json)", 5),
        ("default(1, 2)", "the path of a value first", 9),
        ("optional.of(1)", "Did you mean 'default'", 10),
    ],
)
def test_mistakes_are_named_where_they_are(text: str, said: str, column: int) -> None:
    with pytest.raises(FaultsError) as caught:
        Expression.parse(text, Place(path=None, line=1))
    (fault,) = caught.value.faults
    assert said in fault.message
    assert fault.place.column == column


# Within other texts.


@pytest.mark.parametrize(
    ("text", "begin", "expression"),
    [
        ("a ${n + 1} b", 4, "n + 1"),
        ("${ {'a': {'b': '}'}}.a }", 2, "{'a': {'b': '}'}}.a"),
        ('x ${m["a}"]} y', 4, 'm["a}"]'),
        (r"x ${m[\"a}\"]} y", 4, r"m[\"a}\"]"),
        ("each x in xs.filter(x, x > 1) with a=1", 10, "xs.filter(x, x > 1)"),
        ("each x in xs at_once=2", 10, "xs"),
        ("in [1, 2], b := 3", 3, "[1, 2]"),
        ("in a == b = 3", 3, None),
        ("${(n)}", 2, "(n)"),
        ("${n", 2, "n"),
    ],
)
def test_an_expression_ends_where_nothing_goes_on(text: str, begin: int, expression: str | None) -> None:
    if expression is None:
        with pytest.raises(FaultsError):
            Expression.parse_first(text, begin, HERE)
        return
    found, end = Expression.parse_first(text, begin, HERE)
    assert found.text.strip() == expression == text[begin:end].strip()
    assert found.place == HERE.within(text, text.index(expression))


def test_what_follows_an_expression_is_not_read() -> None:
    found, end = Expression.parse_first("${x} “ \x00 '", 2, HERE)
    assert (found.text, end) == ("x", 3)
    quoted, _ = Expression.parse_first(r"${m[\"k\"]}", 2, HERE)
    assert quoted.evaluate({"m": {"k": 5}}) == 5


def test_a_text_compared_with_a_number_is_doubtful() -> None:
    doubts: list[tuple[str, Place]] = []
    expression = Expression.parse("true && best == 1", HERE)
    assert expression.evaluate({"best": "1"}, doubts=doubts) is False
    ((message, place),) = doubts
    assert "A text and a whole number are compared" in message and place.column == HERE.column + 8
    expression.evaluate({"best": 2}, doubts=doubts)
    assert len(doubts) == 1


# Effort.


def calls_of(work: Callable[[], object]) -> int:
    """How many functions some work calls, those written in C among them: the same on any machine."""
    count = 0

    def profile(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


HOSTILE = (
    ("x + ", "1"), ("x && ", "x"), ("x.y", ""), ("x[0]", ""), ("'a' + ", "'a'"), ("[[1], ", ""), ("{{", ""),
    ("(((x) ", ""), ("\"\"\"", ""), ("'''", ""), ("x == 'a", ""), ("\\\" ", ""), ("!-", "x"), ("f(", ""),
    ("a ? b : ", "c"), ("size(x) + ", "1"), ("“", ""), ("0.0.", ""), ("1e", ""), ("r'", ""), ("a, ", ""),
    ("// x\n", "1"), ("u\u0308", ""), ("x in [1, 2] || ", "x"), ("default(a.b, 1) + ", "1"), ("- ", "1"),
    ("xs.map(x, x) + ", "xs"),
)  # fmt: skip
"""What is written again and again, and what ends it."""


@pytest.mark.parametrize(("piece", "end"), HOSTILE, ids=lambda text: repr(text)[:20])
def test_reading_takes_steps_in_proportion_to_the_text(piece: str, end: str) -> None:
    def steps(size: int) -> int:
        text = piece * (size // len(piece)) + end

        def work() -> None:
            with contextlib.suppress(FaultsError):
                Expression.parse(text, HERE)
            with contextlib.suppress(FaultsError):
                Expression.parse_first(text, 0, HERE)

        return calls_of(work)

    small, large = steps(8_000), steps(16_000)
    assert large <= 2.3 * small + 200


DEEP = (
    ("a||a&&a==a+a*(", ")"), ("a||a&&a==a+a*[", "]"), ("(a?a:a||a&&a==a+a*(", "))"), ("a?", ":a"),
    ("xs.map(x,", ")"), ("xs.map(x,a||a&&a==a+a*", ")"), ("size(a||a==", ")"), ("!-", ""), ("{1:", "}"),
    ("(", ")"), ("xs[", "]"), ("a==(", ")"), ("has(a[", "].b)"), ("default(a[", "],1)"),
)  # fmt: skip
"""What nests, in each way that it can."""


@pytest.mark.parametrize(("before", "behind"), DEEP)
@pytest.mark.parametrize("times", [8, 32, 60, 64, 65, 1000])
def test_what_nests_too_deep_is_a_fault_wherever_it_is_read(before: str, behind: str, times: int) -> None:
    text = before * times + "1" + behind * times

    def deeper(frames: int) -> None:
        if frames:
            return deeper(frames - 1)
        try:
            expression = Expression.parse(text, HERE)
            expression.check({})
            with contextlib.suppress(ExpressionError):
                expression.evaluate({"a": True, "xs": [1]})
            assert times <= 64
        except FaultsError as error:
            assert times > 8 and re.search("at most 6", str(error))

    deeper(150)


@pytest.mark.slow
def test_the_longest_expression_is_read_and_evaluated() -> None:
    for text, expected in (
        ("+".join(["n"] * 30_000), 30_000),
        ("n" + " - 0" * 16_000, 1),
        ("&&".join(["t"] * 20_000), True),
        ("m" + ".m" * 30_000, None),
        ("n == " * 10_000 + "n", False),
    ):
        loop: dict[str, object] = {}
        loop["m"] = loop
        try:
            assert value(text, n=1, t=True, m=loop) == expected
        except ExpressionError as error:
            assert expected is None and "nested too deeply" in str(error)


@pytest.mark.parametrize(
    "text", ["xs.map(x, x + 1)", "s + s", "xs.filter(x, x > 0)", "s == t", "xs == ys", "s.lowerAscii()"]
)
def test_steps_grow_with_what_there_is(text: str) -> None:
    def steps(size: int) -> int:
        meter = Meter()
        xs, s = list(range(size)), "x" * (size * 1000)
        Expression.parse(text, HERE).evaluate({"xs": xs, "ys": [*xs], "s": s, "t": s + ""}, meter=meter)
        return meter.steps

    small, large = steps(2_000), steps(4_000)
    assert 1.7 * small <= large <= 2.3 * small


def test_an_evaluation_can_be_given_up() -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    expression = Expression.parse("xs.all(a, xs.all(b, true))", HERE)
    with pytest.raises(ExpressionError, match="was stopped"):
        expression.evaluate({"xs": list(range(2000))}, meter=Meter(stop=stop))
    assert asked == 4


def test_reading_expressions_imports_no_library() -> None:
    libraries = ["cel", "cffi", "jinja2", "lark", "liquid", "markdown_it", "pydantic", "rich", "yaml"]
    code = f"import sys, samovar.expressions.expression\nprint({{*{libraries}}} & {{*sys.modules}})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_what_is_made_is_bounded_in_bytes() -> None:
    meter = Meter(size_bytes=100)
    with pytest.raises(TooLargeError, match="would take more than"):
        Expression.parse("s + s", HERE).evaluate({"s": "x" * 60}, meter=meter)
    with pytest.raises(TooLargeError, match="would take more than"):
        value("xs.map(x, s)", xs=list(range(100)), s="x" * 1_000_000)
