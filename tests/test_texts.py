"""Texts of actions: `${…}` is an expression in every one of them, and what is wrong has one clear place."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.actions import parse_action
from samovar.actions.base import Action
from samovar.actions.defaults import PromptDefaults
from samovar.actions.log import Log
from samovar.actions.prompt import ExecutePrompt
from samovar.actions.set import Set
from samovar.actions.shell import Shell
from samovar.actions.workflow import RunWorkflow
from samovar.checks.checking import check_tree, check_workflow
from samovar.errors import Fault, FaultsError, Place, TemplateError
from samovar.language.reading import parse_workflow
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.preflight.prompts import preview_action

HERE = Place(path=None, line=1)
OLD = Path("/p/.swissarmyhammer/workflows/w.md")
FLOW = "```mermaid\nstateDiagram-v2\n[*] --> A\nA --> B\nB --> [*]\n```\n\n## Actions\n\n"
VARIABLES = {"list": ["a b", "c"], "i": 1, "m": {"k": 'q"'}, "n": 3, "x": "X"}


Kind = TypeVar("Kind", bound=Action)


def parsed(text: str, kind: type[Kind]) -> Kind:
    action = parse_action(text, HERE)
    assert isinstance(action, kind)
    return action


def log(text: str) -> str:
    return parsed(text, Log).text.text(VARIABLES)


def prompt(text: str) -> str:
    action = parsed(text, ExecutePrompt)
    assert action.inline is not None
    return action.inline.text(VARIABLES)


def assigned(text: str) -> object:
    return parsed(text, Set).assignments[0].of(VARIABLES)


def argument(text: str) -> object:
    return parsed(text, RunWorkflow).given[0].value.of(VARIABLES)


def held(text: str) -> object:
    (only,) = (
        one.value for one in parsed(text, Shell).command.template.hold(VARIABLES) if not isinstance(one, str)
    )
    return only


EXPRESSIONS = [
    ("list[i]", "c"),
    ("n + 1", 4),
    ("list[0] + '!'", "a b!"),
    ('m["k"]', 'q"'),
    (r"m[\"k\"]", 'q"'),
    ("size(list) > 1 ? 'many' : \"few\"", "many"),
    ("default(m.none, '}')", "}"),
    (" {'a': {'b': n}}.a.b ", 3),
    ("list.map(t, size(t)).exists(s, s == 3)", True),
]


@pytest.mark.parametrize(("expression", "value"), EXPRESSIONS, ids=[text for text, _ in EXPRESSIONS])
def test_an_expression_means_the_same_in_every_text(expression: str, value: object) -> None:
    text = {True: "true"}.get(value is True, str(value)) if not isinstance(value, str) else value
    for quote in "\"'":
        written = expression.replace(r"\"", '"') if quote == "'" else expression
        whole = f"{quote}${{{written}}}{quote}"
        assert log(f"Log {quote}<${{{written}}}>{quote}") == f"<{text}>"
        assert log(f"Log {quote}{{% if true %}}${{{written}}}{{% endif %}}{quote}") == text
        assert prompt(f"Prompt {quote}<${{{written}}}>{quote}") == f"<{text}>"
        assert assigned(f"Set a={whole}") == value
        assert assigned(f"Set a={quote}<${{{written}}}>{quote}") == f"<{text}>"
        assert argument(f"Run workflow 'w' with a={whole} b=1") == value
        assert held(f"Shell {quote}echo ${{{written}}} x{quote}") == value
    assert assigned(f"Set a=${{{expression}}}, b=1") == value


def test_what_a_tag_has_set_can_be_read_by_an_expression() -> None:
    assert log('Log "{% for t in list %}${size(t) + n} {% endfor %}"') == "6 4 "
    assert log('Log "{% assign y = 2 %}${y + n}${default(nothing, x)}"') == "5X"
    names = {"empty": 1, "or": 2, "न": 3, "कि": 4}
    text = parsed('Log "{% if true %}${empty + or + न + कि}{% endif %}"', Log).text
    assert text.text(names) == "10"
    assert text.names == names.keys()


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ('Log "costs ${ many"', 12),
        ('Log "a ${x', 8),
        ('Log "${x + "', 6),
        ('Prompt "${m[\\"k\\"]"', 9),
        ('Set a="1", b="${x', 15),
        ('Shell "echo ${x | tr a b"', 13),
        ("Run workflow 'w' with a=${x", 25),
    ],
)
def test_an_expression_without_an_end_is_a_fault_at_its_beginning(text: str, column: int) -> None:
    with pytest.raises(FaultsError) as caught:
        parse_action(text, HERE)
    (fault,) = caught.value.faults
    assert (fault.code, fault.place.column) == ("condition-syntax", column)
    assert "does not end" in fault.message


def test_dollars_are_written_as_the_page_says() -> None:
    assert log('Log "$${x} ${{ x }} $x $(x) $"') == "${x} $X $x $(x) $"
    assert parsed('Shell "echo $${x:-y} $x $((1+1)) ${x}"', Shell).command.template.hold(VARIABLES)[0] == (
        "echo ${x:-y} $x $((1+1)) "
    )


# A workflow's file.


def faults_of(actions: str, path: Path | None = None, front: str = "") -> list[Fault]:
    text = (f"---\n{front}\n---\n" if front else "") + FLOW + actions
    try:
        workflow = parse_workflow(text, name="w", path=path, parse_action=parse_action)
    except FaultsError as error:
        return list(error.faults)
    return list(check_workflow(workflow, Library([], parse_action)))


def told(fault: Fault) -> tuple[str, str, int, int]:
    return fault.code, fault.severity, fault.place.line, fault.place.column


def test_an_item_of_a_list_in_a_command_is_the_value_and_an_unknown_list_an_error() -> None:
    assert held('Shell "rm -rf /srv/${list[i]}/cache"') == "c"
    (fault,) = faults_of('- A: Shell "rm -rf /srv/${sites[n]}"\n- B: Set n=1')
    assert told(fault) == ("unset-variable", "error", 10, 27)


def test_the_environment_of_who_checks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    actions = '- A: Shell "echo ${DEPLOY_HOST}"\n- B: Log "x"'
    before = faults_of(actions)
    monkeypatch.setenv("DEPLOY_HOST", "h")
    assert faults_of(actions) == before
    assert told(before[0]) == ("unset-variable", "error", 10, 20)


def test_a_parameter_that_is_not_given_is_never_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYEDITOR", "a b")
    front = "parameters: [{name: MYEDITOR}]"
    for path in (None, OLD):
        text = f"---\n{front}\n---\n" + FLOW + '- A: Shell "printf ${MYEDITOR}"'
        workflow = parse_workflow(text, name="w", path=path, parse_action=parse_action)
        action = cast(Shell, workflow.states["A"].action)
        with pytest.raises(TemplateError, match="MYEDITOR"):
            action.command.template.hold({}, _unknown(workflow))


def _unknown(workflow: Workflow) -> frozenset[str]:
    return frozenset({"MYEDITOR", "HOME"} - workflow.known_names)


def test_in_an_old_file_an_unknown_name_in_a_command_is_left_to_the_shell_with_a_warning() -> None:
    (fault,) = faults_of('- A: Shell "echo ${HOME}"', OLD)
    assert told(fault) == ("unset-variable", "warning", 10, 20)
    assert "left to the shell" in fault.message
    (new,) = faults_of('- A: Shell "echo ${HOME}"')
    assert new.severity == "error"


def test_types_of_expressions_in_texts_are_checked() -> None:
    (fault,) = faults_of('- A: Set v="1.10", n=2\n- B: Log "${v - n}"')
    assert told(fault)[:3] == ("type-mismatch", "error", 11)
    (of_answer,) = faults_of(
        '- A: Prompt "x" result="best" using choices="1|2"\n- B: Log "${best == 1 ? \'a\' : \'b\'}"'
    )
    assert of_answer.code == "type-mismatch"
    assert faults_of('- A: Set v="1.10", n=2\n- B: Prompt "${v - n}" with v=3') == []
    assert faults_of('- A: Set v="x"\n- B: Log "{% for v in (1..3) %}${v * 2}{% endfor %}"') == []


def test_a_variable_that_a_caller_gives_is_known(tmp_path: Path) -> None:
    folder = tmp_path / "workflows"
    folder.mkdir()
    (folder / "child.md").write_text(FLOW + '- A: Log "${x}"')
    (folder / "top.md").write_text(FLOW + '- A: Run workflow "child" with x=1')
    library = Library([("project", tmp_path)], parse_action)
    assert check_tree(library.workflow("top"), library) == ()
    (alone,) = check_tree(library.workflow("child"), library)
    assert (alone.code, alone.severity) == ("unset-variable", "error")


def test_a_bare_value_for_a_text_parameter_is_what_was_written(tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    folder.mkdir()
    front = "---\nparameters:\n- {name: v}\n- {name: n, type: number}\n---\n"
    (folder / "p.md").write_text(f"{front}{{{{ v }}}} {{{{ n | plus: 1 }}}}")
    library = Library([("project", tmp_path)], parse_action)
    workflow = parse_workflow(
        FLOW + '- A: Execute prompt "p" with v=1.10 n="2"', name="w", path=None, parse_action=parse_action
    )
    action = cast(ExecutePrompt, workflow.states["A"].action)
    (message,) = preview_action(action, workflow, {}, {}, library, PromptDefaults()).messages
    assert message.parts == ("1.10 3",)


# Texts of several lines.


def text_of(actions: str) -> str:
    workflow = parse_workflow(FLOW + actions, name="w", path=None, parse_action=parse_action)
    action = cast(Shell, workflow.states["A"].action)
    return action.command.template.fill({})


def test_a_text_of_several_lines_keeps_its_indentation_and_its_comments() -> None:
    source = "for i in range(2):\n    # it counts\n    print(i)\n'"
    written = "\n".join("   " + line for line in source.split("\n"))
    assert text_of(f'- A: Shell "python3 -c \'\n{written}"\n- B: Log "x"') == f"python3 -c '\n{source}"


@pytest.mark.parametrize(
    ("lines", "line", "message"),
    [
        ('- A: Shell "echo a\n\n  echo b"\n- B: Log "x"', 11, "An empty line ends the bullet"),
        ('- A: Shell "echo a\n# it is\n  echo b"\n- B: Log "x"', 11, "makes a heading"),
        ('- A: Shell "echo\n  - b"\n- B: Log "x"', 11, "begins a new bullet"),
        ('- A: Shell "echo\n- B: Log "x"', 10, "does not end"),
        ('- A: Log "x\n\n## Prompts\n', 10, "does not end"),
    ],
)
def test_what_ends_a_text_without_being_meant_to_is_one_fault(lines: str, line: int, message: str) -> None:
    (fault,) = faults_of(lines)
    assert (fault.code, fault.severity, fault.place.line) == ("open-text", "error", line)
    assert message in fault.message


@given(
    st.lists(
        st.sampled_from(
            [
                '"',
                "'",
                "\\",
                "${",
                "}",
                "{{",
                "}}",
                "{%",
                "%}",
                "$${",
                "x",
                "[0]",
                " ",
                "{% raw %}",
                "m",
                "\n",
                ",",
            ]
        ),
        max_size=14,
    ).map("".join),
    st.sampled_from(['Log "', 'Shell "echo ', "Set a=", "Prompt '", "Run workflow 'w' with a="]),
    st.booleans(),
)
def test_any_line_is_an_action_or_faults_with_places_within_it(text: str, begin: str, is_old: bool) -> None:
    try:
        parse_action(begin + text, HERE, is_old=is_old)
    except FaultsError as error:
        assert error.faults
        assert all(fault.place.line <= 1 + text.count("\n") for fault in error.faults)
