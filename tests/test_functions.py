"""Functions of expressions that shape texts, lists and data: what they give and refuse, and their bounds."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.errors import ExpressionError, Place, TooLargeError
from samovar.expressions.code_blocks import code_blocks
from samovar.expressions.expression import Expression
from samovar.expressions.formats import json_lines_of, json_lines_text, rows_of, rows_text
from samovar.expressions.meter import Meter
from samovar.expressions.types import ANYTHING, TEXT, WHOLE, list_of
from tests.growth import assert_grows_with_size

HERE = Place(path=None, line=1)


def value(text: str, **variables: object) -> object:
    return Expression.parse(text, HERE).evaluate(variables)


PATTERNS = st.recursive(
    st.sampled_from(["a", "b", "[ab]", ".", "^", "$", r"\b", "c"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda both: f"(?:{both[0]}|{both[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{1,2}", "{1,2}?", "{2}"])).map(
            lambda both: f"(?:{both[0]}){both[1]}"
        ),
    ),
    max_leaves=6,
)


@given(PATTERNS, st.text("abc ", max_size=8))
def test_the_first_match_begins_where_python_says(pattern: str, text: str) -> None:
    # What is empty may be repeated in Python once more than here, so only where a match begins is the same.
    wanted = re.search(pattern.replace("$", r"\Z"), text)
    found = value("t.find(p)", t=text, p=pattern)
    if wanted is None:
        assert found == ""
    elif not re.search(r"\)[*+?{]", pattern):
        assert found == wanted.group()
    else:
        assert text.find(str(found), wanted.start()) == wanted.start()


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("<.+>", ["<a><b>"]),
        ("<.+?>", ["<a>", "<b>"]),
        ("(?U)<.+>", ["<a>", "<b>"]),
        ("a|ab", ["a", "ab"]),
        ("[0-9]{1,2}?", ["1", "2"]),
        ("x*", []),
        (r"\b\w", ["a", "b", "1"]),
    ],
)
def test_greed_and_the_order_of_alternatives_count(pattern: str, found: list[str]) -> None:
    text = {"a|ab": "a cab"}.get(pattern, "<a><b> 12")
    wanted = ["a", "a"] if pattern == "a|ab" else found
    assert value("t.findAll(p)", t=text, p=pattern) == wanted


@given(st.text("a,;", max_size=12), st.sampled_from([",", ",;", "a", ""]), st.integers(-1, 5))
def test_what_is_split_can_be_joined_again(text: str, separator: str, most: int) -> None:
    parts = value("split(t, s, n)", t=text, s=separator, n=most)
    assert isinstance(parts, list)
    if most:
        assert value("join(p, s)", p=parts, s=separator) == text
        assert most < 0 or len(parts) <= most
    else:
        assert parts == []


@given(
    st.text("ab", max_size=12),
    st.sampled_from(["", "a", "ab"]),
    st.text("xy", max_size=2),
    st.integers(-1, 3),
)
def test_what_is_replaced_is_what_python_replaces(text: str, old: str, new: str, most: int) -> None:
    assert value("t.replace(o, w, n)", t=text, o=old, w=new, n=most) == text.replace(old, new, most)


@given(st.lists(st.integers(-5, 5) | st.floats(-5, 5)))
def test_lists_are_sorted_reversed_and_without_what_is_equal(items: list[int | float]) -> None:
    assert value("sort(l)", l=items) == sorted(items)
    assert value("reverse(l)", l=items) == items[::-1]
    assert value("unique(l)", l=items) == list(dict.fromkeys(items))


def test_true_is_not_one_and_maps_are_equal_whatever_their_order() -> None:
    items = [1, True, "1", {"a": 1, "b": 2}, {"b": 2, "a": 1.0}, [1], [1.0]]
    assert value("unique(l)", l=items) == [1, True, "1", {"a": 1, "b": 2}, [1]]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)


@given(st.lists(st.fixed_dictionaries({"a": TEXTS, "b": TEXTS}), min_size=1, max_size=4))
def test_rows_come_back_from_csv(rows: list[dict[str, str]]) -> None:
    assert rows_of(rows_text(rows)) == rows
    assert list(csv.DictReader(io.StringIO(rows_text(rows), newline=""))) == rows


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(JSON, max_size=4))
def test_values_come_back_from_json_lines_and_from_a_fence(values: list[object]) -> None:
    assert json_lines_of(json_lines_text(values)) == values
    assert value("json(t)", t=f"Well:\n\n```json\n{json.dumps(values)}\n```\nDone.") == values


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("Here:\n```json\n{}\n```\nDone.", [("json", "{}")]),
        ("~~~\na ``` b\n```\n~~~", [("", "a ``` b\n```")]),
        ("````md\n```py\nx\n```\n````\n```\ny\n```", [("markdown", "```py\nx\n```"), ("", "y")]),
        ("```py\nx = 1", [("python", "x = 1")]),
        ("```", [("", "")]),
        ("\ufeff```JSON5 title=x\r\n1\r\n```\r\n", [("json5", "1")]),
        ("``` {.python}\nx\n``` \n", [("python", "x")]),
        ("1. So:\n\n    ```py\n    if x:\n        y\n  z\n    ```", [("python", "if x:\n    y\nz")]),
        ("```a`b\nx\n```", [("", "")]),
        ("`x`", []),
        ("~~~ a`b\nx\n~~~~", [("a`b", "x")]),
    ],
)
def test_blocks_of_code_are_those_of_markdown(text: str, blocks: list[tuple[str, str]]) -> None:
    assert [(block.language, block.text) for block in code_blocks(text)] == blocks


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("\ufeff[1]", [1]),
        ("Yes:\n```\nno json\n```\n```\n[2]\n```", [2]),
        ("```text\n5\n```\n```json\n[6]\n```\n```json\n[7]\n```", [6]),
        ('```json\r\n{"a": 1.0}\r\n```', {"a": 1}),
        ('{"a": "```json\\n1\\n```"}', {"a": "```json\n1\n```"}),
    ],
)
def test_json_is_read_out_of_the_first_block_that_says_it_is_that(text: str, found: object) -> None:
    assert value("json(t)", t=text) == found


@pytest.mark.parametrize("piece", [" ", "`", "```a ", "~~~\n", "```\nx\r", "\t~"])
def test_blocks_take_a_time_that_grows_with_the_text(piece: str) -> None:
    def prepare(size: int) -> Callable[[], object]:
        text = f"```{piece * size}`"
        return lambda: list(code_blocks(text))

    assert_grows_with_size(prepare, 60_000)


@given(st.text(st.sampled_from("`~ \nax\t\r"), max_size=60))
def test_any_text_has_code_and_no_block_has_a_line_of_its_own(text: str) -> None:
    for block in code_blocks(text):
        lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        first = lines[block.line - 1].lstrip() if block.line <= len(lines) else ""
        assert not block.text or block.text.split("\n")[0].lstrip() == first
    assert isinstance(value("code(t)", t=text), str)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("json('x')", "line 1, column 1"),
        ("json(t)", "nested too deep"),
        ("csv('a,a\\n1,2')", "two columns have the name 'a'"),
        ("csv('a,b\\n1')", "line 2 has 1 value, not 2"),
        ("code('~~~sh\\nls\\n~~~', 'python')", "no block of code in 'python'; the languages are: sh"),
        ("json('a\\n~~~\\n{\\n\"k\": x}\\n~~~')", "a value is expected in line 4, column 6"),
        ("json('~~~json\\n{\"k\": 1,\\n')", "in line 2, column"),
        ("json('~~~json\\nx\\n~~~\\n~~~\\n1\\n~~~')", "a value is expected in line 2, column 1"),
        ('json(\'{"a": "NaN",\\n"b": [1, NaN]}\')', "JSON has no NaN in line 2, column 10"),
        ("json('[-Infinity]')", "JSON has no -Infinity in line 1, column 2"),
        ('json(\'{"a": {"b": 1}, "b": 2,\\n "b": 3}\')', "'b' appears twice in line 2, column 2"),
        ('json(\'[{"k": 1}, {"k": 1, "\\\\u006b": 2}]\')', "'k' appears twice in line 1, column 21"),
        ("format('%s %s', 1)", "no value for '%s'"),
        ("format('%s', 1, 2)", "2 values for 1 place"),
        ("format('%d', 1.5)", "takes a whole number for '%d', not a fractional number"),
        ("format('5 %')", "`%%` is a percent sign"),
        ("join([[1]], '')", "not a list"),
        ("sort([1, 'a'])", "Cannot compare"),
        ("zip([1], [])", "lists of the same length"),
        ("merge({}, [1])", "takes maps, not a list"),
        ("first([])", r"default\(list\[0\], value\)"),
        ("range(1, 2, 0)", "a step other than 0"),
        ("round(1.5, 99)", "-20 to 20"),
    ],
)
def test_what_cannot_be_done_is_said(text: str, said: str) -> None:
    with pytest.raises(ExpressionError, match=said):
        value(text, t="[" * 100_000)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "range(9223372036854775807)",
        "range(-9223372036854775807, 9223372036854775807)",
        "t.replace('a', t)",
        "join(l, t)",
        "format('%s', l.map(a, l.map(b, l.map(c, t))))",
        "l.map(a, split(t, ''))",
        "l.map(a, json(j))",
        "l.map(a, l.map(b, reverse(t)))",
        "t.findAll('(a*b)|a')",
    ],
)
def test_nothing_makes_more_or_takes_longer_than_an_expression_may(text: str) -> None:
    meter = Meter()
    with pytest.raises((ExpressionError, TooLargeError), match=r"would take more than|takes too long"):
        Expression.parse(text, HERE).evaluate(
            {"t": "a" * 100_000, "l": list(range(1000)), "j": "[" + "{}," * 50_000 + "1]"}, meter=meter
        )


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("lines(t)", list_of(TEXT)),
        ("sort(l)", list_of(WHOLE)),
        ("first(l)", WHOLE),
        ("slice(t, 1)", TEXT),
        ("json(t)", ANYTHING),
    ],
)
def test_what_they_give_is_known_before_the_run(text: str, known: object) -> None:
    assert Expression.parse(text, HERE).type({"t": TEXT, "l": list_of(WHOLE)}) == known


@pytest.mark.parametrize("text", ["first(lines(t)) == 1", "sort(t)", "find(t, '(')", "join(t, ',')"])
def test_what_cannot_be_right_is_found_before_the_run(text: str) -> None:
    assert Expression.parse(text, HERE).check({"t": TEXT})
