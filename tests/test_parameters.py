"""Parameters: their types, what may be given for them, and what is wrong with how they are declared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.errors import Fault, Place, UsageError
from samovar.language.parameter_list import read_groups, read_parameters
from samovar.language.parameters import Parameter, bind
from samovar.language.schema_values import mismatch, read_value_schema


def where(*path: object) -> Place:
    """A place that tells the path it was asked for."""
    return Place(path=Path("/".join(map(str, path))), line=3, column=5)


def parameter(**entry: Any) -> Parameter:
    (read,), faults = read_parameters([{"name": "p", **entry}], where)
    assert not faults
    return read


def fault_of(entry: object) -> Fault:
    _, (fault,) = read_parameters([entry], where)
    return fault


@pytest.mark.parametrize(
    ("entry", "text", "value"),
    [
        ({}, " as it is ", " as it is "),
        ({"type": "string"}, "5", "5"),
        ({"type": "bool"}, "Yes", True),
        ({"type": "boolean"}, "off", False),
        ({"type": "number"}, "5", 5),
        ({"type": "numeric"}, "-2.5", -2.5),
        ({"type": "float"}, "1e3", 1000.0),
        ({"type": "int"}, "7", 7),
        ({"type": "choice", "choices": ["a", "b"]}, "b", "b"),
        ({"type": "select", "choices": [1, True]}, "true", "true"),
        ({"type": "multi_choice", "choices": ["a", "b"]}, "a, b", ["a", "b"]),
        ({"type": "multiselect", "choices": ["a", "b"]}, "", []),
        ({"type": "String", "pattern": "[a-z]+"}, "abc", "abc"),
        ({"type": "number", "min": 0, "max": 1, "step": 0.1}, "0.3", 0.3),
        ({"min_length": 2, "max_length": 3}, "äöü", "äöü"),
    ],
)
def test_a_text_becomes_a_value_of_the_parameters_type(
    entry: dict[str, Any], text: str, value: object
) -> None:
    read = parameter(**entry).parse(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("entry", "text", "expected"),
    [
        ({"type": "bool"}, "maybe", "true or false"),
        ({"type": "number"}, "five", "a number"),
        ({"type": "number"}, "nan", "a number"),
        ({"type": "number"}, "inf", "a number"),
        ({"type": "int"}, "1.5", "a whole number"),
        ({"type": "number", "min": 2}, "1", "at least 2"),
        ({"type": "number", "max": 2}, "3", "at most 2"),
        ({"type": "number", "min": 1, "step": 2}, "4", "in steps of 2"),
        (
            {"type": "choice", "choices": ["plain", "warm"]},
            "warn",
            "one of plain, warm. Did you mean 'warm'?",
        ),
        ({"type": "multi_choice", "choices": ["a", "b"]}, "a,c", "one of a, b"),
        ({"pattern": "[a-z]+"}, "a1", "a text that matches [a-z]+"),
        ({"min_length": 2}, "a", "at least 2 characters"),
        ({"max_length": 2}, "abc", "at most 2 characters"),
    ],
)
def test_a_wrong_text_names_the_parameter_the_value_and_what_was_expected(
    entry: dict[str, Any], text: str, expected: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parameter(**entry).parse(text)
    message = str(caught.value)
    assert "'p'" in message
    assert expected in message
    assert text.split(",")[-1] in message


@pytest.mark.parametrize(
    "entry",
    [{"pattern": "x"}, {"type": "number"}, {"type": "choice", "choices": ["sesame"]}, {"type": "bool"}],
)
def test_the_value_of_a_secret_is_never_shown(entry: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        parameter(secret=True, **entry).parse("hunter2")
    assert "hunter2" not in str(caught.value)
    assert "***" in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ({"type": "number"}, True),
        ({"type": "number"}, float("inf")),
        ({"type": "int"}, float("nan")),
        ({"type": "bool"}, 1),
        ({"type": "multi_choice", "choices": ["a"]}, 5),
    ],
)
def test_a_typed_value_of_another_type_is_refused(entry: dict[str, Any], value: object) -> None:
    with pytest.raises(UsageError, match="'p'"):
        parameter(**entry).check(value)


@pytest.mark.parametrize(
    ("entry", "default"),
    [
        ({"default": 5}, "5"),
        ({"default": True}, "true"),
        ({"type": "bool", "default": "yes"}, True),
        ({"type": "bool", "default": False}, False),
        ({"type": "number", "default": "3"}, 3),
        ({"type": "choice", "choices": [1, 2], "default": 1}, "1"),
        ({"type": "multi_choice", "choices": ["a", "b"], "default": "a"}, ["a"]),
        ({"type": "multi_choice", "choices": ["a", "b"], "default": ["b"]}, ["b"]),
    ],
)
def test_a_default_is_typed_like_a_given_value(entry: dict[str, Any], default: object) -> None:
    assert parameter(**entry).default == default


def test_given_values_win_over_defaults_and_names_without_a_parameter_pass() -> None:
    parameters, faults = read_parameters(
        [{"name": "n", "type": "int", "default": 1}, {"name": "m", "default": "x"}, {"name": "o"}], where
    )
    assert not faults
    assert bind(parameters, {"n": "2", "other": "3"}) == {"n": 2, "m": "x", "other": "3"}


def test_missing_required_parameters_are_all_named() -> None:
    parameters, _ = read_parameters(
        [{"name": "a", "required": True, "description": "What it is"}, {"name": "b", "required": "yes"}],
        where,
    )
    with pytest.raises(UsageError) as caught:
        bind(parameters, {})
    assert "--var a=…" in str(caught.value)
    assert "  a: What it is\n  b" in str(caught.value)


def test_missing_required_parameters_are_asked_for_and_others_are_not() -> None:
    parameters, _ = read_parameters(
        [{"name": "a", "required": True}, {"name": "b"}, {"name": "c", "required": True, "default": "d"}],
        where,
    )
    asked: list[str] = []

    def ask(one: Parameter) -> object:
        asked.append(one.name)
        return "answer"

    assert bind(parameters, {}, ask=ask) == {"a": "answer", "c": "d"}
    assert asked == ["a"]


@pytest.mark.parametrize(
    ("entry", "path", "part"),
    [
        ("a", "0/name", "has no name"),
        ({"type": "string"}, "0/name", "has no name"),
        ({"name": "p", "type": "nubmer"}, "0/type", "Did you mean 'number'?"),
        ({"name": "p", "type": "choice"}, "0/type", "without `choices`"),
        ({"name": "p", "choices": 5}, "0/choices", "a list"),
        ({"name": "p", "choices": "abc"}, "0/choices", "a list"),
        ({"name": "p", "pattern": "("}, "0/pattern", "regular expression"),
        ({"name": "p", "min": "x"}, "0/min", "must be a number"),
        ({"name": "p", "max": float("inf")}, "0/max", "must be a number"),
        ({"name": "p", "step": 0}, "0/step", "above 0"),
        ({"name": "p", "max_length": float("inf")}, "0/max_length", "must be a number"),
        ({"name": "p", "min_length": 1.5}, "0/min_length", "whole number"),
        ({"name": "p", "required": "perhaps"}, "0/required", "true or false"),
        ({"name": "p", "type": "int", "default": "x"}, "0/default", "Its default"),
        ({"name": "p", "type": "int", "default": float("inf")}, "0/default", "finite"),
    ],
)
def test_a_wrong_declaration_is_a_fault_at_the_key_that_is_wrong(entry: object, path: str, part: str) -> None:
    fault = fault_of(entry)
    assert part in fault.message
    assert (fault.code, fault.severity, str(fault.place.path)) == ("parameter", "error", path)


def test_a_key_that_means_nothing_is_a_warning_with_the_nearest_and_in_old_files_only_a_misspelt_one() -> (
    None
):
    entry = {"name": "p", "requierd": True, "mandatory": 1}
    _, faults = read_parameters([entry], where)
    assert [(one.code, one.severity, str(one.place.path)) for one in faults] == [
        ("unknown-key", "warning", "0/requierd"),
        ("unknown-key", "warning", "0/mandatory"),
    ]
    assert "Did you mean 'required'?" in faults[0].message and "'mandatory'" in faults[1].message
    _, (fault,) = read_parameters([entry], where, lenient=True)
    assert "Did you mean 'required'?" in fault.message


def deploy(**entry: Any) -> tuple[Parameter, ...]:
    entries = [
        {"name": "target", "type": "choice", "choices": ["test", "live"], "default": "test"},
        {"name": "key", "required": True, "condition": "target == 'live'", **entry},
    ]
    read, faults = read_parameters(entries, where)
    assert not faults
    return read


def test_a_parameter_is_required_where_its_condition_is_true() -> None:
    assert bind(deploy(), {}) == {"target": "test"}
    assert bind(deploy(), {"target": "live", "key": "k"}) == {"target": "live", "key": "k"}
    with pytest.raises(UsageError, match="--var key=…"):
        bind(deploy(), {"target": "live"})
    assert bind(deploy(pattern="[a-z]+"), {"key": "given"})["key"] == "given"
    with pytest.raises(UsageError, match="matches"):
        bind(deploy(pattern="[a-z]+"), {"key": "5"})


def test_a_condition_sees_what_was_asked_before_it() -> None:
    read, _ = read_parameters(
        [
            {"name": "way", "required": True},
            {"name": "street", "required": True, "condition": "way == 'post'"},
            {"name": "mail", "required": True, "condition": "way == 'mail'"},
            {"name": "never", "required": True, "condition": "way > 5"},
        ],
        where,
    )
    asked: list[str] = []

    def ask(one: Parameter) -> object:
        asked.append(one.name)
        return "mail"

    assert bind(read, {}, ask=ask) == {"way": "mail", "mail": "mail"}
    assert asked == ["way", "mail"]


@pytest.mark.parametrize(
    ("condition", "part"),
    [("a ==", "cannot be read"), (["a"], "an expression"), ("q == 1", "which is not a parameter")],
)
def test_a_condition_that_means_nothing_is_a_fault_at_its_place(condition: object, part: str) -> None:
    fault = fault_of({"name": "p", "condition": condition})
    assert part in fault.message
    assert (fault.code, str(fault.place.path)) == ("parameter", "0/condition")


def test_groups_only_say_where_a_parameter_is_shown() -> None:
    read, _ = read_parameters([{"name": "a"}, {"name": "b"}, {"name": "c"}], where)
    groups = [
        {"name": "one", "description": "First ones", "parameters": ["b", "a"]},
        {"name": "two", "parameters": ["c", "a"]},
    ]
    grouped, doubts = read_groups(groups, read, where)
    assert [(one.name, one.group) for one in grouped] == [
        ("a", "First ones"),
        ("b", "First ones"),
        ("c", "two"),
    ]
    assert not doubts
    for value, part in (
        ("x", "list of maps"),
        ([5], "Group 1 must be"),
        ([{"name": "g", "parameters": ["aa"]}], "Did you mean 'a'?"),
    ):
        same, (doubt,) = read_groups(value, read, where)
        assert same == read and part in doubt.message and doubt.severity == "warning"


def test_a_name_declared_twice_and_a_list_that_is_none_are_faults() -> None:
    read, (fault,) = read_parameters([{"name": "p"}, {"name": "p"}], where)
    assert (len(read), str(fault.place.path)) == (1, "1/name")
    assert "twice" in fault.message
    assert [fault.code for fault in read_parameters({"p": {}}, where)[1]] == ["parameter"]


def test_a_pattern_is_a_text() -> None:
    assert [one.code for one in read_parameters([{"name": "n", "pattern": ["a"]}], where)[1]] == ["parameter"]


def test_a_number_beyond_all_floats_is_refused() -> None:
    (parameter,), faults = read_parameters(
        [{"name": "n", "type": "number"}], lambda *steps: Place(path=None, line=1)
    )
    assert not faults
    with pytest.raises(UsageError):
        bind([parameter], {"n": "9" * 400}, ask=None)
    assert read_parameters(
        [{"name": "n", "type": "number", "default": 10**400}], lambda *steps: Place(path=None, line=1)
    )[1]


def test_what_was_given_instead_of_a_missing_parameter_is_named() -> None:
    topic = Parameter(name="topic", place=Place(path=None, line=1), required=True)
    with pytest.raises(UsageError, match=r"topic \(did you mean 'topc' for it\?\)"):
        bind([topic], {"topc": "tea"})
    with pytest.raises(UsageError, match=r"topic$"):
        bind([topic], {"other": "tea"})


@pytest.mark.parametrize("value", ["1e30", 1e30, "9007199254740993.0", "99999999999999999999", 2**63])
def test_a_whole_number_is_never_changed(value: object) -> None:
    with pytest.raises(UsageError, match="64 bits"):
        bind([parameter(type="integer")], {"p": value})


@pytest.mark.parametrize("value", [["x"], {"a": 1}])
def test_a_list_or_a_map_is_no_text(value: object) -> None:
    for entry in ({"type": "string"}, {"pattern": "a+"}, {"max_length": 3}):
        with pytest.raises(UsageError, match="not a list or a map"):
            bind([parameter(**entry)], {"p": value})


# Lists and maps.

ROWS = {"type": "list", "items": {"line": "integer", "why": "text?", "kind": "bug|idea"}}
ROW = {"line": 3, "kind": "bug"}


@pytest.mark.parametrize(
    ("entry", "given", "value"),
    [
        ({"type": "list"}, '[1, "a", null, 2.0]', [1, "a", None, 2]),
        ({"type": "array", "items": "text"}, ["a"], ["a"]),
        ({"type": "list", "items": "number"}, (1, 2.5), [1, 2.5]),
        ({"type": "list", "items": ["integer"]}, "[[1], []]", [[1], []]),
        (ROWS, [ROW, {**ROW, "why": "x"}], [ROW, {**ROW, "why": "x"}]),
        ({"type": "map"}, '{"a": {"b": [1]}}', {"a": {"b": [1]}}),
        ({"type": "object", "fields": {"a": "boolean", "b?": "text"}}, {"a": True}, {"a": True}),
        ({"type": "list", "min_length": 1, "max_length": 2}, "[1]", [1]),
        ({"type": "list", "items": {"type": "string", "maxLength": 2}}, ["ab"], ["ab"]),
        ({"type": "list", "items": {"type": "string", "pattern": "^a"}}, ["ab"], ["ab"]),
    ],
)
def test_a_list_or_a_map_is_given_as_a_value_or_as_json(
    entry: dict[str, Any], given: object, value: object
) -> None:
    read = bind([parameter(**entry)], {"p": given})["p"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("entry", "given", "said"),
    [
        ({"type": "list"}, "a, b", "a list, as in [1, 2], in JSON"),
        ({"type": "list"}, "{}", "`p` must be a list, not a map."),
        ({"type": "map"}, "[1", "a map, as in"),
        ({"type": "map"}, [1], "`p` must be a map, not a list."),
        ({"type": "list"}, 3, "`p` must be a list, not 3."),
        ({"type": "list", "items": "integer"}, "[1, 1.5]", "`p[1]` must be a whole number, not 1.5."),
        ({"type": "list", "items": "integer"}, [True], "`p[0]` must be a whole number, not true."),
        ({"type": "list", "items": "integer"}, [2**63], "`p[0]` must be a whole number"),
        (ROWS, [{**ROW, "kind": "bgu"}], '`p[0].kind` must be one of "bug", "idea", not "bgu". Did you mean'),
        (ROWS, [{"kind": "bug"}], "`p[0]` lacks `line`."),
        (ROWS, [{**ROW, "wy": "x"}], "`p[0]` has no `wy`. Did you mean 'why'?"),
        ({"type": "list", "min_length": 1}, [], "`p` must have at least 1 item."),
        ({"type": "list", "max_length": 1}, [1, 2], "`p` must have at most 1 item."),
        ({"type": "list", "items": {"type": "string", "pattern": "^a"}}, ["b"], "`p[0]` must match ^a."),
        ({"type": "list", "items": {"type": "number", "minimum": 1}}, [0], "`p[0]` must be at least 1."),
        (
            {"type": "list", "items": {"anyOf": [{"type": "null"}, {"type": "integer"}]}},
            ["x"],
            "must be null",
        ),
        ({"type": "list", "items": "text", "secret": True}, [1234], "does not have the declared form"),
    ],
)
def test_a_list_or_a_map_of_another_form_is_refused_with_its_place(
    entry: dict[str, Any], given: object, said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        bind([parameter(**entry)], {"p": given})
    assert said in str(caught.value)
    assert "1234" not in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"items": "text"}, "is for parameters of `type: list`"),
        ({"type": "list", "fields": {"a": "text"}}, "is for parameters of `type: map`"),
        ({"type": "list", "items": "txt"}, "Did you mean 'text'?"),
        ({"type": "map", "fields": "text"}, "a map, as in {name: text, age: integer?}"),
        ({"type": "list", "items": {"type": "array", "uniqueItems": True}}, "without `uniqueItems`"),
        ({"type": "list", "items": {"type": "string", "pattern": "(?=a)"}}, "a regular expression"),
        ({"type": "list", "items": "integer", "default": ["a"]}, "Its default: The parameter"),
        ({"type": "list", "default": "a"}, "Its default: The parameter"),
    ],
)
def test_what_is_wrong_with_the_form_of_a_list_is_said_where_it_is_declared(
    entry: dict[str, Any], said: str
) -> None:
    fault = fault_of({"name": "p", **entry})
    assert said in fault.message


def test_a_default_may_be_a_list_or_json() -> None:
    assert parameter(type="list", items="text", default=["a"]).default == ["a"]
    assert parameter(type="map", default='{"a": 1}').default == {"a": 1}


def test_conditions_know_what_is_in_a_list_or_a_map() -> None:
    rows = parameter(**ROWS).values
    assert rows.item is not None
    assert rows.item.parts["kind"].values == ("bug", "idea")
    assert str(parameter(type="map").values) == "a map"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)
FORMS = st.recursive(
    st.sampled_from(["text", "boolean", "integer", "number", "null", "a|b"]),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=1)
        | st.dictionaries(st.text("ab", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(VALUES, FORMS)
def test_a_value_has_a_form_if_json_schema_says_so(value: object, form: object) -> None:
    jsonschema = pytest.importorskip("jsonschema")  # among the packages for tests
    schema = read_value_schema(form, "p")
    assert (mismatch(value, schema, "p") is None) is jsonschema.Draft202012Validator(schema).is_valid(value)
