"""State diagrams are read as Mermaid reads them: the same states and edges, by its own grammar."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, seed, settings
from hypothesis import strategies as st

from samovar.errors import Fault
from samovar.language.diagram import Diagram, Scope
from samovar.language.mermaid import parse_diagram
from tests.oracle import Drawn, oracle

NAMES = st.sampled_from(
    ["A", "B", "C", "Done", "s1", "state1", "Änderung", "x_y", "Q", "endpoint", "as", "end"]
)
ENDS = NAMES | st.just("[*]")
BLANK = st.sampled_from(["", " ", "  ", "\t"])
GAP = st.sampled_from([" ", "  ", "\t"])
TEXTS = st.sampled_from(
    [
        *("done", "x > 1", "x == 'a:b'", "default", "On Success", '"in quotes"', "a --> b", "{x}", "[*]"),
        *("a, b", 'result.contains("YES")', "!ok && (n < 3)", "50%", "x # y", "naïve", "<b>", "state A"),
    ]
)
CLASS = st.sampled_from(["", "", "", ":::hot", "::: cold"])
COMMENT = st.sampled_from(["", "", "", " %% why", " %% A --> X", " # so"])


def joined(*parts: st.SearchStrategy[str] | str) -> st.SearchStrategy[str]:
    return st.tuples(*(st.just(part) if isinstance(part, str) else part for part in parts)).map("".join)


EDGE = joined(ENDS, CLASS, BLANK, "-->", BLANK, ENDS, CLASS)
SIMPLE = st.one_of(
    joined(EDGE, COMMENT),
    joined(EDGE, BLANK, ":", BLANK, TEXTS),
    joined(NAMES, CLASS, COMMENT),
    joined(NAMES, BLANK, ":", BLANK, TEXTS),
    joined("state", GAP, '"A long: text"', GAP, "as", GAP, NAMES),
    joined("state", GAP, NAMES, BLANK, st.sampled_from(["<<fork>>", "<<join>>", "<<choice>>", "[[fork]]"])),
    joined("state", GAP, NAMES),
    joined(
        "note",
        GAP,
        st.sampled_from(["left of", "right of"]),
        GAP,
        NAMES,
        " : ",
        st.sampled_from(["x", "A -> b"]),
    ),
    joined("note left of ", NAMES, "\n", "A --> Nowhere\nfree: text\n", BLANK, "end note"),
    joined("direction ", st.sampled_from(["LR", "TB", "RL", "BT"])),
    st.sampled_from(
        [
            *("%% a comment", "# a comment", "%%{init: {'theme': 'dark'}}%%", ""),
            *("classDef hot fill:#f00,stroke:#333;", "class A hot", "class A,B hot", "style A fill:#fff"),
        ]
    ),
)
OUTSIDE = st.sampled_from(
    [
        *("hide empty description", "scale 350 width", "accTitle: a title", "accDescr: a text"),
        *(
            "accDescr {\na --> b\n}",
            'click A "https://example.org" "tip"',
            'click A href "https://example.org"',
        ),
    ]
)
"""What Mermaid knows outside of composites only."""


def block(statements: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A composite of statements, with or without regions."""
    body = st.lists(statements, max_size=5).map("\n  ".join)
    bodies = st.lists(body, min_size=1, max_size=3).map("\n--\n".join)
    return joined("state", GAP, NAMES, BLANK, "{\n", bodies, "\n", BLANK, "}")


STATEMENT = st.recursive(SIMPLE, block, max_leaves=6) | OUTSIDE
HEADER = st.sampled_from(["stateDiagram-v2", "stateDiagram", "  stateDiagram-v2", "%% x\nstateDiagram-v2"])
DIAGRAMS = st.tuples(HEADER, st.lists(joined(BLANK, STATEMENT, BLANK), max_size=10)).map(
    lambda parts: "\n".join((parts[0], *parts[1]))
)


def read(text: str) -> Diagram:
    return parse_diagram(list(enumerate(text.split("\n"), start=1)), path=None, line=1)


def agree(diagram: Diagram, drawn: Drawn, *, regions: bool = False) -> None:
    """`regions`: compared too. Mermaid numbers them anew where one is empty."""
    edges: list[tuple[object, ...]] = [
        (edge.source, edge.target, edge.label, *_scope(_plain(edge.scope), regions)) for edge in diagram.edges
    ]
    expected = [(*edge, *_scope(scope, regions)) for *edge, scope in drawn.edges]
    assert edges == expected
    assert drawn.states <= diagram.nodes.keys() <= drawn.states | drawn.mentioned


def _plain(scope: Scope | None) -> tuple[str, int] | None:
    return (scope.composite, scope.region) if scope else None


def _scope(scope: tuple[str, int] | None, regions: bool) -> tuple[object, ...]:
    return (scope and scope[0], scope and regions and scope[1])


def wrong(diagram: Diagram) -> list[Fault]:
    """What is refused because of its syntax."""
    return [fault for fault in diagram.faults if fault.code.startswith("diagram")]


def inputs(chunk: int, strategy: st.SearchStrategy[str], count: int, check: Callable[[str], None]) -> None:
    """Checks `count` inputs: others in each chunk, and in the profile `fresh` others each time."""

    @settings(max_examples=count, suppress_health_check=list(HealthCheck), database=None)
    @given(strategy)
    def run(text: str) -> None:
        check(text)

    (seed(chunk)(run) if settings().derandomize else run)()


CHUNKS = [0, *(pytest.param(chunk, marks=pytest.mark.slow) for chunk in range(1, 40))]
"""Of the inputs. The first is enough to see that nothing is broken by and large."""


@pytest.mark.slow
@pytest.mark.parametrize("chunk", CHUNKS)
def test_what_mermaid_reads_is_read_as_the_same_states_and_edges(chunk: int) -> None:
    def check(text: str) -> None:
        drawn = oracle().read(text)
        assume(isinstance(drawn, Drawn))
        assert isinstance(drawn, Drawn)
        diagram = read(text)
        assert not wrong(diagram)
        agree(diagram, drawn)

    inputs(chunk, DIAGRAMS, 50, check)


def test_a_bracket_below_its_state_opens_it_as_it_does_for_mermaid() -> None:
    text = "stateDiagram-v2\nstate A\n{\nB --> C\n}"
    drawn, diagram = oracle().read(text), read(text)
    assert isinstance(drawn, Drawn) and not wrong(diagram)
    agree(diagram, drawn)


SYNTAX = ("Parse error", "Lexical error", "No diagram type")
PIECES = st.sampled_from(
    [
        *(
            "-->",
            "--",
            "->",
            "{",
            "}",
            ":",
            ":::",
            '"',
            "state ",
            "<<fork>>",
            "[*]",
            "note ",
            "A",
            " ",
            "\n",
            "%%",
            ";",
        )
    ]
)


ODD = re.compile(
    r'click .*[ \t]\n|state\s.*".*(<<|\[\[)|:::\s*(state|note|class|style|direction|acc|click|\[)'
    r"|stateDiagram(-v2)?[ \t]+\S|\S.*direction"
)
"""Read by Mermaid as nobody means it: blanks behind `click`, `<<fork>>` in a title, classes like keywords,
what stands on the header's line, `direction` anywhere on a line."""


@st.composite
def spoilt(draw: st.DrawFn) -> str:
    """A diagram with a piece too many or too few somewhere."""
    text = draw(DIAGRAMS)
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(text)))
        cut = draw(st.integers(0, 4))
        text = text[:at] + draw(PIECES | st.just("")) + text[at + cut :]
    return text


@pytest.mark.parametrize("chunk", CHUNKS)
def test_what_mermaid_refuses_is_refused_or_told(chunk: int) -> None:
    def check(text: str) -> None:
        assume(not ODD.search(text))
        diagram = read(text)
        drawn = oracle().read(text)
        if isinstance(drawn, str):
            assume(drawn.startswith(SYNTAX))
            assert diagram.faults or diagram.hints
        elif not diagram.faults and not diagram.hints:
            agree(diagram, drawn)

    inputs(chunk, spoilt(), 13, check)


def blocks() -> Sequence[str]:
    folder = Path(__file__).parent / "corpus"
    return [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.md"))]


@pytest.mark.parametrize("name", blocks())
def test_the_files_of_the_corpus_agree(name: str) -> None:
    text = (Path(__file__).parent / "corpus" / name).read_text(encoding="utf-8")
    lines = text.split("\n")
    begin = next(
        (
            index
            for index, line in enumerate(lines)
            if "mermaid" in line and line.strip()[:3] in ("```", "~~~")
        ),
        None,
    )
    if begin is None:
        pytest.skip("no diagram")
    end = next(index for index, line in enumerate(lines) if index > begin and line.strip() in ("```", "~~~"))
    source = "\n".join(lines[begin + 1 : end])
    drawn, diagram = oracle().read(source), read(source)
    if isinstance(drawn, str):
        assert diagram.faults or diagram.hints
    elif not diagram.hints:
        agree(diagram, drawn)


def test_regions_are_those_of_mermaid() -> None:
    text = "stateDiagram-v2\nstate A {\n[*] --> B\n--\n[*] --> C\nstate D {\nE --> [*]\n--\nF --> G\n}\n}"
    drawn = oracle().read(text)
    assert isinstance(drawn, Drawn)
    agree(read(text), drawn, regions=True)
