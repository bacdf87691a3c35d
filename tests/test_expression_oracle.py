"""Expressions mean what another engine of CEL, in Rust, says: generated ones, with generated values.

What is meant to differ is in one table, each difference with an example that shows it.
"""

from __future__ import annotations

import datetime
import logging
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cel
import pytest
from cel import stdlib
from hypothesis import example, given, settings
from hypothesis import strategies as st

from samovar.errors import ExpressionError, FaultsError, Place
from samovar.expressions.expression import Expression
from samovar.expressions.functions import FUNCTIONS
from samovar.expressions.meter import Meter
from samovar.expressions.patterns import Pattern, PatternError

logging.getLogger("cel").setLevel(logging.CRITICAL)  # it tells each error
HERE = Place(path=None, line=1)
Variables = Mapping[str, object]


@dataclass(frozen=True)
class Failed:
    """No value."""

    why: str


def ours(text: str, variables: Variables) -> object:
    try:
        return Expression.parse(text, HERE).evaluate(variables)
    except (ExpressionError, FaultsError) as error:
        return Failed(str(error))


def theirs(text: str, variables: Variables) -> object:
    context = cel.Context(dict(variables))
    for library in stdlib.EXTENSIONS.values():
        for name, function in library.items():
            if name in FUNCTIONS and name not in NATIVE:
                context.add_function(name, function)
    try:
        value = cel.compile(text).execute(context)
    except (ValueError, RuntimeError, TypeError, KeyError, ArithmeticError, IndexError) as error:
        return Failed(f"{type(error).__name__}: {error}")
    if has_bytes(value):
        return Failed("bytes are no value of a variable")
    return value.total_seconds() if isinstance(value, datetime.timedelta) else value


def has_bytes(value: object) -> bool:
    if isinstance(value, list | dict):
        return any(map(has_bytes, value.values() if isinstance(value, dict) else value))
    return isinstance(value, bytes)


NATIVE = frozenset(("contains", "size", "matches", "string", "int", "double"))
"""What the other engine has itself; `contains` of lists is in the table."""


def same(one: object, other: object) -> bool:
    if isinstance(one, Failed) or isinstance(other, Failed):
        return isinstance(one, Failed) and isinstance(other, Failed)
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Something that is meant to differ."""

    what: str
    text: str
    """An example."""
    is_it: Callable[[str, object, object], bool]
    """Whether a text with our value and theirs is such a case."""


def fails(*said: str) -> Callable[[str, object, object], bool]:
    """They fail and say one of these; here it has a value."""

    def is_it(text: str, our: object, their: object) -> bool:
        return isinstance(their, Failed) and any(one in their.why for one in said)

    return is_it


def has(*parts: str) -> Callable[[str, object, object], bool]:
    return lambda text, our, their: any(part in text for part in parts)


IN_PYTHON = re.compile(
    "|".join(
        rf"\b{re.escape(name)}\(" for one in stdlib.EXTENSIONS.values() for name in one if name not in NATIVE
    )
)
"""What the other engine calls in Python."""


DIFFERENCES = [
    Difference(
        what="whole and fractional numbers are computed together",
        text="1 + 1.5",
        is_it=fails(
            "No such overload",
            "Unsupported operation: int",
            "Unsupported operation: float",
            "type float cannot be used",
        ),
    ),
    Difference(
        what="an index below zero counts from the end",
        text="[1, 2][-1]",
        is_it=fails("index out of bounds: -"),
    ),
    Difference(
        what="the smallest whole number has no opposite, which they wrap around",
        text="-(-9223372036854775808)",
        is_it=lambda text, our, their: isinstance(our, Failed) and "64 bits" in our.why,
    ),
    Difference(
        what="`-` of a truth is an error, which they take for `!`",
        text="-true",
        is_it=lambda text, our, their: isinstance(our, Failed) and "`-` takes a number" in our.why,
    ),
    Difference(
        what="a key stands once in a map, and is a text or a whole number",
        text="{true: 1}",
        is_it=lambda text, our, their: isinstance(our, Failed) and "key" in our.why.lower(),
    ),
    Difference(
        what="string() makes a text of a truth, int() seconds of a time",
        text="string(true)",
        is_it=fails("function: 'string'", "function: 'int'"),
    ),
    Difference(
        what="`contains` is for lists and maps, too",
        text="[1].contains(1)",
        is_it=fails("function: 'contains'"),
    ),
    Difference(
        what="functions take what the table says, where theirs in Python take whatever Python does",
        text="min(true, 2)",
        is_it=lambda text, our, their: isinstance(our, Failed) and IN_PYTHON.search(text) is not None,
    ),
    Difference(
        what="two signs before a value ask twice for a truth or a number, where they take none of them",
        text="!!n",
        is_it=lambda text, our, their: (
            isinstance(our, Failed) and re.search(r"!\W*!|-\W*-", text) is not None
        ),
    ),
    Difference(
        what="a duration below zero has a text",
        text="string(duration('-1m'))",
        is_it=has("duration('-"),
    ),
    Difference(
        what="a list and a map cannot be added, which gives them the keys",
        text="[1] + {'a': 2}",
        is_it=lambda text, our, their: isinstance(our, Failed) and "add a list and a map" in our.why,
    ),
    Difference(
        what="an error for one item of `all` does not count where another decides, as CEL is defined",
        text="[0, 1].all(i, 1 / i > 5)",
        is_it=lambda text, our, their: isinstance(their, Failed) and "all(" in text,
    ),
    Difference(
        what="there are no unsigned numbers",
        text="1u",
        is_it=lambda text, our, their: re.search(r"\du|uint\(", text) is not None,
    ),
    Difference(
        what="there are no optional values: `default(path, value)`",
        text="optional.of(1).orValue(2)",
        is_it=has("optional."),
    ),
    Difference(
        what="`default(path, value)`",
        text="default(m.none, 2)",
        is_it=has("default("),
    ),
    Difference(
        what="sizes are in characters",
        text="size('hä')",
        is_it=lambda text, our, their: not text.isascii(),
    ),
    Difference(
        what="a duration keeps its nanoseconds",
        text="duration('-1ns')",
        is_it=has("ns'"),
    ),
    Difference(
        what="a duration beyond 64 bits is an error, which they cut off",
        text="duration('99999999999h')",
        is_it=has("99999999999h"),
    ),
    Difference(
        what="names have letters of any script",
        text="größe",
        is_it=lambda text, our, their: not text.isascii(),
    ),
    Difference(
        what="words that CEL keeps for later are names",
        text="package + 1",
        is_it=has("package"),
    ),
]
EXAMPLES: Variables = {"n": 0, "m": {"a": 1}, "größe": 3, "package": 1}


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda one: one.what)
def test_what_is_meant_to_differ_differs(difference: Difference) -> None:
    our, their = ours(difference.text, EXAMPLES), theirs(difference.text, EXAMPLES)
    assert difference.is_it(difference.text, our, their)
    assert not same(our, their) or "seconds" in difference.what


def of(texts: str) -> st.SearchStrategy[str]:
    """One of some texts that have two blanks or a line's end between them."""
    return st.sampled_from(re.split(r"\s{2,}", texts.strip()))


NUMBERS = st.one_of(
    st.integers(-5, 20), st.sampled_from([2**63 - 1, -(2**63), 2**62, 10**15]), st.floats(-1e6, 1e6, width=32)
)
TEXTS = st.text("abc yesNO.10", max_size=6)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES: st.SearchStrategy[object] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(["a", "b", "size"]), inner, max_size=3)
    ),
    max_leaves=6,
)
VARIABLES = st.fixed_dictionaries(
    {
        "n": st.integers(-5, 20),
        "f": st.floats(-100, 100, width=16),
        "s": TEXTS,
        "t": st.booleans(),
        "xs": st.lists(st.integers(-3, 5), max_size=5),
        "names": st.lists(TEXTS, max_size=4),
        "m": st.dictionaries(st.sampled_from(["a", "b"]), SCALARS, max_size=2),
        "v": VALUES,
    }
)
LEAVES = of(r"""
    n  f  s  t  xs  names  m  v  1  0  -3  2.5  1e3  .5  0x1F  true  false  null  'a'  "yes"  ''
    []  {}  m.a  m['b']  v.a  xs[0]  names[1]  9223372036854775807  r'\d'  '\n\x41'  b'a'  i
    -9223372036854775808  '''x'y'''
""")
BINARY = st.sampled_from(
    ["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "&&", "||", "in", "&&", "||", "=="]
)
METHODS = of(r"""
    contains(%s)  startsWith(%s)  endsWith(%s)  size()  trim()  lowerAscii()  upperAscii()
    charAt(%s)  indexOf(%s)  lastIndexOf(%s)  substring(%s)  substring(0, %s)  all(i, %s)
    exists(i, %s)  exists_one(i, %s)  filter(i, %s)  map(i, %s)  map(i, t, %s)  a  b
""")
CALLS = of(r"""
    size(%s)  int(%s)  double(%s)  string(%s)  min(%s, 2)  max(%s)  sum(%s)  math.abs(%s)  bool(%s)
    math.sign(%s)  math.ceil(%s)  math.floor(%s)  math.round(%s)  math.trunc(%s)  math.sqrt(%s)
    math.isNaN(%s)  math.greatest(%s, n)  math.least(%s, f)  dyn(%s)  has(m.a) && %s  !%s  -%s
    (%s)  [%s]  [%s, 1]  {'a': %s}  bytes(%s)  (%s)[0]  (%s)['a']  (%s)[n]
""")
EXPRESSIONS: st.SearchStrategy[str] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, BINARY, inner).map(lambda one: f"{one[0]} {one[1]} {one[2]}"),
        st.tuples(inner, BINARY, inner).map(lambda one: f"({one[0]} {one[1]} {one[2]})"),
        st.tuples(CALLS, inner).map(lambda one: one[0] % one[1]),
        st.tuples(inner, METHODS, inner).map(
            lambda one: f"({one[0]}).{one[1] % one[2] if '%s' in one[1] else one[1]}"
        ),
        st.tuples(inner, inner, inner).map(lambda one: f"({one[0]} ? {one[1]} : {one[2]})"),
    ),
    max_leaves=8,
)


@pytest.mark.slow
@settings(max_examples=400)
@given(EXPRESSIONS, VARIABLES)
@example("xs.map(i, xs.map(i, i + 1))", {"xs": [1, 2]})
@example("n % -1", {"n": -(2**63)})
@example("1 / 0 == 1 || true", {})
@example("false && 1 / 0 == 1 || s || !s || 1 == 1", {"s": ""})
@example("xs.exists(i, 1 / i == 1) && !xs.all(i, 1 / i > 5)", {"xs": [0, 1]})
@example("xs.exists(i, 1 / i == 7)", {"xs": [0, 1]})
@example("-7 / 2 + -7 % 2", {})
@example("1.0 / 0.0 == -1.0 / 0.0", {})
@example("[1, 2] == [1.0, 2.0] && {'a': 1} == {'a': 1.0}", {})
def test_a_value_is_that_of_another_engine(text: str, variables: dict[str, Any]) -> None:
    variables = {"i": 7, **variables}
    our, their = ours(text, variables), theirs(text, variables)
    if same(our, their) or any(one.is_it(text, our, their) for one in DIFFERENCES):
        return
    raise AssertionError(f"{text}\nwith {variables}\nhere: {our}\nthere: {their}")


@pytest.mark.parametrize(
    "text",
    [
        "timestamp('2020-02-29T23:59:59.5Z').getDayOfYear()",
        "timestamp('2020-02-29T01:30:00+02:00').getHours()",
        "timestamp('2020-02-29T01:30:00-02:00').getDayOfWeek()",
        "timestamp('2020-02-29T01:30:00Z').getFullYear()",
        "timestamp('2020-02-29T01:30:00Z').getMonth()",
        "timestamp('2020-02-29T01:30:00Z').getDate()",
        "timestamp('2020-02-29T01:30:00Z').getDayOfMonth()",
        "timestamp('2020-02-29T01:30:00.123Z').getMilliseconds()",
        "timestamp('2020-02-29T01:30:00Z') < timestamp('2020-02-29T01:30:00+01:00')",
        "timestamp('2020-02-29T01:30:00Z') == timestamp('2020-02-29T02:30:00+01:00')",
        "timestamp('2020-03-01T00:00:00Z') - timestamp('2020-02-29T00:00:00Z')",
        "timestamp('2020-03-01T00:00:00Z') - duration('1.5h') == timestamp('2020-02-29T22:30:00Z')",
        "string(timestamp('2020-02-29T01:30:00.120+02:00'))",
        "timestamp('2020-02-30T00:00:00Z')",
        "timestamp('2020-02-29')",
        "duration('1h30m5s') + duration('-2.25s')",
        "duration('1h30m5s').getMinutes()",
        "duration('1h30m5s').getHours()",
        "duration('-90s').getSeconds()",
        "duration('1.5s').getMilliseconds()",
        "string(duration('1h0m1.5s'))",
        "string(duration('250ms'))",
        "duration('1.5')",
        "duration('1h') > duration('59m')",
    ],
)
def test_times_are_those_of_another_engine(text: str) -> None:
    assert same(ours(text, {}), theirs(text, {})), (ours(text, {}), theirs(text, {}))


# Regular expressions.

MATCH = cel.compile("text.matches(pattern)")


def their_match(pattern: str, text: str) -> object:
    try:
        return MATCH.execute({"text": text, "pattern": pattern})
    except RuntimeError as error:
        return Failed(str(error))


def our_match(pattern: str, text: str) -> object:
    try:
        return Pattern.parse(pattern).is_in(text, Meter())
    except PatternError as error:
        return Failed(str(error))


ATOMS = of(r"""
    a  b  ab  .  [ab]  [^a]  [a-c]  \w  \W  \d  \D  \s  \S  ^  $  \b  \B  é  \.  \n  \x41  \x{e9}
    \u00e9  \p{L}  \pN  \P{Lu}  [[:alpha:]]  [^[:digit:]_]  [\w-]  []a]  [a-]  \A  \z  (?i)  (?s)
    (?m)  [\n]  É  ß  _  -  1  (?-i)  K  [^\W_]
""")
REPEATS = st.sampled_from(
    ["", "", "", "*", "+", "?", "{2}", "{1,3}", "{0}", "{2,}", "*?", "+?", "??", "{3,1}", "**"]
)
PATTERNS: st.SearchStrategy[str] = st.recursive(
    st.tuples(ATOMS, REPEATS).map("".join),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("".join),
        st.lists(inner, min_size=1, max_size=3).map("|".join),
        st.tuples(
            st.sampled_from(["(%s)", "(?:%s)", "(?i:%s)", "(?P<n>%s)", "(?s-m:%s)", "(%s"]), inner, REPEATS
        ).map(lambda one: one[0] % one[1] + one[2]),
    ),
    max_leaves=10,
)
SUBJECTS = st.text("aAbBc1é É_-.\nßKk\u212a", max_size=12)


@settings(max_examples=500)
@given(PATTERNS, SUBJECTS)
@example("(a|b)*?c$", "abbac")
@example("^$", "")
@example("(?m)^b$", "a\nb\nc")
@example("\\bé\\b", "a é b")
@example("(?i)straße", "STRASSE")
@example("(a*)*b", "aaac")
@example("(?:a?){3}$", "aaaa")
@example("", "x")
@example("a||b", "c")
def test_a_pattern_matches_what_it_matches_in_rust(pattern: str, text: str) -> None:
    our, their = our_match(pattern, text), their_match(pattern, text)
    if pattern.count("(?P<n>") > 1 and isinstance(their, Failed):
        return  # names of groups mean nothing here
    assert same(our, their), (pattern, text, our, their)


@settings(max_examples=300)
@given(st.text(alphabet=list("ab(){}[]|*+?.\\w^$1,9-:#&~pL<=!P"), max_size=14), st.text("ab1-", max_size=6))
def test_any_text_is_a_pattern_in_both_or_in_neither(pattern: str, text: str) -> None:
    our, their = our_match(pattern, text), their_match(pattern, text)
    if isinstance(our, Failed) and ("not supported" in our.why or "within brackets" in our.why):
        return
    assert same(our, their), (pattern, text, our, their)
