"""Values: what they are as text, as truth, as literals, and a text with parts."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.values import Record, duration_s, literal, plain, to_text, truth

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


def test_a_record_is_its_text_and_has_parts() -> None:
    record = Record("yes", {"tokens": 3})
    assert record == "yes"
    assert record.upper() == "YES"
    assert record["tokens"] == record.part("tokens") == 3
    assert record["text"] == "yes"
    assert record[0] == "y"
    assert record[1:] == "es"
    with pytest.raises(KeyError):
        record["nothing"]


def test_the_text_of_a_record_is_a_plain_text() -> None:
    assert type(str(Record("x"))) is str


@pytest.mark.parametrize(
    ("text", "value"), [('{"a": [1]}', {"a": [1]}), ("no json", None), ("NaN", None), ("[" * 100_000, None)]
)
def test_the_json_part_is_the_text_read_as_json_or_nothing(text: str, value: object) -> None:
    assert Record(text)["json"] == value
    assert Record(text).parts["json"] == value


def test_a_record_survives_copies() -> None:
    record = Record("x", {"a": [1]})
    for other in (copy.deepcopy(record), pickle.loads(pickle.dumps(record))):
        assert other == record
        assert other["a"] == [1]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (5, "5"),
        (1.5, "1.5"),
        ("ä", "ä"),
        (["ä", 1], '["ä", 1]'),
        ({"a": None}, '{"a": null}'),
    ],
)
def test_values_as_text(value: object, text: str) -> None:
    assert to_text(value) == text
    assert to_text({"r": Record("x", {"a": 1})}) == '{"r": "x"}'


@pytest.mark.parametrize("value", [None, False, 0, 0.0, "", [], {}, float("nan")])
def test_what_counts_as_false(value: object) -> None:
    assert not truth(value)


@pytest.mark.parametrize("value", [True, -1, 0.1, "false", [0], {"a": 0}])
def test_what_counts_as_true(value: object) -> None:
    assert truth(value)


@given(JSON)
def test_a_literal_that_is_wholly_json_is_typed(value: object) -> None:
    assert literal(json.dumps(value)) == value


@pytest.mark.parametrize("text", ["hello", "1 2", "NaN", "Infinity", "{a}", "", "truely", "5 apples"])
def test_other_literals_are_the_text_as_it_stands(text: str) -> None:
    assert literal(text) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        ("200ms", 0.2),
        ("1.5 s", 1.5),
        ("2 min", 120),
        ("1h", 3600),
        ("5 SECONDS", 5),
        (7, 7),
        (0.5, 0.5),
    ],
)
def test_durations(text: object, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["soon", "5 parsecs", "-1", "", True, None, float("inf"), -1])
def test_what_is_no_duration_says_what_was_expected(value: object) -> None:
    with pytest.raises(ValueError, match="200ms"):
        duration_s(value)


@given(JSON)
def test_plain_values_are_what_json_gives_back(value: object) -> None:
    assert json.loads(json.dumps(plain(value))) == plain(value)
    assert type(plain(Record("x"))) is str
