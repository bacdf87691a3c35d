"""Prompts: their front matter, their text, and what they are filled with."""

from __future__ import annotations

from pathlib import Path

import pytest

from samovar.errors import FaultsError, TemplateError
from samovar.language.prompt import Prompt, parse_prompt


def prompt(text: str, line: int = 1) -> Prompt:
    return parse_prompt(text, name="p", path=Path("p.md"), line=line)


def test_a_text_without_front_matter_is_the_prompt() -> None:
    read = prompt("\n\nHello {{ name }}\n\n")
    assert read.render({"name": "you"}, {}) == "Hello you"
    assert (read.title, read.parameters, read.is_partial, read.warnings) == (None, (), False, ())


@pytest.mark.parametrize("key", ["parameters", "arguments"])
def test_front_matter_declares_title_description_and_parameters(key: str) -> None:
    read = prompt(
        f"---\ntitle: T\ndescription: D\n{key}:\n  - name: a\n    default: x\n---\n\nIs {{{{ a }}}}\n"
    )
    assert (read.title, read.description) == ("T", "D")
    assert read.render({}, {}) == "Is x"
    assert read.template.place.line == 9


def test_arguments_win_over_variables_and_variables_over_defaults() -> None:
    read = prompt("---\nparameters: [{name: a, default: d}]\n---\n{{ a }}")
    assert read.render({"a": "argument"}, {"a": "variable"}) == "argument"
    assert read.render({}, {"a": "variable"}) == "variable"
    assert read.render({}, {}) == "d"


def test_arguments_are_typed_by_their_parameters() -> None:
    read = prompt("---\nparameters: [{name: n, type: int}]\n---\n{{ n | plus: 1 }}")
    assert read.render({"n": "4"}, {}) == "5"
    with pytest.raises(TemplateError, match=r"'p'.*'n' cannot be 'x': expected a number"):
        read.render({"n": "x"}, {})


def test_a_required_parameter_that_is_missing_is_named() -> None:
    read = prompt("---\nparameters: [{name: n, required: true}]\n---\nText")
    with pytest.raises(TemplateError, match="needs 'n'"):
        read.render({}, {})
    assert read.render({"n": "x"}, {}) == "Text"


@pytest.mark.parametrize("text", ["{{ n }}", "{{ n | upcase }}", "{% for x in y %}{% endfor %}{{ n }}"])
def test_an_optional_parameter_that_was_not_given_is_named_as_such(text: str) -> None:
    read = prompt(f"---\nparameters: [{{name: n}}]\n---\n{text}")
    with pytest.raises(TemplateError) as raised:
        read.render({}, {"m": 1, "y": []})
    assert raised.value.message == (
        "The parameter 'n' was not given and has no default: add one in the front matter, or write "
        '`{{ n | default: "…" }}`.'
    )
    assert prompt(text.replace("{{ n ", '{{ n | default: "it" ')).render({}, {"y": []}).lower() == "it"


def test_dollar_braces_are_not_filled_in_a_prompt() -> None:
    assert prompt("${a} {{ a }}").render({"a": "x"}, {}) == "${a} x"


def test_a_value_is_never_read_as_a_template() -> None:
    assert prompt("{{ a }}").render({"a": "{{ b }}{% if %}"}, {"b": "no"}) == "{{ b }}{% if %}"


@pytest.mark.parametrize("marks", ["```", "~~~", "````"])
def test_a_fence_marked_prompt_holds_exactly_the_text(marks: str) -> None:
    read = prompt(f"\n{marks}prompt\n\n  ## No heading {{{{ a }}}}\n\n{marks}\nnot this\n")
    assert read.render({"a": "x"}, {}) == "\n  ## No heading x\n"
    assert read.template.place.line == 3


def test_a_fence_marked_otherwise_is_part_of_the_text() -> None:
    assert prompt("```python\nx\n```\n").render({}, {}) == "```python\nx\n```"
    assert prompt("First\n```prompt\nx\n```").render({}, {}) == "First\n```prompt\nx\n```"


def test_a_fence_after_front_matter_counts_too() -> None:
    assert prompt("---\ntitle: x\n---\n```prompt\ny\n```").render({}, {}) == "y"


def test_a_partial_is_marked_and_its_mark_is_not_text() -> None:
    read = prompt("{% partial %}\nText")
    assert read.is_partial
    assert read.render({}, {}) == "Text"


@pytest.mark.parametrize(
    ("text", "line", "column", "part"),
    [
        ("---\nparameters:\n  - name: a\n    type: nubmer\n---\nx", 43, 5, "Did you mean 'number'?"),
        ("---\na: [\n---\nx", 42, 1, "not valid YAML"),
        ("Hello\n{{ a", 41, 1, ""),
        ("x\n\0", 41, 1, "NUL"),
    ],
)
def test_faults_have_their_place_in_the_file_around_the_prompt(
    text: str, line: int, column: int, part: str
) -> None:
    with pytest.raises(FaultsError) as caught:
        prompt(text, line=40)
    fault = caught.value.faults[0]
    assert part in fault.message
    assert (fault.place.line, fault.place.column) == (line, column)


def test_misspelt_keys_are_warnings_with_the_nearest_valid_one_and_others_pass() -> None:
    read = prompt("---\ntittle: x\nparameters: [{name: a, defualt: 1}]\nzzz: 1\ncategory: x\n---\nText")
    assert [(fault.place.line, fault.place.column, fault.severity) for fault in read.warnings] == [
        (2, 1, "warning"),
        (3, 24, "warning"),
    ]
    assert "'title'" in read.warnings[0].message
    assert "'default'" in read.warnings[1].message


def test_a_prompt_takes_in_others_by_name() -> None:
    partials = {"greeting": "Hello {{ name }}"}.get
    read = parse_prompt("{% render 'greeting', name: a %}!", name="p", path=None, partials=partials)
    assert read.render({"a": "you"}, {}) == "Hello you!"


def test_a_key_that_stands_twice_is_a_warning() -> None:
    one = prompt("---\ntitle: a\ntitle: b\n---\nx")
    assert [(fault.code, fault.place.line) for fault in one.warnings] == [("duplicate-key", 3)]
