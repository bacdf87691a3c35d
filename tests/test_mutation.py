"""Mistakes in the files that are shipped are found where they are; and what `check` says of each kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.makers import MAKERS
from benchmarks.mistakes import Sheet
from benchmarks.mutation import LEAST_SHARE, Desk, missed, share, try_all

from samovar.actions import parse_action
from samovar.checks.plain_texts import unfilled
from samovar.cli.checking import faults_of
from samovar.errors import Place
from samovar.language.template import Rules, Template
from samovar.library import Library
from tests.growth import assert_grows_with_size

COUNT = 500


@pytest.mark.slow
def test_what_a_mistake_leaves_unknown_or_unreachable_is_found_at_its_place(tmp_path: Path) -> None:
    found = try_all(tmp_path, seed=12, count=COUNT)
    assert {one.mistake.kind for one in found if one.mistake.breaks} == set(MAKERS)
    assert sum(one.mistake.breaks for one in found) > COUNT / 2
    assert share(found) >= LEAST_SHARE, "\n".join(missed(found))


def test_no_shipped_file_has_a_loose_end_as_it_is(tmp_path: Path) -> None:
    loose = [name for name, text in Desk(tmp_path).files.items() if Sheet.of(text).loose_ends()]
    assert not loose, "the sheet does not know the language of these"


def test_a_sheet_sees_what_is_loose() -> None:
    edges = "[*] --> A\nA --> B: n == 1\nA --> [*]\nB --> [*]\n"
    text = f"```mermaid\nstateDiagram-v2\n{edges}```\n\n## Actions\n\n- A: Set n=1\n"
    assert not Sheet.of(text).loose_ends()
    for old, new in (("A --> B: n == 1\n", ""), ("B --> [*]\n", ""), ("Set n", "Set m"), (": n == 1", "")):
        assert Sheet.of(text.replace(old, new)).loose_ends(), (old, new)


TOP = "---\nparameters: [{name: name, default: Ada}, {name: tries, default: 1, type: integer}]\n---\n"
DIAGRAM = "```mermaid\nstateDiagram-v2\n[*] --> A\nA --> [*]\n```\n"


def said(tmp_path: Path, text: str) -> list[str]:
    """The codes of the errors and warnings, each with its line and column."""
    path = tmp_path / "w.md"
    path.write_text(text, encoding="utf-8")
    faults = faults_of(path, Library([], parse_action))
    return [
        f"{one.code} {one.place.line}:{one.place.column}"
        for one in faults
        if one.severity in ("error", "warning")
    ]


def flow(action: str, prompt: str = "{{ name }}") -> str:
    """The action stands in line 11 from column 6, the prompt from line 17."""
    return f"{TOP}{DIAGRAM}\n## Actions\n- A: {action}\n\n## Prompts\n\n### p\n\n{prompt}\n"


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("It is {name}.", 17),
        ("It is { name }.", 17),
        ("It is {name }}.", 17),
        ("It is name}}.", 17),
        ("It is $name}.", 17),
        ("It is $name.", 17),
        ("It is $(name).", 17),
        ("It is %name%.", 17),
    ],
)
def test_what_looks_like_the_value_of_a_variable_and_is_plain_text_is_doubted(
    tmp_path: Path, text: str, column: int
) -> None:
    assert said(tmp_path, flow(f'Log "{text}"')) == [f"plain-value 11:{column}"]
    assert said(tmp_path, flow('Execute prompt "p"', text)) == ["plain-value 17:7"]


@pytest.mark.parametrize("text", ["$range(1, 2).join('|')}", "a $name.size} b", "${name} $name[0]}"])
def test_a_value_without_its_opening_brace_is_doubted(tmp_path: Path, text: str) -> None:
    assert "plain-value" in said(tmp_path, flow(f'Log "{text}"'))[0]


@pytest.mark.parametrize("text", ["$other(1)}", "$range (1)}", "{ $range(1) }", "$$range(1)}", "US$ 5.}"])
def test_other_dollars_are_not(tmp_path: Path, text: str) -> None:
    assert said(tmp_path, flow(f'Log "{text}"')) == []


def test_a_dollar_with_braces_is_plain_text_in_a_prompt_and_doubted_there(tmp_path: Path) -> None:
    assert said(tmp_path, flow('Log "It is ${name}."')) == []
    assert said(tmp_path, flow('Execute prompt "p"', "It is ${name}.")) == ["plain-value 17:7"]


@pytest.mark.parametrize(
    "action",
    [
        'Log "{other} $other %other% other}} {{ name }} ${name}"',
        'Log "{\\"name\\": {\\"a\\": name}}"',
        'Log "$${name}"',
        'Shell "name=1; echo $name"',
        'Shell "while read -r name; do echo $name; done"',
        'Shell "for name in a b; do echo ${name} $(name); done"',
    ],
)
def test_braces_around_other_words_and_the_shells_own_variables_are_not_doubted(
    tmp_path: Path, action: str
) -> None:
    assert [one for one in said(tmp_path, flow(action)) if one.startswith("plain-value")] == []


def test_a_variable_of_the_workflow_written_as_the_shells_is_doubted(tmp_path: Path) -> None:
    assert said(tmp_path, flow('Shell "echo $name"')) == ["plain-value 11:18"]


def test_a_variable_that_is_set_a_letter_away_from_one_that_is_read_is_doubted(tmp_path: Path) -> None:
    assert said(tmp_path, flow("Set trise := tries + 1")) == ["unread-variable 11:6"]
    for other in ("tris", "triesa", "tires", "trias", "TRIES"):
        assert said(tmp_path, flow(f"Set {other} := tries + 1")) == ["unread-variable 11:6"], other


def test_short_names_that_lack_a_letter_are_doubted_too(tmp_path: Path) -> None:
    text = (
        flow("Set dif := tries + 1").replace("name: name", "name: diff").replace("{{ name }}", "{{ diff }}")
    )
    assert [one.split()[0] for one in said(tmp_path, text)] == ["unread-variable"]


@pytest.mark.parametrize("name", ["total", "tries2", "name", "tries_of_all"])
def test_a_variable_that_is_only_set_is_not_doubted(tmp_path: Path, name: str) -> None:
    assert said(tmp_path, flow(f"Set {name} := tries + 1")) == []


@pytest.mark.parametrize("piece", ["{name} ", "name} ", "$name ", " ", "{ ", "$", "a", "%name", "{{ name } "])
def test_looking_for_values_grows_with_the_text(piece: str) -> None:
    def prepare(size: int) -> Callable[[], object]:
        text, rules = (piece * size)[:size], Rules(shell=True)
        place = Place(path=None, line=1)
        template = Template(
            text=text, place=place, names=frozenset(), pieces=(), rendering=None, rules=rules, outline=()
        )
        return lambda: list(unfilled(template, ("name",)))

    assert_grows_with_size(prepare, 40_000)


def test_one_of_many_is_not_the_many_misspelt(tmp_path: Path) -> None:
    assert said(tmp_path, flow('Set files="a b", file="${files}"')) == []


def test_a_parameter_that_a_prompts_text_does_not_read_is_doubted(tmp_path: Path) -> None:
    matter = "---\nparameters:\n  - name: {}\n    default: x\n---\n{{{{ name }}}}"
    assert said(tmp_path, flow('Execute prompt "p"', matter.format("name"))) == []
    assert said(tmp_path, flow('Execute prompt "p"', matter.format("nmae"))) == ["unread-parameter 19:5"]


@pytest.mark.parametrize("value", ['${name}"', 'Ada"', 'Ada, other=a"b'])
def test_a_quotation_mark_alone_in_a_bare_value_is_an_error(tmp_path: Path, value: str) -> None:
    (fault,) = said(tmp_path, flow(f"Set v={value}"))
    assert fault == f"open-text 11:{12 + value.index(chr(34))}"


def test_two_quotation_marks_in_a_bare_value_are_part_of_it(tmp_path: Path) -> None:
    assert said(tmp_path, flow('Set v=say "hello" twice')) == []


@pytest.mark.parametrize(
    ("prompt", "place"),
    [("a {{ name\nb {{ name }}", "17:3"), ("a {{ name b {{ name }}", "17:3"), ("{% if name\nx", "17:1")],
)
def test_an_output_or_a_tag_that_is_not_closed_is_named_where_it_begins(
    tmp_path: Path, prompt: str, place: str
) -> None:
    assert f"template-syntax {place}" in said(tmp_path, flow('Execute prompt "p"', prompt))


@pytest.mark.parametrize("bullet", ["– ", "— ", "• ", "· ", "-", "–", "1. ", "2) ", ""])
def test_an_action_line_with_another_bullet_is_an_error(tmp_path: Path, bullet: str) -> None:
    text = flow('Execute prompt "p"').replace("- A: ", f"{bullet}A: ")
    assert said(tmp_path, text) == ["action-line 11:1"]


@pytest.mark.parametrize("bullet", ["- ", "* ", "+ ", "  - ", "-   "])
def test_every_bullet_of_markdown_is_read(tmp_path: Path, bullet: str) -> None:
    text = flow('Execute prompt "p" with nmae="x"').replace("- A: ", f"{bullet}A: ")
    assert [one.split(" ")[0] for one in said(tmp_path, text)] == ["unknown-parameter"]


def test_a_tag_that_takes_in_the_end_of_its_block_is_named(tmp_path: Path) -> None:
    prompt = "Text.\n{% if name %}x{% else }y {{ tries }}{% endif %} z"
    assert said(tmp_path, flow('Execute prompt "p"', prompt))[-1] == "template-syntax 18:15"


@pytest.mark.parametrize("end", ["", "{ endif %}", "endif %}"])
def test_a_block_without_an_end_is_named_where_it_begins(tmp_path: Path, end: str) -> None:
    prompt = f"{{% if name %}}x{{% endif %}}\n {{% if name %}}{{% if tries %}}{{% endif %}} x{end} y"
    assert said(tmp_path, flow('Execute prompt "p"', prompt))[-1] == "template-syntax 18:2"


@pytest.mark.parametrize("end", ["[*", "*]", "(*)", "[]", "[start]", "{*}"])
def test_a_broken_start_is_named_where_it_stands(tmp_path: Path, end: str) -> None:
    assert said(tmp_path, DIAGRAM.replace("[*] -->", f"{end} -->")) == ["diagram-syntax 3:1"]


@pytest.mark.parametrize("end", ["[*", "*]", "(*)", "[]", "[end]"])
def test_a_broken_end_is_named_where_it_stands(tmp_path: Path, end: str) -> None:
    assert "diagram-syntax 4:7" in said(tmp_path, DIAGRAM.replace("--> [*]", f"--> {end}"))


def test_an_open_quotation_mark_in_front_matter_is_named_where_it_stands(tmp_path: Path) -> None:
    text = '---\ntitle: x\nsystem: "You help.\ndescription: y\n---\n' + DIAGRAM
    assert said(tmp_path, text) == ["front-matter 3:9"]


@pytest.mark.parametrize("first", ["", "\n", "--\n", "-\n\n", "—\n", "----\n"])
def test_front_matter_without_its_first_line_is_an_error(tmp_path: Path, first: str) -> None:
    text = f"{first}title: x\nparameters: [n]\n---\n\n{DIAGRAM}"
    assert said(tmp_path, text) == [f"front-matter {first.count(chr(10)) + 1}:1"]


def test_a_heading_that_looks_like_a_key_is_no_front_matter(tmp_path: Path) -> None:
    assert said(tmp_path, f"title: of a page\n\nText.\n\n---\n\n{DIAGRAM}") == []
