"""State diagrams: what is read, what is passed over, and what is refused, with its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samovar.errors import Fault
from samovar.language.diagram import Diagram, Scope
from samovar.language.mermaid import parse_diagram
from samovar.language.statements import DEEPEST
from tests.growth import assert_grows_with_size

HERE = Path("w.md")


def diagram(*statements: str, header: str = "stateDiagram-v2") -> Diagram:
    """Of a block whose fence is on line 10, and whose header is on line 11."""
    lines = list(enumerate((header, *statements), start=11))
    return parse_diagram(lines, path=HERE, line=10)


def edges(read: Diagram) -> list[tuple[str | None, str | None, str]]:
    assert not read.faults
    return [(edge.source, edge.target, edge.label) for edge in read.edges]


def only_fault(read: Diagram) -> Fault:
    (fault,) = read.faults
    return fault


@pytest.mark.parametrize(
    "header", ["stateDiagram", "stateDiagram-v2", "  stateDiagram-v2 %% x", "stateDiagram-v2;"]
)
def test_both_headers_begin_a_diagram(header: str) -> None:
    assert edges(diagram("[*] --> A", header=header)) == [(None, "A", "")]


def test_edges_have_their_ends_their_labels_and_places() -> None:
    read = diagram(
        "  [*] --> A", "A-->B: x > 1", "\tB --> [*] :  done; now  ", "A:::hot --> C:::cold : y : z"
    )
    assert edges(read) == [
        (None, "A", ""),
        ("A", "B", "x > 1"),
        ("B", None, "done; now"),
        ("A", "C", "y : z"),
    ]
    places = [(edge.place.line, edge.place.column, edge.label_place.column) for edge in read.edges]
    assert places == [(12, 3, 11), (13, 1, 8), (14, 2, 15), (15, 1, 24)]
    assert {name: (node.place.line, node.place.column) for name, node in read.nodes.items()} == {
        "A": (12, 11),
        "B": (13, 5),
        "C": (15, 13),
    }


def test_the_place_of_a_label_is_exact_where_its_text_comes_twice() -> None:
    (edge,) = diagram("A --> B : :").edges
    assert (edge.label, edge.label_place.column) == (":", 11)


def test_states_are_declared_described_and_named_with_blanks_and_hyphens() -> None:
    read = diagram(
        'state "A long text" as A',
        "A : more: text",
        "state B",
        "lone",
        "state C : text",
        "a-b c --> D",
        "X : goes --> on {here}",
        "state D <<choice>>",
    )
    assert not read.faults
    assert {name: [text for text, _ in node.descriptions] for name, node in read.nodes.items()} == {
        "A": ["A long text", "more: text"],
        "B": [],
        "lone": [],
        "C": ["text"],
        "a-b c": [],
        "D": [],
        "X": ["goes --> on {here}"],
    }
    ((_, place),) = read.nodes["X"].descriptions
    assert (place.line, place.column) == (18, 5)


def test_states_may_be_named_like_keywords() -> None:
    read = diagram(
        "[*] --> state",
        "state --> class",
        "class --> direction",
        "direction --> title",
        "state: text",
        "title: text",
    )
    assert set(read.nodes) == {"state", "class", "direction", "title"}
    assert not read.faults


def test_what_only_changes_the_looks_is_passed_over() -> None:
    read = diagram(
        "%% a comment",
        "// another",
        "%%{init: {",
        "  'theme': 'dark'}}%%",
        "direction LR",
        "classDef hot fill:#f00,stroke:red",
        "class A,B hot",
        "style A fill:#fff",
        "accTitle: A title",
        "accDescr: A text",
        "accDescr {",
        "  long }",
        "hide empty description",
        "scale 350 width",
        "note left of A : A --> X",
        "note right of A",
        "  B --> Y",
        "end note",
        "A --> B %% why --> Z",
    )
    assert edges(read) == [("A", "B", "")]
    assert set(read.nodes) == {"A", "B"}


def test_mermaids_own_front_matter_is_passed_over() -> None:
    lines = enumerate(["---", "title: a --- b", "---", "stateDiagram-v2", "[*] --> A"], start=2)
    assert edges(parse_diagram(list(lines), path=HERE, line=1)) == [(None, "A", "")]


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("state A <<fork>>", "fork"),
        ("state A<<join>>", "join"),
        ("state A [[fork]]", "fork"),
        ('state "both at once" as A << Fork >>', "fork"),
        ("state A <<choice>>", ""),
    ],
)
def test_a_state_is_what_its_declaration_says_wherever_that_stands(statement: str, kind: str) -> None:
    for statements in ((statement, "A --> B"), ("A --> B", statement), (statement, statement, "A --> B")):
        read = diagram(*statements)
        assert not read.faults
        assert {name: node.kind for name, node in read.nodes.items()} == {"A": kind, "B": ""}


def test_a_state_cannot_be_a_fork_and_a_join() -> None:
    fault = only_fault(diagram("state A <<fork>>", "  state A <<join>>"))
    assert (fault.code, fault.place.line, fault.place.column) == ("two-kinds", 13, 11)


@pytest.mark.parametrize("kind", ["flowchart TD", "sequenceDiagram", "graph LR", "pie"])
def test_another_kind_of_diagram_is_refused_by_its_name(kind: str) -> None:
    fault = only_fault(diagram("A --> B", header=kind))
    assert fault.code == "diagram-kind"
    assert f"this is a {kind.split()[0]}" in fault.message
    assert (fault.place.line, fault.place.column) == (11, 1)


@pytest.mark.parametrize(
    ("statement", "column"),
    [
        ("A -> B", 1),
        ("A --> B --> C", 1),
        ("A ---> B", 1),
        ("A --> ", 1),
        ("--> B", 1),
        ('state "text"', 1),
        ("state A <<forc>>", 9),
        ("[*] : text", 1),
        ("note left of A", 1),
    ],
)
def test_what_is_no_statement_is_a_fault_in_its_place(statement: str, column: int) -> None:
    fault = only_fault(diagram("[*] --> Z", statement))
    assert (fault.code, fault.place.line, fault.place.column) == ("diagram-syntax", 13, column)


@pytest.mark.parametrize("lines", [[], [(11, "")], [(11, "%% only a comment")]])
def test_an_empty_diagram_says_how_one_begins(lines: list[tuple[int, str]]) -> None:
    fault = only_fault(parse_diagram(lines, path=HERE, line=10))
    assert (fault.code, fault.place.line) == ("diagram-empty", 10)
    assert "stateDiagram-v2" in fault.message


@pytest.mark.slow
@pytest.mark.xdist_group("cpu")
@pytest.mark.parametrize(
    ("before", "piece", "after", "size"),
    [
        ("state A", " ", "<", 500_000),
        ('state "a" as b', " ", '"', 500_000),
        ("state ", '"a" ', "", 100_000),
        ('state "', '"', "", 500_000),
        ("A", ":::", "", 200_000),
        ("A:::", " ", "", 500_000),
        ("state a", "{", "", 500_000),
        ("A --> B", " %%{", "", 100_000),
    ],
)
def test_a_long_line_is_read_in_time_that_grows_with_its_length(
    before: str, piece: str, after: str, size: int
) -> None:
    def prepare(size: int) -> Callable[[], object]:
        statement = before + piece * size + after
        return lambda: diagram(statement)

    assert_grows_with_size(prepare, size)


@pytest.mark.slow
@pytest.mark.xdist_group("cpu")
def test_many_descriptions_of_one_state_are_read_in_time_that_grows_with_their_number() -> None:
    def prepare(size: int) -> Callable[[], object]:
        statements = ["A : x"] * size

        def describe() -> None:
            assert len(diagram(*statements).nodes["A"].descriptions) == size

        return describe

    assert_grows_with_size(prepare, 20_000)


WORDS = [
    "[*]",
    "A",
    "B-c",
    " --> ",
    "-->",
    ":",
    " : ",
    "state ",
    '"',
    " as ",
    "{",
    "}",
    "<<fork>>",
    "<<choice>>",
    "--",
    "%%",
    "%%{",
    "}%%",
    ":::",
    "note left of A",
    "end note",
    "---",
    ";",
    "class ",
    " ",
    "\t",
    "//",
]
STATEMENT = st.lists(
    st.sampled_from(WORDS) | st.text(st.characters(exclude_characters="\n"), max_size=3), max_size=8
).map("".join)


@pytest.mark.slow
@settings(max_examples=500)
@given(st.lists(STATEMENT, max_size=12), st.booleans())
def test_any_lines_give_a_diagram_whose_faults_and_states_stand_in_them(
    statements: list[str], headed: bool
) -> None:
    lines = ["stateDiagram-v2", *statements] if headed else statements
    read = parse_diagram(list(enumerate(lines, start=1)), path=None, line=1)
    for fault in read.faults:
        assert 1 <= fault.place.line <= max(len(lines), 1)
        assert fault.severity == "error"
        assert 1 <= fault.place.column <= len(lines[fault.place.line - 1] if lines else "") + 1
    for edge in read.edges:
        assert {edge.source, edge.target} - {None} <= set(read.nodes)
        assert lines[edge.label_place.line - 1][edge.label_place.column - 1 :].startswith(edge.label)


def parse(body: str) -> Diagram:
    return diagram(*body.split("\n"))


def edges_of(body: str) -> list[tuple[str | None, str | None, str]]:
    return edges(parse(body))


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
    assert edges_of(f"A --> B: {label}") == [("A", "B", kept)]


def test_mermaids_entities_are_what_they_stand_for() -> None:
    read = parse("A --> B: x == #quot;a#59;b#quot;\nB --> C: #nothing;")
    assert [edge.label for edge in read.edges] == ['x == "a;b"', "#nothing"]
    assert [hint.place.line for hint in read.hints] == []


def test_a_hash_begins_a_comment() -> None:
    assert list(parse("# [*] --> Q\n[*] --> A\nA --> [*] # end").nodes) == ["A"]
    assert edges_of("A --> B: x == '#'") == [("A", "B", "x == '#'")]


def test_a_semicolon_parts_statements_but_not_texts() -> None:
    assert edges_of("[*] --> A; A --> B: x; y;\nB --> [*];;") == [
        (None, "A", ""),
        ("A", "B", "x; y"),
        ("B", None, ""),
    ]
    assert list(parse('state "a; b" as A; B').nodes) == ["A", "B"]
    assert list(parse("title a; b; c\n[*] --> A").nodes) == ["A"]


def test_parted_statements_have_their_own_columns() -> None:
    read = parse("[*] --> A;  A --> B : x")
    edge = read.edges[1]
    assert (edge.place.column, edge.label_place.column) == (13, 23)


@pytest.mark.parametrize("where", ["above", "below", "over"])
def test_notes_of_older_files_make_no_state(where: str) -> None:
    assert list(parse(f"[*] --> A\nnote {where} A : text\nA --> [*]").nodes) == ["A"]


def test_a_composite_may_stand_without_its_keyword_as_in_old_files() -> None:
    read = parse("[*] --> X\nX {\nQ --> R\n}\nX --> [*]")
    assert not read.faults
    assert [hint.code for hint in read.hints] == ["mermaid-composite"]
    assert read.nodes["Q"].scope == Scope("X", 0)


def test_states_stand_in_the_innermost_scope_that_mentions_them() -> None:
    read = parse(
        """[*] --> Outer
        Q --> Outer
        state "An outer one" as Outer {
            [*] --> Q
            state Inner {
                R --> Q
                --
                S
            }
        --
            T --> Outer
        }
        Outer --> [*]"""
    )
    assert not read.faults
    assert {name: (node.scope, node.regions) for name, node in read.nodes.items()} == {
        "Outer": (None, 2),
        "Q": (Scope("Inner", 0), 0),
        "Inner": (Scope("Outer", 0), 2),
        "R": (Scope("Inner", 0), 0),
        "S": (Scope("Inner", 1), 0),
        "T": (Scope("Outer", 1), 0),
    }
    assert [(edge.source, edge.target, edge.scope) for edge in read.edges] == [
        (None, "Outer", None),
        ("Q", "Outer", None),
        (None, "Q", Scope("Outer", 0)),
        ("R", "Q", Scope("Inner", 0)),
        ("T", "Outer", Scope("Outer", 1)),
        ("Outer", None, None),
    ]


def test_composites_that_claim_to_hold_each_other_are_no_circle() -> None:
    read = parse("state A {\nstate B {\nX\n}\n}\nstate B {\nstate A {\nY\n}\n}")
    scopes = {name: node.scope and node.scope.composite for name, node in read.nodes.items()}
    assert scopes == {"A": None, "B": "A", "X": "B", "Y": "A"}


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("state A {\nB --> C", 12, 9),
        ("state A {\nstate B {\nC\n}\nD", 12, 9),
        ("A --> B\n}", 13, 1),
        ("A --> B\n--\nC", 13, 1),
    ],
)
def test_braces_that_do_not_pair_are_one_fault_in_its_place(text: str, line: int, column: int) -> None:
    fault = only_fault(parse(text))
    assert (fault.code, fault.place.line, fault.place.column) == ("diagram-syntax", line, column)


def test_every_wrong_line_is_told_and_what_follows_is_read() -> None:
    read = parse('A -> B\nA --> C\n  C ---> D\nC --> E: x > 1\nstate "t"')
    assert [(fault.place.line, fault.place.column) for fault in read.faults] == [(12, 1), (14, 3), (16, 1)]
    assert [(edge.source, edge.target, edge.label) for edge in read.edges] == [
        ("A", "C", ""),
        ("C", "E", "x > 1"),
    ]


@pytest.mark.parametrize("depth", [40, 60, 5000])
def test_composites_stand_in_each_other_up_to_a_depth(depth: int) -> None:
    read = parse("\n".join(f"state S{level} {{" for level in range(depth)) + "\nX" + "\n}" * depth)
    assert [fault.code for fault in read.faults] == ([] if depth <= DEEPEST else ["too-deep"])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("// why\nA --> B", "mermaid-comment"),
        ("Give up --> B", "mermaid-name"),
        ("a-b --> B", "mermaid-name"),
        ("default --> B", "mermaid-name"),
        ("A --> B; B --> C", "mermaid-semicolon"),
        ("A --> B: x; y", "mermaid-text"),
        ("A --> B: x::y", "mermaid-text"),
        ("A --> B :", "mermaid-text"),
        ("A --> B: x %% y", "mermaid-text"),
        ("A: direction TB", "mermaid-text"),
        ("note left of A: x: y", "mermaid-text"),
        ("note left of A:", "mermaid-text"),
        ("state A: x", "mermaid-name"),
        ("state A:::hot", "mermaid-name"),
        ('state "x" as A <<fork>>', "mermaid-name"),
        ("state A {\nstate B }", "mermaid-name"),
        ("state A {\nB}", "mermaid-name"),
        ("state A {\nscale 1 width\n}", "mermaid-name"),
        ("scale --> B", "mermaid-name"),
        ("title A text", "diagram-ignored"),
        ("direction TD", "diagram-ignored"),
    ],
)
def test_what_mermaid_reads_otherwise_is_a_hint(text: str, code: str) -> None:
    read = parse(text)
    assert not read.faults
    assert [hint.code for hint in read.hints] == [code]


def test_a_declared_state_may_have_a_title_and_a_description() -> None:
    read = parse('  state "the title" as A : text\n  state B:::red : other')
    assert not read.faults
    found = {
        name: [(text, place.column) for text, place in one.descriptions] for name, one in read.nodes.items()
    }
    assert found == {"A": [("the title", 10), ("text", 28)], "B": [("other", 19)]}


def test_a_diagram_of_a_hundred_thousand_statements_is_refused_at_once() -> None:
    fault = only_fault(parse("A --> B\n" * 100_001))
    assert (fault.code, fault.place.line) == ("too-large", 10)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("A -->|yes| B", "label of a flowchart"),
        ("A ==> B", "there is no other kind"),
        ("A => B", "there is no other kind"),
        ("A ..> B", "there is no other kind"),
        ("A <--> B", "points one way"),
        ("A --> state B", "write only 'B'"),
        ("state A --> B", "write the arrow without it"),
        ("A -- yes --> B", "`A --> B: label`"),
    ],
)
def test_what_other_diagrams_write_is_told_as_it_is_written_here(text: str, part: str) -> None:
    assert part in only_fault(parse(text)).message


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("A –> B", "–>"),
        ("A —> B: x", "—>"),
        ("A–>B", "–>"),
        ("A -–> B", "-–>"),
        ("A → B", "→"),
        ("[*] –> A", "–>"),
    ],
)
def test_an_arrow_that_an_editor_made_is_named_with_what_to_type(text: str, made: str) -> None:
    message = only_fault(parse(text)).message
    assert f"`{made}` is not an arrow" in message
    assert "type `-->`" in message


def test_a_title_may_have_several_lines() -> None:
    read = parse('state "two\nlines" as A\n[*] --> A\nA --> B')
    assert not read.faults and not read.hints
    assert [text for text, _ in read.nodes["A"].descriptions] == ["two\nlines"]
    assert read.nodes["B"].place.line == read.nodes["A"].place.line + 2
    (fault,) = parse('state "two\nlines\n[*] --> A').faults
    assert "The text that begins here does not end" in fault.message


def test_a_brace_that_is_missing_hides_nothing_else() -> None:
    read = diagram("[*] --> A\nstate A {\n[*] --> B\nstate C {\nD --> [*]\nE --> F: x\nA -> G\nF --> [*]")
    assert [(fault.code, fault.place.line) for fault in read.faults] == [
        ("diagram-syntax", 18),
        ("diagram-syntax", 15),
    ]
    assert {"A", "B", "C", "D", "E", "F"} <= read.nodes.keys()
    assert [edge.label for edge in read.edges if edge.source == "E"] == ["x"]
