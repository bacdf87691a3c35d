"""`for each` before a run and beside it: what check says, previews show, cases tell, and people see."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.actions import parse_action
from samovar.actions.for_each import ForEach
from samovar.actions.prompt import ExecutePrompt
from samovar.app import open_scripted
from samovar.checks.checking import check_workflow
from samovar.cli.live_items import ItemLines
from samovar.cli.report import without_items
from samovar.errors import FaultsError, Place
from samovar.events import ItemsProgressed, StateEntered, StateLeft, VisitStatus, Warned
from samovar.language.item_paths import by_items, said_of
from samovar.language.mermaid import parse_diagram
from samovar.preflight.preview import preview
from samovar.running.runner import Runner, RunnerSettings, first_defaults
from samovar.testing.case_checks import check_cases
from samovar.testing.case_file import parse_cases
from samovar.testing.coverage import cover
from samovar.testing.recording import Recording
from samovar.testing.trial import run_case
from tests.bench import Bench, unchecked
from tests.test_live import Screen
from tests.test_testing import Cases, told

pytestmark = pytest.mark.anyio
HERE = Place(path=None, line=1)
ONE = "[*] --> Each\nEach --> Then\nThen --> [*]"
INSIDE = """[*] --> Each
state Each {
    [*] --> Write
    Write --> [*]
}
Each --> Then
Then --> [*]"""


@pytest.fixture
def cases(tmp_path: Path) -> Cases:
    return Cases(tmp_path)


def faults(bench: Bench, diagram: str, actions: str) -> list[str]:
    """Codes and messages of all that is wrong."""
    try:
        found = check_workflow(bench.write("w", diagram, actions), bench.library)
    except FaultsError as error:
        found = tuple(error.faults)
    return [f"{fault.code}: {fault.message}" for fault in found]


# What is written -----------------------------------------------------------------------------------------


@given(
    st.lists(
        st.sampled_from(
            [
                "a",
                "b.c",
                "size(x)",
                "[1, 2]",
                '"with using = "',
                "a[0]",
                "{'k': [1]}",
                "xs.map(x, x + 1)",
                "(1)",
            ]
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(
        ["", " with topic=tea", " using max_tokens=3", ' result="r"', " at_once=2", ", at_once=3"]
    ),
)
def test_a_list_ends_before_a_word_behind_a_value_whatever_is_in_it(terms: list[str], behind: str) -> None:
    text = " + ".join(terms)
    action = parse_action(f'Prompt "x" for each one in {text}{behind}', HERE)
    assert isinstance(action, ForEach) and isinstance(action.action, ExecutePrompt)
    assert action.clause.items.text == text
    assert (action.result, len(action.action.arguments)) == (
        "r" if "result" in behind else None,
        "with" in behind,
    )


@pytest.mark.parametrize(
    "line",
    [
        'Prompt "for each x in y"',
        'Prompt "a" with b="for each x in y"',
        "Shell 'echo for each x in y'",
        'Log "for each x in y"',
    ],
)
def test_words_within_texts_are_no_list(line: str) -> None:
    assert not isinstance(parse_action(line, HERE), ForEach)


def test_places_in_what_is_behind_a_list_are_those_of_the_line() -> None:
    line = 'Prompt "x" for each one in\n  xs with topic="${"'
    with pytest.raises(FaultsError) as caught:
        parse_action(line, HERE)
    assert caught.value.faults[0].place.line == 2


@pytest.mark.parametrize(
    ("actions", "said"),
    [
        ('Each: Log "x" for each f in [1]', "works with prompts, workflows and commands, not with 'log'"),
        ('Each: Prompt "x" for each f [1]', "`in` and a list are expected"),
        ('Each: Prompt "x" for each f in', "A value is expected"),
        ('Each: Prompt "x" for each in in [1]', "has another meaning in expressions"),
        ('Each: Prompt "x" for each f in [1] at_once=0', "`at_once` must be a whole number from 1 to 256"),
        ('Each: Prompt "x" for each f in [1] on_failure=skip', "`on_failure` must be `collect`"),
        ('Each: Prompt "x" for each f in [1] collect="x"', "A prompt or a command keeps its whole value"),
        ('Each: Prompt "x" for each f in [1] at_once=1 at_once=2', "'at_once' is given twice"),
        ('Each: Prompt "x" for each f in [1] with args="no"', "`args` must be a map"),
        ('Each: For each f in [1] Prompt "x"', "The action comes before its list"),
        ("Each: For each f in [1]", "'Each' is not a composite state"),
        ('Each: Prompt "${f}" for each f in "a"', "item-list: `for each` takes a list"),
        ('Each: Prompt "${f}" for each f in [1]\nThen: Log "${f}"', "Nothing sets the variable 'f'"),
        ('Each: Prompt "${f} ${g}" for each f in [1]', "Nothing sets the variable 'g'"),
        ('Each: Prompt "${f}" for each f in f', "Nothing sets the variable 'f'"),
        ('Each: Prompt "${f}" for each f in [1]\nThen: Set f=1', "item-name: An item cannot be called 'f'"),
        ('Each: Prompt "${result}" for each result in [1]', "'result' means something already"),
        (
            'Each: Prompt "x" for each f in [1] using session="s"',
            "Each item would continue the session 's'",
        ),
    ],
)
def test_what_is_wrong_with_a_list_is_said(bench: Bench, actions: str, said: str) -> None:
    assert any(said in fault for fault in faults(bench, ONE, actions)), faults(bench, ONE, actions)


@pytest.mark.parametrize(
    "line",
    [
        'Prompt "x ${f}" for eahc f in [1]',
        'Prompt "x ${f}" fro each f in [1] result="v"',
        'Execute prompt "x" foreach f in [1] with f="${f}"',
        'Shell "true" for f in [1]',
        'Run workflow "x" with a=1 for every f in [1] using b=1',
        "For eahc f in [1]",
        "For f in [1]",
        "Foreach f in [1] at_once=2",
        "For each f in [1]",
        'Prompt "for eahc f in xs" for each f in [1]',
        'Log "for eahc f in xs"',
        "Set found := f in [1]",
    ],
)
def test_a_list_that_is_nearly_gone_through_is_told_how(line: str) -> None:
    try:
        parse_action(line, Place(path=None, line=1))
        messages = []
    except FaultsError as error:
        messages = [fault.message for fault in error.faults]
    is_right = "For each f" in line or "for each f" in line or "xs" in line or ":=" in line
    assert len(messages) == (not is_right), messages
    assert all("Did you mean 'for each'?" in message for message in messages)


@pytest.mark.parametrize(
    ("diagram", "actions", "said"),
    [
        (INSIDE, 'Each: For each x in [1] collect="rwo"\nWrite: Set row := x', "Did you mean 'row'?"),
        (
            INSIDE,
            'Each: For each x in [1]\nWrite: Prompt "${y}" for each x in [2]',
            "of the list around this one",
        ),
        (
            INSIDE,
            'Each: For each x in [1]\nWrite: Prompt "${x}" using session="s"',
            "Each item would continue",
        ),
        (INSIDE + "\nWrite --> Then", "Each: For each x in [1]", "crosses the border of 'Each'"),
        (INSIDE + "\nThen --> Write", "Each: For each x in [1]", "crosses the border of 'Each'"),
        (
            INSIDE.replace("Write --> [*]\n", "Write --> [*]\n--\n[*] --> B\nB --> [*]\n"),
            "Each: For each x in [1]",
            "'Each' has regions",
        ),
    ],
)
def test_what_is_wrong_with_a_composite_for_each_item_is_said(
    bench: Bench, diagram: str, actions: str, said: str
) -> None:
    assert any(said in fault for fault in faults(bench, diagram, actions)), faults(bench, diagram, actions)


@pytest.mark.parametrize(
    "actions",
    [
        'Each: Prompt "${x} ${x_index}" for each x in [1] result="r"\nThen: Prompt "${x}" for each x in r',
        'Each: Prompt "x" for each f in [1] at_once=1 using session="s"',
        'Each: Run workflow "no" for each f in [1] with args={"at_once": "${f}"}'.replace('"no"', '"${f}"'),
    ],
)
def test_what_is_right_is_not_doubted(bench: Bench, actions: str) -> None:
    assert faults(bench, ONE, actions) == []


def test_conditions_and_expressions_know_what_the_items_and_results_can_be(bench: Bench) -> None:
    line = 'Each: Prompt "${x}" for each x in ["a"] result="r" using choices="yes|no"\nThen: Log "${%s}"'
    assert "is never true" in faults(bench, ONE, line % 'r[0] == "maybe"')[0]
    assert "part 'foo'" in faults(bench, ONE, line % "r[0].foo")[0]
    assert faults(bench, ONE, line % 'r[0] == "yes"') == []
    collected = line.replace("using", "on_failure=collect using")
    assert "Did you mean 'ok'?" in faults(bench, ONE, collected % "r[0].okay")[0]
    inside = 'Each: For each x in ["a"] collect="v"\nWrite: Prompt "${x == 3}" result="v"'
    assert "is never true" in faults(bench, INSIDE, inside)[0]
    inner = 'Each: For each x in [["a"]] result="r"\nWrite: Prompt "${y == 3}" for each y in x'
    assert "is never true" in faults(bench, INSIDE, inner)[0]


def test_a_changing_item_before_much_fixed_text_is_doubted(bench: Bench) -> None:
    fixed = "Keep to this rule, whatever may be. " * 10
    line = 'Each: Prompt "%s" for each x in [1, 2]'
    assert faults(bench, ONE, line % (fixed + "${x}")) == []
    assert faults(bench, ONE, line % ("${x} " + fixed))[0].startswith("prefix-broken")


def test_effects_of_items_are_those_of_the_workflow() -> None:
    action = parse_action("Shell 'rm -- ${x}' for each x in xs", HERE)
    assert action.effect == "runs a command"
    assert action.doing.startswith("rm -- ${x}") and action.doing.endswith("for each x in xs")


# Before a run --------------------------------------------------------------------------------------------


def test_a_dry_run_says_for_which_items_and_fills_what_it_can(bench: Bench) -> None:
    actions = """Each: Prompt "About ${x} and ${who}" for each x in xs
    Then: Prompt "${x}" for each x in result"""
    front = "parameters: [{name: xs}, {name: who}]"
    workflow = bench.write("w", ONE, actions, front)
    defaults = first_defaults(workflow, RunnerSettings())
    each, then = preview(workflow, {"xs": ["a", "b"], "who": "Ada"}, bench.library, defaults)
    assert (each.each, then.each) == ("for each x in xs, 2 items", "for each x in result")
    assert each.prompt is not None and each.prompt.messages[0].text() == "About ${x} and Ada"


def test_a_dry_run_knows_that_items_of_a_composite_see_what_was_set_before_it(bench: Bench) -> None:
    diagram = INSIDE.replace("[*] --> Each", "[*] --> First\nFirst --> Each", 1)
    actions = (
        'First: Prompt "Hi" result="w"\nEach: For each x in [1]\nWrite: Prompt "${x} ${w}"\nThen: Log "${w}"'
    )
    workflow = bench.write("w", diagram, actions)
    states = {
        one.name: one
        for one in preview(workflow, {}, bench.library, first_defaults(workflow, RunnerSettings()))
    }
    assert states["Write"].error is None and states["Write"].prompt is not None
    assert states["Write"].prompt.messages[0].text() == "${x} ${w}"


# Cases ---------------------------------------------------------------------------------------------------

TWO = """[*] --> Ask
Ask --> Each
state Each {
    [*] --> Judge
    Judge --> Row: team == "a"
    Judge --> [*]: default
    Row --> [*]
}
Each --> [*]"""
TWO_ACTIONS = """Ask: Prompt "${x}" for each x in [1, 2, 3] result="said"
Each: For each one in said at_once=3 collect="row" result="rows"
Judge: Prompt "Whose is ${one}?" result="team" using choices="a|b"
Row: Command ["echo", "${one}"] result="row" """
TWO_CASE = """answers:
  Ask: [one, two, three]
  Each: {Judge: [a, b, a]}
commands:
  "Each[0]/Row": first
  Each/Row: another
expect:
  path: [Ask, "Ask[2]", "Ask[0]", "Ask[1]", Each, "Each[1]/Judge", "Each[0]/Judge", "Each[0]/Row",
    "Each[2]/Judge", "Each[2]/Row"]
  prompts: {Ask: ["1", "2", "3"], Each/Judge: [one, two, three], "Each[1]/Judge": two}
  commands: {Each/Row: [{exact: [echo, one]}, {exact: [echo, three]}]}
  variables: {rows: [first, null, another]}
"""


def test_cases_tell_and_expect_by_item_whatever_order_the_items_come_in(cases: Cases) -> None:
    tree = cases.write(TWO, TWO_ACTIONS)
    result = cases.result(tree, TWO_CASE)
    assert told(result) == []
    coverage = cover(tree.workflow, [result.seen[tree.workflow.identity]])
    assert (coverage.states.percent, coverage.transitions.percent) == (100, 100)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[one, two, three]", "[one, two]", "'Ask[2]' asked a prompt that the case has no answer for"),
        ("[one, two, three]", "[one, two, three, four]", "only 3 of 4 were used"),
        ('Each[1]/Judge": two', 'Each[1]/Judge": three', "does not contain this"),
        ("[first, null, another]", "[first, another, null]", "The variable 'rows' has another value"),
        ('"Each[0]/Row", ', "", ""),
    ],
)
def test_what_comes_otherwise_for_an_item_is_said(cases: Cases, old: str, new: str, said: str) -> None:
    assert old in TWO_CASE or not said
    found = told(cases.result(cases.write(TWO, TWO_ACTIONS), TWO_CASE.replace(old, new)))
    assert not said or any(said in one for one in found), found


@pytest.mark.parametrize("path", ["Judge", "Each[0]/Rwo", "Each/Ask", "Ask[0]/Judge"])
def test_a_state_within_a_list_is_named_by_its_path(cases: Cases, path: str) -> None:
    tree = cases.write(TWO, TWO_ACTIONS)
    file = parse_cases(f'cases:\n  - name: one\n    answers: {{"{path}": a}}', cases.folder / "w.test.yaml")
    assert [fault.code for fault in check_cases(file, tree)] in (["unknown-state"], ["unknown-key"])


async def test_a_recorded_run_with_lists_passes_as_it_is(cases: Cases) -> None:
    tree = cases.write(TWO.replace("Judge --> Row", "Judge --> Judge: false\nJudge --> Row"), TWO_ACTIONS)
    actions = TWO_ACTIONS.replace('Command ["echo", "${one}"]', 'Prompt "${one}"')
    tree = cases.write(TWO, actions)
    async with open_scripted(lambda messages: "a") as executor:
        recording = Recording(executor, lambda event: None)
        settings = RunnerSettings(folder=cases.folder, outside=recording)
        runner = Runner(cases.library, recording, on_event=recording, settings=settings)
        run = await runner.run(unchecked(tree.workflow))
    values = recording.values(tree, {}, run, folder=cases.folder)
    assert values["answers"] == {"Ask": ["a"] * 3, "Each/Judge": ["a"] * 3, "Each/Row": ["a"] * 3}
    text = "cases:\n  - " + json.dumps({"name": "one", **values})
    file = parse_cases(text, cases.folder / "w.test.yaml")
    assert (await run_case(file.cases[0], tree, cases.library)).differences == ()


def test_what_is_said_of_one_item_goes_before_what_is_said_of_all() -> None:
    said = {"A[1]/B": 1, "A/B": 2, "A/B/C[2]": 3, "A/B/C": 4}
    assert said_of("A[1]/B", said) == ("A[1]/B", 1, None)
    assert said_of("A[3]/B", said) == ("A/B", 2, 3)
    assert said_of("A[9]/B/C[2]", said) == ("A/B/C[2]", 3, 9)
    assert said_of("A[9]/B/C[5]", said) == ("A/B/C", 4, 5)
    assert said_of("A", said) is None


def test_what_was_told_once_for_each_item_becomes_one_list() -> None:
    assert by_items({"A[1]": [2], "B": [0], "A[0]": [1]}) == {"A": [1, 2], "B": [0]}
    assert by_items({"A[1]": [2]}) == {"A[1]": [2]}
    assert by_items({"A[0]": [1, 1], "A[1]": [2]}) == {"A[0]": [1, 1], "A[1]": [2]}


# What people see -----------------------------------------------------------------------------------------


def entered(visit: int, path: str, verb: str = "prompt") -> StateEntered:
    return StateEntered(visit=visit, state=path, path=path, verb=verb, what="x", time_s=0.0)


def left(visit: int, path: str, status: VisitStatus = VisitStatus.SUCCESS) -> StateLeft:
    return StateLeft(
        visit=visit, path=path, status=status, duration_s=1.0, error=None, figures=None, time_s=1.0
    )


def progressed(done: int, total: int, running: int, failed: int, time_s: float) -> ItemsProgressed:
    return ItemsProgressed(visit=1, total=total, done=done, failed=failed, running=running, time_s=time_s)


def test_a_list_has_one_live_line_with_how_far_it_has_come() -> None:
    screen = Screen()
    screen.lines(entered(1, "Each", "for each"))
    for number in range(3):
        screen.lines(entered(number + 2, f"Each[{number}]/Ask"))
    screen.lines(progressed(1, 4, 2, 1, 10.0))
    (line,) = screen.drawn()
    assert line.startswith("● Each  for each")
    screen.lines(left(2, "Each[0]/Ask"))
    screen.lines(left(3, "Each[1]/Ask", VisitStatus.FAILURE))
    screen.lines(left(4, "Each[2]/Ask"))
    screen.lines(left(1, "Each"))
    text = screen.text()
    assert "✗ Each[1]/Ask" in text and "✓ Each  for each" in text and "✓ Each[0]" not in text
    screen.lines.close()


def test_the_time_that_is_left_is_that_of_the_items_so_far() -> None:
    items = ItemLines(verbose=0)
    items.see(entered(1, "Each", "for each"))
    assert items.progress(1, 0.0) is None
    items.see(progressed(12, 48, 8, 1, 10.0))
    assert items.progress(1, 10.0) == (0.25, "12 of 48, 8 running, 1 failed, 30 s left")
    items.see(progressed(48, 48, 0, 1, 40.0))
    assert items.progress(1, 40.0) == (1.0, "48 of 48, 1 failed")


def test_the_same_warning_of_many_items_is_said_once() -> None:
    items = ItemLines(verbose=0)
    items.see(entered(1, "Each", "for each"))
    for visit in (2, 3):
        items.see(entered(visit, f"Each[{visit}]"))
    warned = [Warned(visit=visit, message="It was cut off.") for visit in (2, 3)]
    assert [items.repeats(one) for one in warned] == [False, True]
    assert not items.repeats(Warned(visit=9, message="It was cut off."))


def test_a_report_has_a_row_for_each_list_and_for_each_item_that_failed() -> None:
    tokens = {"evaluated": 1, "reused": 2, "generated": 3, "reasoning": 0}
    rows = without_items(
        [
            {"name": "Each", "action": "for each", "status": "success"},
            {"name": "Each[0]", "action": "prompt", "status": "success", "tokens": tokens},
            {"name": "B", "path": "Each[1]/B", "action": "prompt", "status": "failure", "tokens": tokens},
            {"name": "Then", "action": "log", "status": "success"},
        ]
    )
    assert [row.get("path", row["name"]) for row in rows] == ["Each", "Each[1]/B", "Then"]
    assert rows[0]["tokens"]["generated"] == 6


def test_the_drawing_of_a_list_is_mermaids_own() -> None:
    lines = list(enumerate(["stateDiagram-v2", *INSIDE.splitlines()], start=1))
    assert parse_diagram(lines, path=None, line=1).hints == ()


def test_a_list_that_is_given_up_says_how_far_it_came() -> None:
    screen = Screen()
    screen.lines(entered(1, "Each", "for each"))
    screen.lines(progressed(3, 40, 2, 1, 10.0))
    screen.lines(left(1, "Each", VisitStatus.CANCELLED))
    assert "3 of 40 items" in screen.text().replace("\n", "")
    screen.lines.close()
