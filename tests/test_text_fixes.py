"""Old diagrams with comments, semicolons and notes; keys that stand twice; deep lists; system prompts."""

from __future__ import annotations

from pathlib import Path

import pytest

from samovar.actions import parse_action
from samovar.errors import Fault, FaultsError, Place
from samovar.markdown import Document, parse_document
from samovar.mermaid import Diagram, parse_diagram
from samovar.parameters import read_parameters
from samovar.prompt import parse_prompt
from samovar.reading import parse_workflow
from samovar.workflow import Workflow

FIRST = 11
STRAIGHT = "[*] --> A\nA --> [*]"


def read(text: str, line: int = 1) -> Document:
    return parse_document(text, path=None, line=line)


def parse(body: str, header: str = "stateDiagram-v2\n") -> Diagram:
    lines = list(enumerate((header + body).split("\n"), start=FIRST))
    return parse_diagram(lines, path=None, line=FIRST - 1)


def edges(body: str) -> list[tuple[str | None, str | None, str]]:
    diagram = parse(body)
    assert not diagram.faults, diagram.faults
    return [(edge.source, edge.target, edge.label) for edge in diagram.edges]


def load(text: str, path: Path | None = None, *, lenient: bool = False) -> Workflow:
    return parse_workflow(text, name="w", path=path, parse_action=parse_action, lenient=lenient)


def text_of(diagram: str = STRAIGHT, actions: str = "", front: str = "", more: str = "") -> str:
    """The diagram's first line is line 4 of the file where there is no front matter."""
    matter = f"---\n{front}\n---\n" if front else ""
    return f"{matter}# T\n```mermaid\nstateDiagram-v2\n{diagram}\n```\n## Actions\n{actions}\n{more}"


def marks(faults: list[Fault] | tuple[Fault, ...]) -> list[tuple[str, int, int]]:
    return [(fault.code, fault.place.line, fault.place.column) for fault in faults]


@pytest.mark.parametrize("depth", [9, 10, 11, 30])
def test_what_follows_a_deep_list_is_still_read(depth: int) -> None:
    nested = "\n".join("  " * level + "- x" for level in range(depth))
    assert [one.title for one in read(f"{nested}\n\n# After\n").headings] == ["After"]


def test_keys_that_stand_twice_are_known_with_their_path() -> None:
    document = read("---\na: 1\nb:\n  - c: 1\n    c: 2\na: 2\n---\n")
    assert document.front_matter is not None
    assert set(document.front_matter.twice) == {("a",), ("b", 0, "c")}
    assert document.spot("a").line == 6


@pytest.mark.parametrize("comment", ["// c", "%% c", "# c", "//", "// a --> b: c; d"])
@pytest.mark.parametrize("line", ["A --> [*]", "[*] --> A", "state A", "A", "A:::red"])
def test_a_comment_behind_a_statement_is_no_part_of_it(line: str, comment: str) -> None:
    assert list(parse(f"[*] --> A\n{line} {comment}").nodes) == ["A"]


@pytest.mark.parametrize(
    ("label", "kept"),
    [
        ("x > 1 // c", "x > 1"),
        ("default %% c", "default"),
        ('x == "a // b" // c', 'x == "a // b"'),
        ("x == 'a %% b'", "x == 'a %% b'"),
        ('x == "a\\" // b"', 'x == "a\\" // b"'),
        ("http://x", "http://x"),
    ],
)
def test_a_comment_behind_a_label_is_cut_outside_quotes_only(label: str, kept: str) -> None:
    assert edges(f"A --> B: {label}") == [("A", "B", kept)]


def test_a_hash_begins_a_comment() -> None:
    assert list(parse("# [*] --> Q\n[*] --> A\nA --> [*] # end").nodes) == ["A"]
    assert edges("A --> B: x == '#'") == [("A", "B", "x == '#'")]


def test_a_semicolon_parts_statements_but_not_texts() -> None:
    assert edges("[*] --> A; A --> B: x; y;\nB --> [*];;") == [
        (None, "A", ""),
        ("A", "B", "x; y"),
        ("B", None, ""),
    ]
    assert list(parse('state "a; b" as A; B').nodes) == ["A", "B"]
    assert list(parse("title a; b; c\n[*] --> A").nodes) == ["A"]


def test_parted_statements_have_their_own_columns() -> None:
    diagram = parse("[*] --> A;  A --> B : x")
    edge = diagram.edges[1]
    assert (edge.place.column, edge.label_place.column) == (13, 23)


@pytest.mark.parametrize("where", ["above", "below", "over"])
def test_notes_of_older_files_make_no_state(where: str) -> None:
    assert list(parse(f"[*] --> A\nnote {where} A : text\nA --> [*]").nodes) == ["A"]


def test_a_composite_without_its_keyword_is_one_fault_too() -> None:
    (fault,) = parse("[*] --> A\nX {\nQ --> R\n}\nA --> [*]").faults
    assert (fault.code, fault.place.line) == ("unsupported", 13)


def test_a_declared_state_may_have_a_title_and_a_description() -> None:
    diagram = parse('  state "the title" as A : text\n  state B:::red : other')
    assert not diagram.faults
    found = {
        name: [(text, place.column) for text, place in one.descriptions]
        for name, one in diagram.nodes.items()
    }
    assert found == {"A": [("the title", 10), ("text", 28)], "B": [("other", 19)]}


def test_a_comment_behind_the_end_does_not_hide_it() -> None:
    one = load(text_of("[*] --> A // begin\nA --> [*] // end"))
    assert (list(one.states), one.states["A"].transitions[0].target, one.warnings) == (["A"], None, ())


def test_a_setting_that_stands_twice_is_a_warning() -> None:
    one = load(text_of(front="title: a\ntitle: b"))
    assert (one.title, marks(one.warnings)) == ("b", [("duplicate-key", 3, 1)])


def test_a_system_prompt_that_cannot_be_filled_is_a_fault_before_the_run() -> None:
    with pytest.raises(FaultsError) as caught:
        load(text_of(front='title: x\nsystem: "{{ name"'))
    (fault,) = caught.value.faults
    assert (fault.code, fault.place.line) == ("template-syntax", 3)


def test_a_key_of_a_prompt_that_stands_twice_is_a_warning() -> None:
    one = parse_prompt("---\ntitle: a\ntitle: b\n---\nx", name="p", path=None)
    assert marks(one.warnings) == [("duplicate-key", 3, 1)]


def test_a_pattern_is_a_text_and_no_warning_is_shown_for_an_odd_one() -> None:
    def where(*steps: str | int) -> Place:
        return Place(path=None, line=1 + len(steps))

    assert [one.code for one in read_parameters([{"name": "n", "pattern": ["a"]}], where)[1]] == ["parameter"]
    assert read_parameters([{"name": "n", "pattern": "[[a]"}], where)[1] == []
