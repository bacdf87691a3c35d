"""Reading grows in proportion to what is read, counted in steps: no text makes it grow faster."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FrameType

import pytest
from benchmarks.linear import INPUTS, MOST_RATIO
from hypothesis import given, settings
from hypothesis import strategies as st
from liquid.exceptions import LiquidSyntaxError
from liquid.lex import get_lexer

from samovar.errors import FaultsError
from samovar.language.liquid_lexer import tokens_of
from samovar.language.markdown import parse_document
from samovar.language.markup import Markup

SIZE = 4000
PIECES = [
    *("{{", "}}", "{%", "%}", "-", " ", "\n", "raw", "endraw", "a", "#", "if x", "txt", "{", "}", "%"),
    *("comment", "endcomment", "doc", "enddoc", "{% raw %}", "{% endraw %}", "{%- raw -%}", "{% comment %}"),
    *("{% endcomment %}", "{{ x }}", "{%- if a -%}"),
]


def calls_of(work: Callable[[], object]) -> int:
    """How many functions some work calls, Python's own among them."""
    count = 0

    def counted(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        with suppress(FaultsError):
            work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("name", INPUTS)
def test_reading_calls_no_more_than_twice_as_much_for_twice_the_text(name: str) -> None:
    one = INPUTS[name]
    with suppress(FaultsError):
        one.read(one.make(200))  # what is done once is done here
    half, whole = (calls_of(partial(one.read, one.make(size))) for size in (SIZE // 2, SIZE))
    assert whole <= MOST_RATIO * half + 100


@pytest.mark.parametrize(
    "piece", ["{{ ", "{% ", "{% raw %}", "{{ x }}", "{% raw %}{% endraw %}", "{{ }} {% %}", "{{{%"]
)
def test_each_character_is_looked_at_a_few_times(piece: str) -> None:
    text = piece * (SIZE // len(piece))
    markup = Markup(text)
    for at in range(len(text)):
        if text[at] == "{":
            markup.end(at)
    # Each beginning looks to the next end, and to the end of the text once for each kind.
    assert markup.steps <= 8 * len(text)


def tokens(lexer: Callable[[str], object], text: str) -> object:
    try:
        return [(token.kind, token.value, token.start_index) for token in lexer(text)]  # type: ignore[attr-defined]
    except LiquidSyntaxError as error:
        assert error.token is not None
        return str(error.message), error.token.start_index


@settings(max_examples=500)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_the_tokens_are_those_of_liquids_own_lexer(text: str) -> None:
    assert tokens(tokens_of, text) == tokens(get_lexer(), text)


@pytest.mark.parametrize("indent", [0, 3])
def test_a_place_found_from_a_near_one_is_that_found_from_the_beginning(indent: int) -> None:
    lines = [f"{'x' * (number % 90)} {number}" for number in range(200)]
    source = f"{' ' * indent}- A: b\n" + "".join(f"{' ' * indent}    {line}\n" for line in lines)
    (bullet,) = parse_document(source, path=None).bullets(1, 203)
    markup = Markup(bullet.text, bullet.place)
    for at in (*range(0, len(bullet.text), 7), 5, len(bullet.text), 0):
        place = bullet.place.within(bullet.text, at)
        assert (markup.place(at).line, markup.place(at).column) == (place.line, place.column)
