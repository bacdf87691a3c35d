"""Workflow files: what they mean, and where what is wrong with them stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samovar.actions import parse_action
from samovar.actions.set import Set
from samovar.errors import Fault, FaultsError, Place
from samovar.language.labels import read_label
from samovar.language.reading import parse_workflow
from samovar.language.workflow import Limits, When, Workflow
from tests.growth import assert_grows_with_size

HERE = Path("w.md")

SAMPLE = """---
title: Triage
description: Reads a bug report, answers it, and says whether a person must look
model: smollm2                      # optional; default for every prompt here
parameters:
  - name: report
    description: The bug report's text
    required: true
  - name: tone
    description: How the answer sounds
    type: choice
    choices: [plain, warm]
    default: plain
---

# Triage

```mermaid
stateDiagram-v2
    [*] --> Read
    Read --> Judge
    Judge --> Escalate: verdict.urgent
    Judge --> Answer: default
    Escalate --> Answer
    Answer --> [*]
```

## Actions

- Read: Execute prompt "summary" with report="${report}" result="summary"
- Judge: Execute prompt "verdict" with summary="${summary}" result="verdict"
- Escalate: Log warning "A person must look: ${verdict.reason}"
- Answer: Execute prompt "answer" with summary="${summary}" tone="${tone}" result="answer"

## Prompts

### summary
Summarise this report in two sentences: {{ report }}

### verdict
Is it urgent? {{ summary }}
"""


def read(text: str, path: Path | None = HERE, *, lenient: bool = False) -> Workflow:
    return parse_workflow(text, name="w", path=path, parse_action=parse_action, lenient=lenient)


def faults_of(text: str, path: Path | None = HERE) -> tuple[Fault, ...]:
    with pytest.raises(FaultsError) as caught:
        read(text, path)
    return caught.value.faults


def at(fault: Fault) -> tuple[str, str, int, int]:
    return fault.code, fault.severity, fault.place.line, fault.place.column


def flow(*actions: str, diagram: str = "[*] --> A\nA --> B\nB --> [*]", top: str = "", more: str = "") -> str:
    """A workflow whose first action line is 9 after `top`, of one diagram of three lines."""
    lines = "\n".join(actions)
    return f"{top}```mermaid\nstateDiagram-v2\n{diagram}\n```\n\n## Actions\n{lines}\n{more}"


OWN = "\n## Prompts\n### p\nText\n"
"""Makes a file one of ours."""


def verbs(workflow: Workflow) -> dict[str, str | None]:
    return {name: state.action.verb if state.action else None for name, state in workflow.states.items()}


def test_the_sample_of_the_language_page_reads() -> None:
    workflow = read(SAMPLE)
    assert workflow.model is not None
    assert (workflow.title, workflow.model.reference, workflow.initial) == ("Triage", "smollm2", "Read")
    assert [parameter.name for parameter in workflow.parameters] == ["report", "tone"]
    assert verbs(workflow) == {"Read": "prompt", "Judge": "prompt", "Escalate": "log", "Answer": "prompt"}
    assert [(one.target, one.when) for one in workflow.states["Judge"].transitions] == [
        ("Escalate", When.CONDITION),
        ("Answer", When.DEFAULT),
    ]
    assert list(workflow.prompts) == ["summary", "verdict"]
    assert workflow.prompts["summary"].template.names == {"report"}
    assert workflow.warnings == ()


@pytest.mark.parametrize("ends", ["\r\n", "\r"])
def test_line_ends_and_a_byte_order_mark_change_nothing(ends: str) -> None:
    workflow, plain = read("\ufeff" + SAMPLE.replace("\n", ends)), read(SAMPLE)
    assert workflow.states.keys() == plain.states.keys()
    assert workflow.parameters == plain.parameters
    assert [state.transitions[0].place for state in workflow.states.values()] == [
        state.transitions[0].place for state in plain.states.values()
    ]
    assert workflow.prompts["summary"].template.text == plain.prompts["summary"].template.text


@pytest.mark.parametrize(
    ("label", "when"),
    [
        ("", When.ALWAYS), ("  Always ", When.ALWAYS), ("default", When.DEFAULT), ("ELSE", When.DEFAULT),
        ("success", When.SUCCESS), ("On success", When.SUCCESS), ("OnSuccess", When.SUCCESS),
        ("on_success", When.SUCCESS), ("Is  Valid", When.SUCCESS), ("failure", When.FAILURE),
        ("on error", When.FAILURE), ("OnFailure", When.FAILURE), ("on_failure", When.FAILURE),
        ("ONERROR", When.FAILURE), ("invalid", When.FAILURE), ("FAILED", When.FAILURE),
        ("a > 1", When.CONDITION), ("ready", When.CONDITION), ("result.contains('fail')", When.CONDITION),
        ("is_error", When.CONDITION), ("!success", When.CONDITION), ("'error' in xs", When.CONDITION),
        ("status == \"success\"", When.CONDITION), ("result.includes('x')", When.CONDITION),
        ("n / 2 == 1 && (m[0] || {'a': 1}.a == 1)", When.CONDITION), ("true", When.CONDITION),
    ],
)  # fmt: skip
def test_a_label_decides_when_a_transition_is_taken(label: str, when: When) -> None:
    meaning = read_label(label, Place(path=None, line=1))
    assert meaning.when is when
    assert (meaning.condition is not None) == (when is When.CONDITION)


def test_a_condition_on_an_edge_to_the_end_is_kept() -> None:
    workflow = read(flow(diagram="[*] --> A\nA --> [*]: x > 1\nA --> A: default"))
    first = workflow.states["A"].transitions[0]
    assert (first.target, first.when, first.label) == (None, When.CONDITION, "x > 1")


@pytest.mark.parametrize(
    "line",
    [
        '- A: Log "x"',
        '* A: log "x"',
        '+ A : LOG "x"',
        '   - A: Log "x"',
        '- **A**: Log "x"',
        '- **A:** Log "x"',
        '- `A`: Log "x"',
        "- A: Log 'x'",
        '- A:\n  Log "x"',
        '- A: Log\n    "x"',
        '- A: Log info\n  "x"',
    ],
)
def test_an_action_line_may_be_written_in_many_ways(line: str) -> None:
    workflow = read(flow(line, more=OWN))
    assert verbs(workflow) == {"A": "log", "B": None}
    assert workflow.warnings == ()


@pytest.mark.parametrize("heading", ["## Actions", "### actions", "## ACTIONS"])
def test_the_actions_heading_may_be_of_level_two_or_three_in_any_case(heading: str) -> None:
    assert verbs(read(flow('- A: Log "x"').replace("## Actions", heading)))["A"] == "log"


def test_a_prompt_named_actions_is_a_prompt() -> None:
    workflow = read(flow('- A: Log "x"', more="## Prompts\n### Actions\n- Z: do this\n"))
    assert verbs(workflow) == {"A": "log", "B": None}
    assert list(workflow.prompts) == ["Actions"]


def test_the_older_states_form_is_read_where_no_bullet_names_the_state() -> None:
    first = '## States\n\n### A\nProse.\n**Action**: Log "old"\n\n'
    old = first + '### `B`\n**action**: Execute prompt "p"\n**Store As**: answer\n'
    workflow = read(flow("- A: Wait 1s", more=old))
    assert verbs(workflow) == {"A": "wait", "B": "prompt"}
    action = workflow.states["B"].action
    assert action is not None
    assert action.sets == {"answer"}
    assert verbs(read(flow(more=old))) == {"A": "log", "B": "prompt"}


@pytest.mark.parametrize("line", ["1. B: Wait 1s", "2) **B**: x", "B: Wait 1s", "`B` : Wait 1s"])
def test_a_line_that_names_a_state_but_is_no_bullet_is_a_fault(line: str) -> None:
    text = flow("- A: Wait 1s", line, more=OWN)
    (fault,) = faults_of(text)
    assert (fault.code, fault.place.line) == ("action-line", text.split("\n").index(line) + 1)
    assert "write `- B: …`" in fault.message
    (warning,) = read(flow("- A: Wait 1s", line), Path(".sah/w.md")).warnings
    assert warning.code == "action-line"
    assert not read(flow("- A: Wait 1s", "- B: Wait 1s", "```", line, "```", more=OWN)).warnings


@pytest.mark.parametrize(
    "line",
    [
        '| B | Shell "exit 1" |',
        '### B\nShell "exit 1"',
        '\n    B: Shell "exit 1"',
        '> - B: Shell "exit 1"',
        '```sh\nShell "exit 1"\n```',
        "Deploy it: run the tests",
        '**Acton**: Shell "exit 1"',
    ],
)
def test_text_that_is_meant_as_an_action_but_is_no_bullet_is_an_error(line: str) -> None:
    faults = faults_of(flow("- A: Wait 1s", line))
    assert {fault.code for fault in faults if fault.severity == "error"} == {"action-line"}
    assert not [
        one
        for one in read(flow("- A: Wait 1s", line), Path(".sah/w.md")).warnings
        if "no effect" in one.message
    ]


@pytest.mark.parametrize(
    "line", ['    B: Shell "exit 1"', '  **B**: Shell "exit 1"', "  1. `B`: Wait", "  once\n  B: Wait 1s"]
)
def test_a_line_of_a_bullet_that_is_another_states_action_is_an_error(line: str) -> None:
    text = flow("- A: Wait 1s", line)
    (fault,) = [one for one in faults_of(text) if one.code == "action-line"]
    assert fault.severity == "error"
    assert fault.place.line == text.split("\n").index(line.split("\n")[-1]) + 1
    assert "write `- B: …` as a bullet of its own" in fault.message
    assert "action-line" not in [
        one.code for one in read(text, Path(".sah/w.md")).warnings if "bullet above" in one.message
    ]


@pytest.mark.parametrize(
    "text",
    ['- A: Log "one\n  B: Wait 1s"', '- A: Log\n  "B: Wait 1s"', "- A: Wait 1s\n  for B: it is slow"],
)
def test_a_line_of_a_bullet_that_its_action_needs_is_none_of_another_state(text: str) -> None:
    assert not [one for one in read(flow(text, "- B: Wait 1s")).warnings if one.code == "action-line"]


def test_other_text_below_actions_is_a_warning_and_a_comment_is_none() -> None:
    (warning,) = read(flow("- A: Wait 1s", "- B: Wait 1s", "Nice work.", "And more.")).warnings
    assert (warning.code, warning.severity) == ("action-line", "warning")
    assert not read(flow("- A: Wait 1s", "<!-- - B: Wait 1s -->")).warnings


def test_two_action_lines_of_a_state_are_an_error_in_new_files() -> None:
    text = flow('- A: Log "1"', '- A: Log "2"', "- B: Wait 1s")
    (fault,) = faults_of(text)
    assert at(fault)[:2] == ("two-actions", "error")
    assert [one.code for one in read(text, Path(".sah/w.md")).warnings] == ["two-actions"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("99999999999999999999", "too large"),
        ("1e400", "too large"),
        ("1" * 5000, "too large"),
        ("[1, 99999999999999999999]", "The number 99999999999999999999 is too large"),
        ('{"a": {"b": [1e400]}}', "The number 1e400 is too large"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ("[1, -Infinity]", "-Infinity is not a JSON number"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "The key 'c' appears twice in this map"),
        ('{"c": "${n}", "c": 2}', "The key 'c' appears twice in this map"),
        ('[{"a": ${n}, "c": "{{ n }}", "c": "x"}]', "The key 'c' appears twice in this map"),
    ],
)
def test_a_value_that_would_not_be_kept_as_it_is_written_is_an_error(value: str, says: str) -> None:
    line = f"- A: Set a={value}, b=1"
    (fault,) = faults_of(flow(line, "- B: Wait 1s"))
    assert says in fault.message and fault.place.column == line.index("=") + 2
    if value[0] in "[{":
        (fault,) = faults_of(flow(f'- A: Run workflow "x" with y={value}', "- B: Wait 1s"))
        assert says in fault.message
    if "n}" not in value and "{{" not in value:
        assert set_by_a(f"a='{value}'") == value


def test_keys_with_values_in_them_are_not_taken_for_one_another() -> None:
    for value in ('{"${a}": 1, "${b}": 2}', "${a}99999999999999999", '{"a": "${n}", "b": ${n}0000000000}'):
        read(flow(f"- A: Set n=1, a=2, b=3\n- B: Set m={value}"))


def test_what_is_json_only_at_its_beginning_is_a_text() -> None:
    for value in ('{"a": 1, "a": 2} twice', "NaN", "[draft] of 99999999999999999999"):
        assert set_by_a(f"a={value}") == value


def set_by_a(assignment: str) -> object:
    """The value that one assignment of an action gives."""
    action = read(flow(f"- A: Set {assignment}", "- B: Wait 1s")).states["A"].action
    assert isinstance(action, Set)
    (one,) = action.assignments
    return one.of({})


def test_an_action_in_the_diagram_is_read_where_nothing_else_names_the_state() -> None:
    diagram = '[*] --> A\nA: Log "in"\nA --> B\nB: Wait 1s\nB --> [*]\nB --> A: x\nA: and some prose'
    workflow = read(flow('- B: Log "x"', diagram=diagram, more=OWN))
    assert verbs(workflow) == {"A": "log", "B": "log"}
    assert workflow.states["A"].description == 'Log "in"\nand some prose'
    assert workflow.warnings == ()


@pytest.mark.parametrize("info", ["mermaid", "Mermaid", "mermaid title=x", "{mermaid}", "{.mermaid #id}"])
@pytest.mark.parametrize("marks", ["```", "~~~", "````"])
def test_the_diagram_is_the_first_block_marked_mermaid(info: str, marks: str) -> None:
    other = f"{marks}python\nx\n{marks}\n"
    first, second = (
        f"{marks}{info}\nstateDiagram-v2\n[*] --> {name}\n{name} --> [*]\n{marks}\n" for name in "AB"
    )
    assert list(read(other + first + second).states) == ["A"]


@pytest.mark.parametrize("marks", ["```", "~~~~"])
def test_a_block_that_does_not_end_is_named_where_it_begins(marks: str) -> None:
    diagram = "\nstateDiagram-v2\n[*] --> A\nA --> [*]\n"
    rest = "\n## Actions\n\n- A: Log 'x'\n"
    (fault,) = faults_of(f"{marks}mermaid{diagram}{rest}")
    assert (*at(fault)[:3], "does not end" in fault.message) == ("open-block", "error", 1, True)
    (fault,) = faults_of(f"```mermaid{diagram}```\n\n{marks}sh\nls\n{rest}")
    assert at(fault)[:3] == ("open-block", "error", 7)
    assert "'## Actions' in line 10" in fault.message
    assert not read(f"```mermaid{diagram}```\n{rest}\n{marks}sh\nls\n").warnings
    later = f"{marks}text\nmore\n{marks}\n"  # whose end is taken for that of the block before
    found = faults_of(f"```mermaid{diagram}```\n\n{marks}sh\nls\n{rest}\n{later}")
    assert ("open-block", "error", 7) in [at(fault)[:3] for fault in found]
    longer = marks + marks[0]
    assert not read(f"```mermaid{diagram}```\n{rest}\n{longer}md\n## Actions\n{later}{longer}\n").warnings


@pytest.mark.parametrize("label", ["result == “yes”", "result == ‘yes’"])
def test_a_quote_that_an_editor_made_is_named_with_what_to_type(label: str) -> None:
    (fault,) = faults_of(flow(diagram=f"[*] --> A\nA --> B: {label}\nB --> [*]"))
    assert at(fault) == ("condition-syntax", "error", 4, 20)
    assert "is not the quote that it looks like: write" in fault.message


def test_prompts_are_sections_with_front_matter_and_fences() -> None:
    more = """
## Prompts

### plain
One {{ a }}
#### inside
```
### not a heading
```

### `typed`
---
title: T
parameters:
  - name: n
    type: int
---
Is {{ n }}

### fenced

```prompt

## all of it
```
Not this.

## Other
### nothing

## Prompts
### late
Late
"""
    prompts = read(flow(more=more)).prompts
    assert list(prompts) == ["plain", "typed", "fenced", "late"]
    assert prompts["plain"].render({"a": "1"}, {}) == "One 1\n#### inside\n```\n### not a heading\n```"
    assert prompts["typed"].render({"n": "5"}, {}) == "Is 5"
    assert prompts["typed"].title == "T"
    assert prompts["fenced"].render({}, {}) == "\n## all of it"


@pytest.mark.parametrize(
    ("more", "code", "line", "column"),
    [
        ("## Prompts\n### p\n\n### q\nx", "empty-prompt", 11, 1),
        ("## Prompts\n### p\nx\n### p\ny", "two-prompts", 13, 1),
        ("## Prompts\n###\nx", "prompt-name", 11, 1),
        ("## Prompts\n### p\n\nHello {{ a", "template-syntax", 13, 7),
        ("## Prompts\n### p\n---\nparameters:\n  - name: a\n    type: nubmer\n---\nx", "parameter", 15, 5),
    ],
)
def test_faults_of_a_prompt_have_their_place_in_the_workflow(
    more: str, code: str, line: int, column: int
) -> None:
    (fault,) = faults_of(flow(more=more))
    assert at(fault) == (code, "error", line, column)


MISSPELT = [
    (flow('- A: Log "x"', '  - Bb: Log "x"', more=OWN), ("unknown-state", "error", 10, 5), "'B'"),
    (flow('- A: Lgo "x"', more=OWN), ("unknown-action", "error", 9, 6), "'Log'"),
    (flow('- A: Prompt "x" using\n    max_tokns=5'), ("unknown-option", "error", 10, 5), "'max_tokens'"),
    (flow(top="---\nparameters:\n  - {name: a, type: bol}\n---\n"), ("parameter", "error", 3, 15), "'bool'"),
    (flow(top="---\nlimits: {transitons: 5}\n---\n"), ("unknown-key", "error", 2, 10), "'transitions'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "place", "offer"), MISSPELT)
def test_what_is_misspelt_is_named_with_the_nearest_valid_form_and_its_place(
    text: str, place: tuple[str, str, int, int], offer: str
) -> None:
    (fault,) = faults_of(text)
    assert at(fault) == place
    assert f"Did you mean {offer}?" in fault.message


def test_a_misspelt_key_of_the_front_matter_is_a_warning_and_an_unknown_one_passes() -> None:
    top = "---\ntitel: x\nparameters:\n  - name: a\n    requird: true\nwhatever: 1\ncategory: x\n---\n"
    workflow = read(flow(top=top))
    assert [at(fault) for fault in workflow.warnings] == [
        ("unknown-key", "warning", 2, 1),
        ("unknown-key", "warning", 5, 5),
    ]
    assert "'title'" in workflow.warnings[0].message
    assert "'required'" in workflow.warnings[1].message


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        (flow('- A: Prompt "x" using tools="a"'), 9, 29),
        (flow(top="---\ntitle: x\ntools: [a]\n---\n"), 3, 1),
    ],
)
def test_what_is_no_tool_is_said_with_its_place(text: str, line: int, column: int) -> None:
    (fault,) = [fault for fault in faults_of(text) if fault.severity == "error"]
    assert at(fault)[1:] == ("error", line, column) and "files.read" in fault.message


@pytest.mark.parametrize("more", [OWN, ""])
@pytest.mark.parametrize("path", [Path(".swissarmyhammer/workflows/w.md"), Path("/x/.sah/w.md")])
def test_old_files_pass_text_that_is_no_action_as_a_warning(path: Path, more: str) -> None:
    workflow = read(flow("- A: Initialize workflow", "- Ready", "- Gone: Log", more=more), path)
    assert verbs(workflow) == {"A": None, "B": None}
    assert [at(fault)[:3] for fault in workflow.warnings] == [
        ("unknown-action", "warning", 9),
        ("action-line", "warning", 10),
        ("unknown-state", "warning", 11),
    ]
    assert "passes through" in workflow.warnings[0].message


def test_an_actions_keyword_makes_its_errors_errors_in_old_files_too() -> None:
    (fault,) = faults_of(flow("- A: Log the thing"), Path(".sah/w.md"))
    assert at(fault)[1:3] == ("error", 9)


@pytest.mark.parametrize("path", [HERE, None, Path("sah/w.md")])
@pytest.mark.parametrize("action", ["Initialize workflow", 'Promt "Say hi"', 'Promt "x" with a="b"'])
@pytest.mark.parametrize("more", [OWN, "## Schemas\n", ""])
def test_any_other_file_refuses_text_that_is_not_an_action_unless_lenient(
    path: Path | None, action: str, more: str
) -> None:
    text = flow(f"- A: {action}", more=more)
    errors = [fault for fault in faults_of(text, path) if fault.severity == "error"]
    assert [at(fault) for fault in errors] == [("unknown-action", "error", 9, 6)]
    warnings = [fault for fault in read(text, path, lenient=True).warnings if fault.code == "unknown-action"]
    assert [fault.severity for fault in warnings] == ["warning"]


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("", "no-diagram", 1),
        ("# Only prose\n", "no-diagram", 1),
        ("```mermaid\nflowchart TD\nA --> B\n```", "diagram-kind", 2),
        ("```mermaid\n```", "diagram-empty", 1),
        ("```mermaid\nstateDiagram-v2\nA --> B\n```", "no-start", 1),
        ("```mermaid\nstateDiagram-v2\n[*] --> [*]\n```", "no-start", 3),
    ],
)
def test_a_file_without_a_diagram_to_run_says_what_is_missing(text: str, code: str, line: int) -> None:
    fault = faults_of(text)[0]
    assert (fault.code, fault.severity, fault.place.line) == (code, "error", line)


def test_doubtful_shapes_are_warnings() -> None:
    workflow = read(flow(diagram="[*] --> A\n[*] --> B\nA --> B\nC --> A\nstate D", more=OWN))
    assert sorted({fault.code for fault in workflow.warnings}) == [
        "no-end",
        "no-exit",
        "two-starts",
        "unreachable",
    ]
    assert all(fault.severity == "warning" for fault in workflow.warnings)


def test_a_state_that_aborts_needs_no_way_out() -> None:
    diagram = "[*] --> A\nA --> B: failure\nA --> [*]"
    assert [one.code for one in read(flow("- B: Log 'x'", diagram=diagram, more=OWN)).warnings] == ["no-exit"]
    assert not read(flow("- B: Abort 'x'", diagram=diagram, more=OWN)).warnings
    one_way = "- B: {% if n %}Abort 'x'{% else %}Log 'x'{% endif %}"
    assert [one.code for one in read(flow(one_way, diagram=diagram, more=OWN)).warnings] == ["no-exit"]


def test_every_fault_of_a_file_is_found_at_once_in_its_order() -> None:
    text = flow(
        "- A: Lgo 1", "- Q: Log", diagram="[*] --> A\nA --> [*]: a b", top="---\nseed: -1\n---\n", more=OWN
    )
    assert [fault.place.line for fault in faults_of(text)] == [2, 7, 11, 12]


def test_limits_and_settings_are_typed() -> None:
    limits = "limits: {transitions: 5, duration: 1h, tokens: 9, depth: 2, prompt_timeout: 30}\n"
    rest = "seed: 7\non_error: continue\nchoice_states_act: false\nsystem: Be brief.\n"
    workflow = read(flow(top=f"---\n{limits}{rest}---\n"))
    assert workflow.limits == Limits(transitions=5, duration_s=3600, tokens=9, depth=2, prompt_timeout_s=30)
    assert (workflow.seed, workflow.on_error, workflow.choice_states_act) == (7, "continue", False)


@pytest.mark.parametrize(
    "line",
    [
        "seed: 1.5",
        "seed: .inf",
        "seed: true",
        "model: [a]",
        "on_error: stop",
        "limits: 5",
        "limits: {depth: 0}",
        "limits: {duration: soon}",
        "choice_states_act: maybe",
    ],
)
def test_a_setting_of_the_wrong_type_is_a_fault_on_its_line(line: str) -> None:
    (fault,) = faults_of(flow(top=f"---\ntitle: x\n{line}\n---\n"))
    assert (fault.code, fault.severity, fault.place.line) == ("front-matter", "error", 3)


@pytest.mark.slow
@pytest.mark.xdist_group("cpu")
@pytest.mark.parametrize(
    ("text_of", "size"),
    [
        (lambda n: flow(more="## Prompts\n" + "".join(f"### p{i}\nx\n" for i in range(n))), 10_000),
        (lambda n: flow(*[f'- B{i}: Log "x"' for i in range(n)], more=OWN), 10_000),
        (lambda n: flow(diagram="[*] --> S0\n" + "".join(f"S{i} --> S{i + 1}\n" for i in range(n))), 10_000),
        (lambda n: flow("- A: Set " + ", ".join(f"a{i}=1" for i in range(n))), 3_000),
        (lambda n: flow(more="## States\n" + "### A\n" * n), 40_000),
        (lambda n: flow(more="## Prompts\n### p\n" + "\n" * n), 180_000),
        (lambda n: flow(more="```\nx\n```\n" * n), 20_000),
    ],
    ids=["prompts", "unknown", "states", "set", "headings", "blanks", "fences"],
)
def test_a_large_file_is_read_in_time_that_grows_with_its_size(
    text_of: Callable[[int], str], size: int
) -> None:
    def prepare(size: int) -> Callable[[], object]:
        text = text_of(size)

        def read_it() -> None:
            try:
                read(text)
            except FaultsError as error:
                assert error.faults

        return read_it

    assert_grows_with_size(prepare, size)


LINES = [
    *SAMPLE.split("\n"),
    "## States",
    "### A",
    '**Action**: Log "x"',
    "**Store As**: x",
    "```prompt",
    "```",
    "---",
    "state X {",
    "}",
    "A --> B: fail",
    '- A: {% if a %}Log{% endif %} "x"',
    '- Read: Shell "echo ${a}"',
    "- Read: Set n := n + 1",
    "~~~mermaid",
    "note left of A",
]
MUTATION = st.tuples(
    st.sampled_from(["drop", "double", "insert", "cut", "put"]), st.integers(0, 100), st.integers(0, 60),
    st.sampled_from(LINES) | st.text(max_size=4),
)  # fmt: skip


def mutated(mutations: list[tuple[str, int, int, str]]) -> str:
    lines = SAMPLE.split("\n")
    for kind, where, column, new in mutations:
        index = where % len(lines)
        if kind == "drop":
            lines[index : index + 1] = [] if len(lines) > 1 else [""]
        elif kind == "double":
            lines.insert(index, lines[index])
        elif kind == "insert":
            lines.insert(index, new)
        elif kind == "cut":
            lines[index] = lines[index][:column]
        else:
            lines[index] = lines[index][:column] + new + lines[index][column:]
    return "\n".join(lines)


def check_any(text: str) -> None:
    lines = re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff"))
    try:
        faults = read(text).warnings
    except FaultsError as error:
        faults = error.faults
        assert any(fault.severity == "error" for fault in faults)
    for fault in faults:
        assert fault.place.path == HERE
        assert 1 <= fault.place.line <= len(lines)
        assert 1 <= fault.place.column <= len(lines[fault.place.line - 1]) + 1, fault


@pytest.mark.slow
@settings(max_examples=300)
@given(st.lists(MUTATION, min_size=1, max_size=6).map(mutated))
def test_a_changed_file_reads_or_has_faults_within_it(text: str) -> None:
    check_any(text)


@pytest.mark.slow
@settings(max_examples=200)
@given(st.text() | st.lists(st.sampled_from(LINES) | st.text(max_size=8), max_size=15).map("\n".join))
def test_any_text_reads_or_has_faults_within_it(text: str) -> None:
    check_any(text)


def test_a_comment_behind_the_end_does_not_hide_it() -> None:
    one = read(flow(diagram="[*] --> A // begin\nA --> [*] // end"))
    assert (list(one.states), one.states["A"].transitions[0].target) == (["A"], None)
    assert [fault.severity for fault in one.warnings] == ["hint", "hint"]


def test_a_setting_that_stands_twice_is_a_warning() -> None:
    one = read("---\ntitle: a\ntitle: b\n---\n" + flow())
    assert one.title == "b"
    assert [(fault.code, fault.place.line, fault.place.column) for fault in one.warnings] == [
        ("duplicate-key", 3, 1)
    ]


def test_a_system_prompt_that_cannot_be_filled_is_a_fault_before_the_run() -> None:
    (fault,) = faults_of('---\ntitle: x\nsystem: "{{ name"\n---\n' + flow())
    assert (fault.code, fault.place.line) == ("template-syntax", 3)


def test_an_action_outside_of_its_section_is_named() -> None:
    diagram = "```mermaid\nstateDiagram-v2\n[*] --> A\nA --> B\nB --> [*]\n```\n"
    text = diagram + "\n## Action\n\n- A: Log 'x'\n- B: just words\n"
    [fault] = faults_of(text)
    assert (fault.code, fault.severity, fault.place.line) == ("action-line", "error", 10)
    assert "not below a heading `## Actions`" in fault.message
    (warning,) = read(text, Path(".sah/w.md")).warnings
    assert (warning.code, warning.severity) == ("action-line", "warning")
    example = diagram + "\n## Actions\n\n- B: Log 'x'\n\n## Prompts\n\n### p\n\n- A: Log 'x'\n"
    assert not read(example).warnings
