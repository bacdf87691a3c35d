"""What is wrong with a workflow beside the other files: references, arguments, variables, circles."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from samovar.actions import parse_action
from samovar.checks.checking import check_tree, check_workflow
from samovar.errors import Fault, FaultsError
from samovar.language.workflow import Workflow
from samovar.library import Library
from tests.growth import assert_grows_with_size
from tests.test_cli import samovar

DIAGRAM = "```mermaid\nstateDiagram-v2\n[*] --> A\nA --> B{}\nB --> [*]\n```\n\n## Actions\n"


def flow(*actions: str, label: str = "", top: str = "", more: str = "") -> str:
    """A workflow of the states A and B, whose first action line is 9 after `top`."""
    return top + DIAGRAM.format(label) + "\n".join(actions) + "\n" + more


class Files:
    """A folder with a library, and workflows in it that are checked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.library = Library([("project", folder)], parse_action)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def check(self, text: str) -> tuple[Fault, ...]:
        self.write("workflows/main.md", text)
        return check_workflow(self.library.workflow("main"), self.library)

    def tree(self, text: str) -> tuple[Fault, ...]:
        self.write("workflows/main.md", text)
        return check_tree(self.library.workflow("main"), self.library)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def at(fault: Fault) -> tuple[str, str, int, int]:
    return fault.code, fault.severity, fault.place.line, fault.place.column


def test_a_workflow_whose_names_are_all_there_has_no_faults(files: Files) -> None:
    files.write(
        "prompts/mail/ask.md", "---\nparameters: [{name: about, required: true}]\n---\n{{ about }} {{ seen }}"
    )
    files.write("workflows/child.md", flow('- A: Log "${x}"', top="---\nparameters: [{name: x}]\n---\n"))
    top = "---\nparameters: [{name: seen}]\n---\n"
    first = '- A: Execute prompt "mail/ask" with about="${seen}" result="answer"'
    second = '- B: Run workflow "child" with x="${answer}" result="r"'
    assert files.check(flow(first, second, label=": answer.tokens > 1 && success", top=top)) == ()


def test_a_misspelt_prompt_is_named_with_the_nearest_and_its_place(files: Files) -> None:
    files.write("prompts/mail/summary.md", "x")
    (fault,) = files.check(flow('- A: Execute prompt "mail/sumary"'))
    assert at(fault) == ("unknown-prompt", "error", 9, 21)
    assert "Did you mean 'mail/summary'?" in fault.message


def test_a_misspelt_prompt_of_the_file_itself_is_named_too(files: Files) -> None:
    text = flow('- A: Execute\n    prompt "sumary"', more="## Prompts\n### summary\nx\n")
    (fault,) = files.check(text)
    assert at(fault) == ("unknown-prompt", "error", 10, 12)
    assert "Did you mean 'summary'?" in fault.message


def test_a_misspelt_workflow_is_named_with_the_nearest_and_its_place(files: Files) -> None:
    files.write("workflows/triage.md", flow())
    (fault,) = files.check(flow('- A: Run workflow "triag"'))
    assert at(fault) == ("unknown-workflow", "error", 9, 19)
    assert "Did you mean 'triage'?" in fault.message


def test_a_name_that_a_variable_gives_is_left_to_the_run(files: Files) -> None:
    assert files.check(flow('- A: Set n="x"', '- B: Execute prompt "${n}"')) == ()


@pytest.mark.parametrize(
    ("actions", "label", "line", "column"),
    [
        (('- A: Set verdict="x"', '- B: Log "it is ${verdct}"'), "!", 10, 19),
        (('- A: Set verdict="x"', '- B: Log "it is {{ verdct }}"'), "", 10, 20),
        (('- A: Set verdict="x"', '- B: Prompt "{{ a }}"\n  with a="${verdct}"'), "!", 11, 13),
        (('- A: Set verdict="x"', "- B: Set n := 1 + verdct"), "!", 10, 19),
        (('- A: Set verdict="x"',), ": success && verdct == 1", 4, 21),
        (('- A: Set verdict="x"',), ": 'verdct' == verdct", 4, 22),
    ],
)
def test_a_misspelt_variable_is_named_with_the_nearest_and_its_place(
    files: Files, actions: tuple[str, ...], label: str, line: int, column: int
) -> None:
    (fault,) = files.check(flow(*actions, label=label.strip("!")))
    # What an action cannot do without is an error.
    assert at(fault) == ("unset-variable", "error" if label == "!" else "warning", line, column)
    assert "Did you mean 'verdict'?" in fault.message


def test_a_misspelt_argument_and_a_missing_one_are_named(files: Files) -> None:
    files.write("prompts/ask.md", "---\nparameters: [{name: about, required: true}]\n---\n{{ about }}")
    files.write("workflows/child.md", flow(top="---\nparameters: [{name: tone, required: true}]\n---\n"))
    found = files.check(
        flow('- A: Execute prompt "ask" with abuot="x"', '- B: Run workflow "child" with tome="x"')
    )
    assert [at(fault) for fault in found] == [
        ("missing-argument", "error", 9, 21),
        ("unknown-parameter", "warning", 9, 32),
        ("missing-argument", "error", 10, 19),
        ("unknown-parameter", "warning", 10, 32),
    ]
    assert "'about'" in found[1].message
    assert "'tone'" in found[3].message


def test_a_variable_that_only_a_prompt_reads_is_named_at_the_prompts_name(files: Files) -> None:
    files.write("prompts/ask.md", "{{ verdct }}")
    (fault,) = files.check(flow('- A: Set verdict="x"', '- B: Execute prompt "ask"'))
    assert at(fault) == ("unset-variable", "warning", 10, 21)
    assert "Did you mean 'verdict'?" in fault.message


def test_faults_and_warnings_of_a_prompts_file_stand_in_that_file(files: Files) -> None:
    files.write("prompts/bad.md", "one\n{% if %}")
    files.write("prompts/odd.md", "---\ntitel: x\n---\nText")
    found = files.check(flow('- A: Execute prompt "bad"', '- B: Execute prompt "odd"'))
    assert sorted((fault.place.path or Path()).name + f":{fault.place.line}" for fault in found) == [
        "bad.md:2",
        "odd.md:2",
    ]


def test_a_childs_own_errors_are_its_parents_too(files: Files) -> None:
    files.write("workflows/child.md", "no diagram")
    (fault,) = files.check(flow('- A: Run workflow "child"'))
    assert (fault.code, (fault.place.path or Path()).name) == ("no-diagram", "child.md")


def test_warnings_of_the_reading_are_kept_and_all_is_in_the_order_of_the_file(files: Files) -> None:
    text = flow('- A: Log "${b}"', "Some prose", top="---\ntitel: x\n---\n")
    assert [(fault.code, fault.place.line) for fault in files.check(text)] == [
        ("unknown-key", 2),
        ("unset-variable", 12),
        ("action-line", 13),
    ]


def test_what_follows_from_an_action_that_cannot_be_read_is_not_told_too(files: Files) -> None:
    actions = ('- A: Shell "eval ${n}" result="out"', '- B: Log "${stderr} ${out.exit_code}"')
    top = "---\nparameters: [{name: n}]\n---\n"
    with pytest.raises(FaultsError) as found:
        files.check(flow(*actions, label=': error.kind == "shell"', top=top))
    workflow = found.value.readable
    assert isinstance(workflow, Workflow)
    assert [fault.code for fault in check_workflow(workflow, files.library)] == ["shell-value"]


def test_a_circle_of_workflows_is_shown_as_a_chain(files: Files) -> None:
    files.write("workflows/two.md", flow('- A: Run workflow "three"'))
    files.write("workflows/three.md", flow('- B: Delegate to "main"'))
    (fault,) = files.check(flow('- A: Run workflow "two"'))
    assert (fault.code, (fault.place.path or Path()).name, fault.place.line) == (
        "workflow-cycle",
        "three.md",
        9,
    )
    assert "main → two → three → main" in fault.message


def test_a_workflow_that_runs_itself_is_a_circle_of_one(files: Files) -> None:
    (fault,) = files.check(flow('- A: Run workflow "main"'))
    assert at(fault) == ("workflow-cycle", "error", 9, 19)
    assert "main → main" in fault.message


def test_a_child_that_two_run_is_no_circle(files: Files) -> None:
    files.write("workflows/child.md", flow('- A: Log "x"'))
    files.write("workflows/other.md", flow('- A: Run workflow "child"'))
    assert files.tree(flow('- A: Run workflow "child"', '- B: Run workflow "other"')) == ()


def test_files_of_one_name_in_two_folders_are_no_circle(files: Files) -> None:
    files.write("workflows/sub.md", flow('- A: Run workflow "x/sub"'))
    files.write("elsewhere/x/sub.md", flow('- A: Log "x"'))
    files.write("elsewhere/sub.md", flow('- A: Run workflow "x/sub"'))
    workflow = files.library.workflow(str(files.folder / "elsewhere/sub.md"))
    assert check_workflow(workflow, files.library) == ()


def test_a_tree_has_the_faults_of_every_file_once(files: Files) -> None:
    files.write("workflows/one.md", flow('- A: Log "${nothing}"', '- B: Run workflow "two"'))
    files.write("workflows/two.md", flow('- A: Execute prompt "none"'))
    found = files.tree(flow('- A: Run workflow "one"', '- B: Run workflow "two"'))
    assert [(fault.code, (fault.place.path or Path()).name) for fault in found] == [
        ("unset-variable", "one.md"),
        ("unknown-prompt", "two.md"),
    ]


@pytest.mark.slow
@pytest.mark.xdist_group("cpu")
def test_a_chain_of_workflows_is_checked_in_time_that_grows_with_its_length(tmp_path: Path) -> None:
    def prepare(size: int) -> Callable[[], object]:
        files = Files(tmp_path / str(size))
        for number in range(size):
            files.write(f"workflows/w{number}.md", flow(f'- A: Run workflow "w{number + 1}"'))
        files.write(f"workflows/w{size}.md", flow('- A: Log "x"'))

        def check() -> None:
            assert files.check(flow('- A: Run workflow "w0"')) == ()

        return check

    assert_grows_with_size(prepare, 1000)


# Forks.

FORKED = """```mermaid
stateDiagram-v2
    state F <<fork>>
    state J <<join>>
    [*] --> F
    F --> A
    F --> B
    A --> A2
    A2 --> J
    B --> J
    J --> [*]
```

## Actions

"""
FIRST_ACTION = 1 + FORKED.count("\n")


@pytest.mark.parametrize("read", ["branches.Z.x", 'branches["Z"].x', "branches.F.x", "branches.B.x"])
def test_a_branch_that_there_is_not_is_an_error(files: Files, read: str) -> None:
    states = "[*] --> F\nstate F <<fork>>\nstate J <<join>>\nF --> A\nF --> B\nA --> J\nB --> J\nJ --> E\n"
    head = f"```mermaid\nstateDiagram-v2\n{states}E --> [*]\n```\n\n## Actions\n\n"
    for expression, expected in ((read, ["type-mismatch"]), (re.sub("[BFZ]", "A", read), [])):
        actions = f"- A: Set x=1\n- E: Log '${{{expression}}}'"
        assert [fault.code for fault in files.check(head + actions)] == expected


def test_a_variable_that_two_branches_set_is_a_warning_at_the_one_that_counts(files: Files) -> None:
    actions = '- A: Set x="1", own="1"\n- A2: Set own="2"\n- B: {% if true %}Prompt "?" result="x"{% endif %}'
    (fault,) = files.check(FORKED + actions)
    assert at(fault)[:3] == ("shared-variable", "warning", FIRST_ACTION + 2)
    assert fault.message.startswith(
        "The branches 'A' and 'B' of the fork 'F' set 'x': after the join it keeps the value"
    )


def test_what_actions_set_on_their_own_is_no_shared_variable(files: Files) -> None:
    assert files.check(FORKED + '- A: Shell "true"\n- B: Shell "true"\n- A2: Set result="1"') == ()


def test_a_session_that_two_branches_use_is_a_fault_and_copies_of_one_are_none(files: Files) -> None:
    (fault,) = files.check(
        FORKED + '- A: Prompt "a" using session="s"\n- B: Prompt "b" using session="t" fork="s"'
    )
    assert at(fault) == ("shared-session", "error", FIRST_ACTION + 1, 40)
    copies = (
        '- F: Prompt "a" using session="s"\n- A: Prompt "b" using fork="s"\n- B: Prompt "c" using fork="s"'
    )
    assert files.check(FORKED + copies) == ()


def test_a_copy_of_a_session_that_no_state_has_is_named_with_the_nearest(files: Files) -> None:
    (fault,) = files.check(
        FORKED + '- A: Prompt "a" using session="plan"\n- B: Prompt "b" using fork="plane"'
    )
    assert at(fault)[:3] == ("unknown-session", "error", FIRST_ACTION + 1)
    assert "Did you mean 'plan'?" in fault.message


# Whole folders, from the command line.


def test_a_folder_is_checked_whatever_the_folders_above_it_are_called(tmp_path: Path) -> None:
    folder = tmp_path / "prompts" / "p1"
    (folder / "prompts").mkdir(parents=True)
    (folder / "w.md").write_text(flow('- A: Log "x"'))
    (folder / "prompts" / "shown.md").write_text("A prompt about stateDiagram.")
    inside, outside = samovar(folder, "check", "."), samovar(tmp_path, "check", "prompts/p1")
    assert (inside.stdout, inside.returncode) == (outside.stdout, outside.returncode)
    assert outside.stdout == "1 file, 0 errors, 0 warnings\n"


@pytest.mark.parametrize(("option", "value"), [("timeout", "5s"), ("result", "r")])
def test_a_childs_optional_parameter_that_an_option_hides_is_named(
    files: Files, option: str, value: str
) -> None:
    front = f"---\nparameters: [{{name: {option}, default: x}}]\n---\n"
    files.write("workflows/child.md", flow('- A: Log "x"', top=front))
    (fault,) = files.check(flow(f'- A: Run workflow "child" with {option}="{value}"'))
    assert at(fault)[:2] == ("missing-argument", "warning")
    assert f"`{option}=` is an option of `Run workflow`" in fault.message
    assert files.check(flow('- A: Run workflow "child"')) == ()


def test_a_prompts_parameter_that_an_option_hides_is_named(files: Files) -> None:
    files.write("prompts/ask.md", "---\nparameters: [{name: result}]\n---\n{{ result }}")
    (fault,) = files.check(flow('- A: Execute prompt "ask" with result="answer"'))
    assert at(fault)[:2] == ("missing-argument", "warning")
    assert "`result=` is an option of `Execute prompt`" in fault.message
    assert files.check(flow('- A: Execute prompt "ask"')) == ()
