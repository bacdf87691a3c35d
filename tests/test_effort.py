"""Regular expressions and CEL that are made to take for ever: refused with a reason, or done soon."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samovar.errors import ExpressionError, FaultsError, Place, TooLargeError, UsageError
from samovar.expressions.expression import Expression
from samovar.expressions.patterns import Pattern, PatternError
from samovar.language.parameter_list import read_parameters
from tests.growth import assert_grows_with_size, cpu_s

pytestmark = pytest.mark.xdist_group("cpu")

HERE = Place(path=None, line=1, column=1)
SOON = 200
"""As many times the reference below is more than the bounds allow, on any machine."""


@cache
def reference_s() -> float:
    """CPU seconds of ninety thousand steps of a plain expression."""
    plain = Expression.parse("xs.all(a, xs.all(b, a + b >= 0))", HERE)
    return min(cpu_s(lambda: plain.evaluate({"xs": list(range(300))})) for _ in range(3))


def check_soon(work: Callable[[], object]) -> None:
    assert cpu_s(work) < SOON * reference_s()


def evaluated(expression: str, **variables: object) -> object:
    """The value, or the error."""
    values: list[object] = []

    def evaluate() -> None:
        try:
            values.append(Expression.parse(expression, HERE).evaluate(variables))
        except (ExpressionError, FaultsError, TooLargeError) as error:
            values.append(error)

    check_soon(evaluate)
    return values[0]


@pytest.mark.parametrize(
    ("text", "atoms"),
    [
        ("", 0),
        ("abc", 3),
        ("[a-z]+", 1),
        ("[]a]{3}", 3),
        (r"\w{10}", 10),
        (r"a{2,5}", 5),
        (r"a{5,}", 5),
        (r"\{5\}", 3),
        (r"(ab){10}", 20),
        (r"((a{10}){10}){10}", 1000),
        (r"\x{41}{3}", 3),
    ],
)
def test_a_pattern_has_as_many_atoms_as_its_repetitions_written_out(text: str, atoms: int) -> None:
    assert Pattern.parse(text).atoms == atoms


@pytest.mark.parametrize(
    "text",
    [
        "(a+)+", "(a|a)*b", "(a|aa)+c", "(.*)*x", "([a-zA-Z]+)*9", r"(\w+\s?)*\?", "(x+x+)+y",
        "a?" * 100 + "a" * 100, "[ab]*a[ab]{400}", "(a{1,30}){1,30}b",
    ],
)  # fmt: skip
def test_a_catastrophic_pattern_takes_time_that_grows_with_the_text_or_is_refused(text: str) -> None:
    for piece in ("a", "ab", "abbaabab"):

        def prepare(size: int, piece: str = piece) -> Callable[[], object]:
            value = piece * (size // len(piece)) + "!"

            def match() -> None:
                try:
                    assert Pattern.parse(text).matches_whole(value) is False
                except PatternError as error:
                    assert "takes too long" in str(error)

            return match

        assert_grows_with_size(prepare, 50_000)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(", "unclosed group"),
        ("a)|(b", "unopened group"),
        ("[[a]", "unclosed character class"),
        ("(?=a)", "look-around"),
        (r"(a)\1", "backreferences"),
        ("((a{100}){100}){100}", "expands to"),
        (r"\pL{10000}" * 3, "expands to too many"),
        ("(" * 101 + ")" * 101, "nested more than 100 deep"),
        ("[" * 22 + "a" + "]" * 22, "nested more than 20 deep"),
        ("a" + "*" * 21, "repeats repetitions"),
        (r"\p{Greek}", "general categories"),
        ("[a-z&&b]", "not supported"),
        ("a{3,2}", "ends before it begins"),
        ("((((a{1000}){1000}){1000}){1000}){1000}", "expands to"),
        ("a" * 1001, "more than 1000 characters"),
        ("a{99999999999999}", "expands to"),
    ],
)
def test_a_pattern_that_cannot_be_used_says_why(text: str, reason: str) -> None:
    with pytest.raises(PatternError, match=reason):
        Pattern.parse(text)


def test_a_pattern_means_the_whole_text() -> None:
    assert Pattern.parse("a|b").matches_whole("b")
    assert not Pattern.parse("a|b").matches_whole("ab")
    assert not Pattern.parse("a").matches_whole("a\n")
    assert Pattern.parse("(?i)ä+").matches_whole("ÄÄ")


@pytest.mark.slow
def test_a_wrong_pattern_is_a_fault_of_its_parameter_and_a_long_value_an_error() -> None:
    def at(*path: object) -> Place:
        return Place(path=Path("/".join(map(str, path))), line=1, column=1)

    _, (fault,) = read_parameters([{"name": "p", "pattern": "(?!x)"}], at)
    assert "look-around" in fault.message and str(fault.place.path) == "0/pattern"
    (read,), _ = read_parameters([{"name": "p", "pattern": "[ab]*a[ab]{400}"}], at)
    assert read.parse("ab" * 450 + "a") == "ab" * 450 + "a"
    with pytest.raises(UsageError, match=r"'p' cannot be used: it expands to 402 characters, .* of 100000"):
        read.parse("".join(random.Random(1).choices("ab", k=100_000)))


@given(st.text(alphabet=st.sampled_from(list("ab(){}[]|*+?.\\w^$1,9-:#")), max_size=40), st.text("ab"))
def test_any_text_is_a_pattern_or_an_error_and_never_slow(text: str, value: str) -> None:
    def match() -> None:
        try:
            Pattern.parse(text).matches_whole(value)
        except PatternError as error:
            assert str(error)

    check_soon(match)


MANY = list(range(300))
LONG = "ab" * 500_000


@pytest.mark.parametrize(
    "text",
    [
        "xs.map(a, xs.map(b, xs.map(c, a + b + c)))",
        "xs.all(a, xs.all(b, xs.all(c, xs.all(d, true))))",
        "xs.map(a, long)",
        "['aaaa']" + ".map(a, a + a)" * 60,
        "['aaaa']" + ".map(a, [a, a])" * 60,
        "[xs]" + ".map(a, xs.map(b, a))" * 10,
        "xs" + ".map(a, [a, xs])" * 100,
        "[1, 2]" + ".map(a, [1, 2]" * 25 + ".map(a, 1" + ")" * 26,
        "long" + " + long" * 280,
        "long.matches('([ab]{1,1000}a){1,10}c')",
        "long.matches('(a' + '{1000}){1000}')",
        r"long.matches('([ab]\x7b1,1000}a)\x7b1,10}c')",
        "matches(long, '([ab]{1,1000}a){1,10}c')",
        "long.matches(bomb)",
        "['([ab]{1,1000}a){1,10}c'].exists(p, long.matches(p))",
    ],
)
def test_an_expression_that_takes_very_long_is_given_up(text: str) -> None:
    error = evaluated(text, xs=MANY, long=LONG, bomb="([ab]{1,1000}a){1,10}c")
    assert isinstance(error, ExpressionError | TooLargeError)
    assert (
        re.search("takes too long|would take more than|too many characters", str(error))
        and error.place == HERE
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("xs.filter(x, x > 10).map(x, x + 1).size()", 289),
        ("xs.exists(a, few.exists(b, a == b))", True),
        ("records.filter(r, r.ok).map(r, r.name).size()", 1000),
        ("records.all(r, r.ok && r.name.startsWith(prefix))", True),
        ("few.map(a, few.map(b, a * b)).size()", 20),
        ("long.contains('ba') && long.size() > 3 && long.endsWith('b')", True),
        ("long.matches('^a.*b$')", True),
        ("(long + long).size()", 2_000_000),
        ("short.matches(pattern)", True),
        ("short.matches('^[a-z]+[' + digits + ']+$')", True),
        ("few.map(x, string(x)).exists(s, s.matches('^1.$'))", True),
    ],
)
def test_what_a_workflow_needs_is_not_refused(text: str, value: object) -> None:
    records = [{"ok": True, "name": f"name {n}", "text": "x" * 100} for n in range(1000)]
    given = {"xs": MANY, "few": list(range(20)), "records": records, "prefix": "name", "long": LONG}
    assert evaluated(text, **given, short="abc123", pattern="^[a-c]+[0-9]+$", digits="0-9") == value


@pytest.mark.parametrize(
    "text",
    [
        "(" * 64 + "1" + ")" * 64,
        "[" * 64 + "1" + "]" * 64,
        "{1:" * 64 + "1" + "}" * 64,
        "(1?" * 30 + "1" + ":2)" * 30,
        "1" + "+1" * 990,
        "x" + "&&x" * 600,
        "x" + ".x" * 900,
        "x" + "[0]" * 600,
        "'" + "a" * 1990 + "'",
        "f(" * 60 + "1" + ")" * 60,
        "!" * 64 + "x",
    ],
)
def test_an_expression_as_large_as_may_be_is_read_soon(text: str) -> None:
    evaluated(text, x=[1])


STEPS = st.sampled_from(
    [".map(a, a + a)", ".map(b, [b, b])", ".filter(c, c != '')", ".map(d, xs)", ".map(e, xs.map(f, e))",
     ".map(g, xs.filter(h, h != g))", ".exists(i, i == long)", ".map(j, j.size())", ".map(k, long)"]
)  # fmt: skip


@given(st.lists(STEPS, max_size=12), st.integers(0, 60), st.integers(0, 20_000))
@settings(max_examples=60)
def test_no_chain_of_macros_takes_long(steps: list[str], items: int, size: int) -> None:
    evaluated("xs" + "".join(steps), xs=["x"] * items, long="x" * size)
