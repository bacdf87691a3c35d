"""A fenced block below a bullet is the text of its action, kept as it stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.actions import parse_action
from samovar.checks.checking import check_workflow
from samovar.errors import Fault, FaultsError
from samovar.events import Ending
from samovar.language.reading import parse_workflow
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.running.run import Run
from samovar.values import Record
from tests.bench import Bench, Told

pytestmark = pytest.mark.anyio

OPEN = "one\ntwo ${nme"
HEAD = "```mermaid\nstateDiagram-v2\n[*] --> A\nA --> B\nB --> [*]\n```\n\n## Actions\n\n"


def load(actions: str) -> Workflow:
    return parse_workflow(HEAD + actions, name="w", path=None, parse_action=parse_action)


def faults(actions: str) -> list[Fault]:
    try:
        return list(load(actions).warnings)
    except FaultsError as error:
        return list(error.faults)


async def run(bench: Bench, actions: str, answers: tuple[str, ...] = (), **variables: object) -> Run:
    path = bench.folder / "w.md"
    path.write_text(HEAD + actions, encoding="utf-8")
    workflow = bench.library.workflow(str(path))
    known = frozenset(variables)
    assert not [
        one for one in check_workflow(workflow, bench.library, given=known) if one.severity == "error"
    ]
    return await bench.run(workflow, Told(answers), **variables)


TEXT = 'She said "hi", \\"ho\\" and \'hey\'.\n\n  # Two ${n}\n\n- a point\nA: Log "x"\n'


def fenced(text: str, fence: str = "```", info: str = "", indent: str = "  ") -> str:
    lines = [f"{fence}{info}", *text.split("\n"), fence]
    return "\n".join(indent + line if line else line for line in lines) + "\n"


@pytest.mark.parametrize("between", ["", "\n", "\n\n"])
@pytest.mark.parametrize("indent", ["  ", "    ", "\t"])
async def test_a_block_is_logged_as_it_stands_with_its_values(
    between: str, indent: str, bench: Bench
) -> None:
    block = fenced(TEXT, indent=indent)
    done = await run(
        bench, f"- A: Set n := 2\n- B: Log warning\n{between}{block}\n- C\n".replace("- C\n", "")
    )
    assert done.ending is Ending.COMPLETED, done.error
    assert bench.log == [TEXT.replace("${n}", "2")]
    assert not bench.warnings


async def test_a_block_is_a_command_in_which_values_are_words(bench: Bench) -> None:
    text = 'for word in "a b" ${n}; do\n\n  printf \'<%s>\' "$word"\ndone'
    actions = f'- A: Set n="x; exit 3"\n- B: Shell with result="v" timeout=1min\n{fenced(text, info="sh")}'
    done = await run(bench, actions)
    assert done.variables["v"] == "<a b><x; exit 3>"


async def test_a_block_is_a_prompt_before_its_options(bench: Bench) -> None:
    told = Told(["yes"])
    (bench.folder / "w.md").write_text(
        HEAD
        + '- A: Prompt result="v" using choices="yes|no"\n'
        + fenced("Is {{ n }} fine?", fence="~~~")
        + '- B: Log "${v}"'
    )
    done = await bench.run(bench.library.workflow(str(bench.folder / "w.md")), told, n=3)
    assert done.ending is Ending.COMPLETED, done.error
    assert told.requests[0].messages[-1].content == "Is 3 fine?"
    assert bench.log == ["yes"]


async def test_a_block_is_written_line_by_line(bench: Bench) -> None:
    actions = (
        f'- A: Write "a.txt"\n{fenced("one ${n}", info="text")}- B: Write "a.txt" append\n{fenced("two")}'
    )
    await run(bench, actions, n=1)
    assert (bench.folder / "a.txt").read_text() == "one 1\ntwo\n"


async def test_a_block_is_what_is_asked_refused_and_waited_for(bench: Bench) -> None:
    for action in ("Ask", "Approve", "Abort", "Abort with message", "Wait for user input"):
        workflow = load(f"- A: {action}\n{fenced('What?')}- B: Log 'x'")
        assert workflow.states["A"].action is not None
        assert "What?" in str(workflow.states["A"].action), action
    done = await run(bench, f"- A: Abort\n{fenced('Enough of ${n}')}", n=2)
    assert done.error is not None
    assert done.error.message == "Enough of 2"


async def test_a_block_goes_with_tags_around_the_action_and_with_a_join(bench: Bench) -> None:
    actions = f"- A: {{% if n > 1 %}}Log warning{{% else %}}Log{{% endif %}}\n{fenced('n is ${n}')}"
    await run(bench, actions, n=2)
    assert bench.log == ["n is 2"]


async def test_each_item_of_a_list_may_have_a_block(bench: Bench) -> None:
    actions = f'- A: Shell for each x in xs result="all"\n{fenced("echo ${x}")}'
    done = await run(bench, actions, xs=["a", "b c"])
    assert done.ending is Ending.COMPLETED, done.error
    found = done.variables["all"]
    assert isinstance(found, list)
    assert list(map(str, found)) == ["a", "b c"]


async def test_a_fence_within_a_text_in_quotes_belongs_to_the_text(bench: Bench) -> None:
    actions = '- A: Log "Look:\n  ```\n  code\n  ```\n  ok"\n- B: Log "done"'
    await run(bench, actions)
    assert bench.log == ["Look:\n```\ncode\n```\nok", "done"]


@pytest.mark.parametrize(
    ("actions", "said", "line"),
    [
        (f"- A: Log 'x'\n{fenced('y')}", "takes no block", 12),
        (f"- A: Wait 1 s\n{fenced('y')}", "takes no block", 12),
        (f"- A: Write 'a.json' as json\n{fenced('y')}", "leave out `as json`", 12),
        (f"- A: Log\n{fenced(OPEN)}", "", 13),
        (f"- A: Shell\n{fenced('eval ${n}')}", "", 12),
        (f"- A: Shell\n{fenced(' ')}", "The command is empty.", 12),
        ("- A: Log", "or in a block below the line", 10),
        ("- A: Log\n```\nx\n```", "or in a block below the line", 10),
        (f"- A:\n{fenced('x')}", "is empty", 10),
    ],
)
def test_what_is_wrong_with_a_block_has_its_place(actions: str, said: str, line: int) -> None:
    fault = next(one for one in faults(actions) if one.severity == "error")
    assert said in fault.message
    assert fault.place.line == line
    if line > 11:
        assert fault.place.column >= 3


def test_old_files_read_a_block_as_before() -> None:
    front = "---\ndialect: swissarmyhammer\n---\n"
    text = front + HEAD + f"- A: Log 'x'\n{fenced('y')}"
    workflow = parse_workflow(text, name="w", path=None, parse_action=parse_action)
    assert workflow.states["A"].action is not None


LINES = st.lists(
    st.text(
        st.characters(exclude_characters="\r\n`~\0{}$%\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029", codec="utf-8"),
        max_size=12,
    ),
    min_size=1,
    max_size=5,
)


@given(LINES, st.sampled_from(["  ", "   ", "    "]))
def test_any_lines_are_kept(lines: list[str], indent: str) -> None:
    text = "\n".join(lines)
    block = "\n".join([f"{indent}```", *(indent + line for line in lines), f"{indent}```"])
    action = load(f"- A: Log\n{block}\n- B: Log 'x'").states["A"].action
    assert action is not None
    assert action.text.template.text == text  # type: ignore[attr-defined]


async def test_a_block_is_what_a_program_reads(bench: Bench) -> None:
    block = fenced("x ${n}\n\n- $y")
    actions = f'- A: Set n="a\tb"\n- B: Command ["tr", "a-z", "A-Z"] result="v" timeout=1min\n{block}'
    done = await run(bench, actions)
    assert done.ending is Ending.COMPLETED, done.error
    value = done.variables["v"]
    assert isinstance(value, Record)
    assert value.part("stdout") == "X A\tB\n\n- $Y\n"


@pytest.mark.parametrize(
    ("line", "block", "name", "value"),
    [
        ("Set v", 'two "lines"\n\n- of {{ n }}', "v", 'two "lines"\n\n- of 2'),
        ("Set v=", "${n}", "v", "2"),
        ("Set v =  ", "true", "v", "true"),
        ("Set w=1, v", "a, w=2", "v", "a, w=2"),
        ("Set v :=", '[\n  n,  // "n"\n  n + 1\n]', "v", [2, 3]),
        ("Set w := n * 2, v :=", "w + 1", "v", 5),
    ],
)
async def test_a_block_is_the_value_of_a_variable(
    line: str, block: str, name: str, value: object, bench: Bench
) -> None:
    done = await run(bench, f"- A: Set n := 2\n- B: {line}\n{fenced(block)}")
    assert done.ending is Ending.COMPLETED, done.error
    assert done.variables[name] == value


@pytest.mark.parametrize(
    ("line", "block", "said"),
    [
        ('Set v="x"', "y", "takes no block"),
        ("Set v", "a ${nme}\nb", "'nme'"),
        ("Set v :=", "1 +\n  nme", "'nme'"),
        ("Set v :=", "1 +", "A value is expected"),
        ('Command ["cat"] stdin="x"', "y", "takes no block"),
        ('Command ["sh"]', "echo ${n}", "A value cannot be used here"),
    ],
)
def test_what_cannot_be_in_such_a_block_is_said(line: str, block: str, said: str) -> None:
    text = f"{HEAD}- A: Set n := 2\n- B: {line}\n{fenced(block)}"
    try:
        workflow = parse_workflow(text, name="w", path=None, parse_action=parse_action)
        found = list(check_workflow(workflow, Library([], parse_action)))
    except FaultsError as error:
        found = list(error.faults)
    assert any(said in one.message for one in found), found
