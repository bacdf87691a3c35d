"""Workflows run on their cases, real runs become cases, and what differs is said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samovar.actions import parse_action
from samovar.app import open_scripted
from samovar.cli.testing import CasesArguments, run_tests
from samovar.generation import Message
from samovar.library import Library
from samovar.running.run import Run
from samovar.running.runner import Runner, RunnerSettings
from samovar.testing.case_checks import check_cases
from samovar.testing.case_file import CASE_KEYS, LIMIT_KEYS, parse_cases, read_case_file
from samovar.testing.cases import ANSWER_KEYS, SHELL_KEYS
from samovar.testing.coverage import cover
from samovar.testing.expected_values import COMMAND_KEYS, EXPECT_KEYS, PROMPT_KEYS
from samovar.testing.junit import clean
from samovar.testing.paths import Tree
from samovar.testing.recording import Recording, record
from samovar.testing.trial import CaseResult, run_case
from tests.bench import text_of, unchecked
from tests.test_cases import TEXTS

ROOT = Path(__file__).parent.parent
ASK = ('[*] --> A\nA --> B: result == "on"\nA --> C: default\nB --> [*]\nC --> [*]', 'A: Prompt "Say ${x}"')


class Cases:
    """A folder with a workflow, and what its cases come to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.library = Library([], parse_action)

    def write(self, diagram: str, actions: str = "", front: str = "", name: str = "w") -> Tree:
        path = self.folder / f"{name}.md"
        path.write_text(text_of(diagram, actions, front), encoding="utf-8")
        return Tree(self.library.workflow(str(path)), self.library)

    def result(self, tree: Tree, case: str) -> CaseResult:
        """`case` is the lines of a case but its name."""
        lines = "\n".join("    " + line for line in case.strip("\n").splitlines())
        file = parse_cases(f"cases:\n  - name: one\n{lines}", self.folder / "w.test.yaml")
        assert not check_cases(file, tree)
        return anyio.run(run_case, file.cases[0], tree, self.library)

    def faults(self, tree: Tree, case: str) -> list[str]:
        lines = "\n".join("    " + line for line in case.strip("\n").splitlines())
        file = parse_cases(f"cases:\n  - name: one\n{lines}", self.folder / "w.test.yaml")
        return [str(fault).removeprefix(f"{self.folder}/") for fault in check_cases(file, tree)]

    def record(
        self,
        tree: Tree,
        script: Callable[[Sequence[Message]], str],
        path: Path,
        **variables: object,
    ) -> tuple[Run, list[str]]:
        """A run of which a case is made. Gives what is doubtful about it."""

        async def run() -> tuple[Run, dict[str, object]]:
            async with open_scripted(script) as executor:
                recording = Recording(executor, lambda event: None)
                given = RunnerSettings(folder=self.folder, outside=recording)
                runner = Runner(self.library, recording, on_event=recording, settings=given)
                done = await runner.run(unchecked(tree.workflow, variables))
                return done, recording.values(tree, variables, done, folder=self.folder)

        done, values = anyio.run(run)
        return done, record(path, tree, self.library, values, lenient=False)


@pytest.fixture
def cases(tmp_path: Path) -> Cases:
    return Cases(tmp_path)


def told(result: CaseResult) -> list[str]:
    return [one.message for one in result.differences]


def test_a_case_passes_when_all_comes_as_expected(cases: Cases) -> None:
    tree = cases.write(*ASK)
    result = cases.result(
        tree, "variables: {x: hi}\nanswers: {A: 'on'}\nexpect: {path: [A, B], prompts: {A: Say hi}}"
    )
    assert result.passed
    assert result.seen[tree.workflow.identity].states == {"A", "B"}


def test_each_way_to_differ_is_said(cases: Cases) -> None:
    tree = cases.write(ASK[0], 'A: Prompt "Say ${x}" result="r"\nB: Log "b is here"')
    result = cases.result(
        tree,
        """
variables: {x: hi}
answers: {A: 'on'}
expect:
  ending: stuck
  path: [A, C]
  variables: {r: 'off', nothing: 1, x: hi}
  prompts: {A: Say ho}
  log: [b is here, twice]
""",
    )
    assert [(one.what, one.expected, one.got) for one in result.differences] == [
        ("ending", "stuck", "completed"),
        ("path", ["A", "C"], ["A", "B"]),
        ("variable", "off", "on"),
        ("variable", 1, "(not set)"),
        ("prompt", "Say ho", "Say hi"),
        ("log", "twice", ["info: b is here"]),
    ]


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [("3", True), ("3.0", True), ("'3'", False), ("true", False), ("null", False), ("[3]", False)],
)
def test_variables_are_compared_with_their_type(wanted: str, passes: bool, cases: Cases) -> None:
    tree = cases.write("[*] --> A\nA --> [*]", "A: Set n := 1 + 2")
    assert cases.result(tree, f"expect: {{variables: {{n: {wanted}}}}}").passed is passes


def test_of_a_map_some_keys_can_be_expected(cases: Cases) -> None:
    tree = cases.write("[*] --> A\nA --> [*]", 'A: Set m := {"a": {"b": 1, "c": 2}, "d": [1]}')
    assert cases.result(tree, "expect: {variables: {m: {a: {b: 1}}}}").passed
    assert not cases.result(tree, "expect: {variables: {m: {a: {b: 2}}}}").passed
    assert not cases.result(tree, "expect: {variables: {m: {d: [1, 2]}}}").passed


def test_a_prompt_without_an_answer_says_what_was_sent_and_what_to_add(cases: Cases) -> None:
    tree = cases.write(
        "[*] --> A\nA --> B: success\nA --> C: failure\nB --> [*]\nC --> [*]", 'A: Prompt "Hi"'
    )
    (message,) = told(cases.result(tree, "expect: {path: [A, C]}"))
    assert "'A' asked a prompt" in message and "    Hi\n" in message and "`answers:`\n    A:" in message


def test_a_list_that_is_too_short_says_so(cases: Cases) -> None:
    tree = cases.write('[*] --> A\nA --> A: result == "again"\nA --> [*]: default', 'A: Prompt "Hi"')
    assert cases.result(tree, "answers: {A: [again, again, done]}\nexpect: {path: [A, A, A]}").passed
    (message,) = told(cases.result(tree, "answers: {A: [again, again]}"))
    assert "its list has 2, and this is number 3" in message and "w.test.yaml:3:15" in message


def test_no_command_is_run_and_one_without_a_result_is_a_failure(cases: Cases) -> None:
    tree = cases.write(
        "[*] --> A\nA --> [*]", f'A: Shell "touch {cases.folder}/ran; echo ${{x}}" with result="r"'
    )
    result = cases.result(tree, "variables: {x: v}\nshell: {A: {stdout: out}}\nexpect: {variables: {r: out}}")
    assert result.passed
    (message,) = told(cases.result(tree, "variables: {x: v}"))
    assert (
        "'A' runs a command that the case has no result for" in message and "`commands:`\n    A:" in message
    )
    assert not (cases.folder / "ran").exists()


def test_commands_fail_and_time_out_as_told(cases: Cases) -> None:
    tree = cases.write(
        "[*] --> A\nA --> B: failure\nA --> [*]: success\nB --> [*]",
        'A: Shell "x" with working_dir="nowhere"\nB: Log "${error.kind}"',
    )
    for result, line in (
        ("{exit_code: 2}", "shell"),
        ("{error: timeout}", "timeout"),
        ("{error: shell, message: no}", "shell"),
    ):
        assert cases.result(tree, f"shell: {{A: {result}}}\nexpect: {{path: [A, B], log: ['{line}']}}").passed


def test_prompts_fail_as_told(cases: Cases) -> None:
    tree = cases.write(
        "[*] --> A\nA --> B: failure\nA --> [*]: success\nB --> [*]",
        'A: Prompt "x"\nB: Log "${error.kind} ${error.message}"',
    )
    assert cases.result(tree, "answers: {A: {error: timeout}}\nexpect: {log: [timeout It timed out]}").passed
    assert cases.result(
        tree, "answers: {A: {error: context, message: too long}}\nexpect: {log: [context too long]}"
    ).passed


def test_an_answer_that_is_none_of_the_choices_is_a_failure(cases: Cases) -> None:
    tree = cases.write("[*] --> A\nA --> [*]", 'A: Prompt "x" using choices="yes|no"')
    assert cases.result(tree, "answers: {A: 'no'}\nexpect: {variables: {result: 'no'}}").passed
    assert told(cases.result(tree, "answers: {A: noo}")) == [
        "The answer of 'A' is not one of its choices. Did you mean 'no'?"
    ]


def test_waits_take_no_time_and_the_user_goes_on_unless_there_is_none(cases: Cases) -> None:
    tree = cases.write("[*] --> A\nA --> B\nB --> [*]", "A: Wait 3 hours\nB: Wait for user input")
    assert cases.result(tree, "").passed
    assert cases.result(tree, "waits: {B: false}\nexpect: {ending: failed}").passed
    assert cases.result(tree, "waits: {B: no}\nexpect: {ending: failed}").passed
    assert cases.result(tree, "waits: {B: true}").passed


@pytest.mark.parametrize(("said", "kind"), [("no", "refused"), ("false", "unanswered")])
def test_an_edge_may_take_what_the_user_said(cases: Cases, said: str, kind: str) -> None:
    tree = cases.write(
        "[*] --> A\nA --> B: failure\nB --> [*]", "A: Wait for user input\nB: Set kind := error.kind"
    )
    assert cases.result(tree, f"waits: {{A: {said}}}\nexpect: {{variables: {{kind: {kind}}}}}").passed


def test_what_is_told_and_never_used_fails_the_case(cases: Cases) -> None:
    tree = cases.write(
        '[*] --> A\nA --> B: result == "on"\nA --> [*]: default\nB --> C\nC --> [*]',
        'A: Prompt "x"\nB: Shell "y"\nC: Wait for user input',
    )
    result = cases.result(tree, "answers: {A: ['off', more]}\nshell: {B: never}\nwaits: {C: true}")
    assert [(one.what, one.name) for one in result.differences] == [
        *(("unused", "A"), ("unused", "B"), ("unused", "C"))
    ]
    assert told(result)[0] == (
        "The entry of `answers` for 'A' is not needed: only 1 of 2 were used. Remove it from the case."
    )
    assert [one.place.line for one in result.differences if one.place] == [3, 4, 5]


def test_what_is_told_for_no_such_state_is_an_error(cases: Cases) -> None:
    cases.write("[*] --> D\nD --> [*]", 'D: Prompt "x"', name="child")
    tree = cases.write("[*] --> Ask\nAsk --> Sub\nSub --> [*]", 'Ask: Prompt "x"\nSub: Run workflow "child"')
    assert not cases.faults(tree, "answers: {Ask: x, Sub/D: y}\nexpect: {path: [Ask, Sub, Sub/D]}")
    found = cases.faults(
        tree, "answers: {Aks: x, Sub: {E: y}, Ask: {txt: y}}\nshell: {Ask: x}\nexpect: {path: [Ask, Other]}"
    )
    assert [one.partition(": ")[0] + one.partition("error")[2] for one in found] == [
        "w.test.yaml:3:15: There is no state 'Aks'. Did you mean 'Ask'? [unknown-state]",
        "w.test.yaml:3:29: There is no state 'Sub/E'. Did you mean 'Sub/D'? [unknown-state]",
        "w.test.yaml:3:42: There is no 'txt' in what the case gives for 'Ask'. Did you mean 'text'? "
        "[unknown-key]",
        "w.test.yaml:4:13: The state 'Ask' runs no command. [misplaced]",
        "w.test.yaml:5:26: There is no state 'Other'. There is: Ask, Sub. [unknown-state]",
    ]


FORK = """
state F <<fork>>
state J <<join>>
[*] --> F
F --> A
F --> B
A --> A2
A2 --> J
B --> J
J --> [*]
"""


@pytest.mark.parametrize(
    ("path", "passes"),
    [
        ("[F, A, A2, B, J]", True),
        ("[F, A, B, A2, J]", True),
        ("[F, B, A, A2, J]", True),
        ("[F, A2, A, B, J]", False),
        ("[F, A, A2, J, B]", False),
        ("[F, A, A2, J]", False),
    ],
)
def test_of_branches_the_order_counts_within_each(path: str, passes: bool, cases: Cases) -> None:
    tree = cases.write(FORK, 'A: Prompt "a"\nB: Prompt "b"\nA2: Log "x"')
    case = f"answers: {{A: 1 a, B: 2 b}}\nexpect: {{path: {path}}}"
    assert cases.result(tree, case).passed is passes
    cases.write(FORK, 'A: Prompt "a"\nB: Prompt "b"\nA2: Log "x"', name="child")
    above = cases.write("[*] --> S\nS --> [*]", 'S: Run workflow "child"')
    below = path.replace("[", "[S, ").replace(", ", ", S/")
    case = f"answers: {{S: {{A: 1 a, B: 2 b}}}}\nexpect: {{path: {below}}}"
    assert cases.result(above, case).passed is passes


def test_coverage_names_what_no_case_comes_to(cases: Cases) -> None:
    tree = cases.write(*ASK)
    covered = cover(
        tree.workflow,
        cases.result(tree, "variables: {x: 1}\nanswers: {A: 'on'}").seen.values(),
    )
    assert (covered.states.covered, covered.states.total) == (2, 3)
    assert [one.name for one in covered.states.missed] == ["C"]
    assert [(one.name, one.place.line) for one in covered.transitions.missed] == [
        ("A --> C: default", 7),
        ("C --> [*]", 9),
    ]
    assert covered.percent == 50


def test_nothing_leaves_a_state_that_aborts_so_that_it_need_not_be_covered(cases: Cases) -> None:
    tree = cases.write("[*] --> A\nA --> [*]", 'A: Abort "no"')
    seen = cases.result(tree, "expect: {error: aborted}").seen
    assert cover(tree.workflow, seen.values()).percent == 100


# Recording.


@pytest.mark.slow
@settings(max_examples=60)
@given(st.lists(TEXTS, min_size=3, max_size=3), TEXTS)
def test_a_recorded_run_passes_at_once(answers: list[str], given_text: str) -> None:
    with TemporaryDirectory() as folder:
        cases = Cases(Path(folder))
        said: list[str] = []
        tree = cases.write(
            "[*] --> A\nA --> A: turn < 2\nA --> B: default\nB --> C\nC --> [*]",
            'A: Prompt "x" result="a"\nB: Set turn := 5, b="${a}"\nC: Prompt "${b}" result="c"',
        )
        variables: dict[str, Any] = {"given": given_text, "turn": 3}
        path = Path(folder) / "w.test.yaml"
        for _ in range(2):
            said[:] = answers
            done, doubts = cases.record(tree, lambda messages: said.pop(0), path, **variables)
            assert doubts == []
        file = read_case_file(path)
        assert [case.name for case in file.cases] == ["run 1", "run 2"]
        for case in file.cases:
            assert case.variables == {"turn": 3}
            assert case.expected.variables["c"] == done.variables["c"]
            assert not check_cases(file, tree)
            result = anyio.run(run_case, case, tree, cases.library)
            assert result.passed, result


def test_commands_errors_forks_and_children_are_recorded(cases: Cases) -> None:
    cases.write("[*] --> D\nD --> [*]", 'D: Prompt "x" result="d" using max_tokens=2', name="child")
    tree = cases.write(
        FORK.replace("J --> [*]", "J --> E\nE --> G: failure\nG --> [*]"),
        """
A: Shell "echo out; echo no: yes >&2" with result="said"
A2: Run workflow "child" result="below"
B: Prompt "b" result="b" using session="s"
E: Shell "echo 1e3; exit 3"
G: Prompt "c" using fork="${said.exit_code}"
""",
    )
    path = cases.folder / "w.test.yaml"
    done, doubts = cases.record(tree, lambda messages: "one two three", path)
    assert (str(done.ending), doubts) == ("failed", [])
    (case,) = read_case_file(path).cases
    assert case.answers["A2/D"].at(1) is not None
    assert anyio.run(run_case, case, tree, cases.library).passed
    assert "below:\n          d: one two\n" in path.read_text()


def test_values_of_secret_parameters_are_nowhere_in_a_case(cases: Cases) -> None:
    front = "parameters: [{name: key, secret: true, required: true}, {name: pin, secret: true, type: number}]"
    tree = cases.write(
        "[*] --> A\nA --> B\nB --> [*]",
        'A: Shell "echo ${key}" with result="shown"\nB: Prompt "use ${key}" result="said"',
        front,
    )
    path = cases.folder / "w.test.yaml"
    _, doubts = cases.record(tree, lambda messages: "with hunter2!", path, key="hunter2", pin=987654)
    assert doubts == []
    assert "hunter2" not in path.read_text() and "987654" not in path.read_text()
    (case,) = read_case_file(path).cases
    assert anyio.run(run_case, case, tree, cases.library).passed


def test_what_limits_a_run_limits_its_case(cases: Cases) -> None:
    tree = cases.write("[*] --> A\nA --> A", 'A: Prompt "x"', "limits: {tokens: 5}")
    path = cases.folder / "w.test.yaml"
    done, doubts = cases.record(tree, lambda messages: "one two", path)
    assert (str(done.ending), doubts) == ("limited", [])
    assert "tokens: 2" in path.read_text()
    assert cases.result(tree, "answers: {A: x}\nlimits: {transitions: 2}\nexpect: {ending: limited}").passed


def test_a_variable_that_another_run_gives_otherwise_is_left_out(cases: Cases) -> None:
    tree = cases.write(
        "[*] --> A\nA --> B\nB --> [*]",
        'A: Prompt "x" result="a"\nB: Set took := a.duration_s, n := 1',
    )
    path = cases.folder / "w.test.yaml"
    _, doubts = cases.record(tree, lambda messages: "x", path)
    assert doubts == ["Not recorded, since another run gives a different result: took."]
    (case,) = read_case_file(path).cases
    assert case.expected.variables == {"a": "x", "n": 1}


# The command.


def arguments(*paths: Path, **changes: Any) -> CasesArguments:
    given: dict[str, Any] = {
        "paths": paths, "only": None, "coverage_min": None, "junit": None, "lenient": False, "as_json": False,
    }  # fmt: skip
    return CasesArguments(**(given | changes))


def test_the_cases_of_the_examples_pass_and_cover_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_tests(arguments(ROOT / "examples", coverage_min=100)) == 0
    shown = capsys.readouterr().out
    assert "triage: 8 of 8 states, 10 of 10 transitions" in shown and "✗" not in shown


def test_the_command_says_what_differs_and_exits_with_it(
    cases: Cases, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = cases.write(*ASK)
    path = cases.folder / "w.test.yaml"
    path.write_text(
        "cases:\n  - {name: good, variables: {x: 1}, answers: {A: 'on'}}\n"
        '  - name: "bad \\a <&\\""\n    variables: {x: 1}\n    answers: {A: "o\\a]]>"}\n'
        "    expect: {path: [A, B], variables: {result: 'on'}}\n"
    )
    junit = cases.folder / "out" / "junit.xml"
    assert tree.workflow.path is not None
    assert run_tests(arguments(tree.workflow.path, junit=junit, as_json=True)) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["passed"], told["failed"], told["coverage"][0]["percent"]) == (1, 1, 100.0)
    root = ElementTree.parse(junit).getroot()
    assert root.find("testsuite[@tests='2'][@failures='1'][@errors='0']") is not None
    (bad,) = root.findall("testsuite/testcase[failure]")
    assert bad.get("name") == 'bad \\x07 <&"' and bad.get("line") == "3"
    assert run_tests(arguments(path)) == 1
    shown = capsys.readouterr().out
    assert "- B" in shown and "+ C" in shown and "✓ good" in shown and "1 passed, 1 failed" in shown
    assert run_tests(arguments(cases.folder, only="GOOD")) == 0
    assert run_tests(arguments(path, only="good", coverage_min=80)) == 1


def test_a_bad_file_does_not_hide_the_others(cases: Cases, capsys: pytest.CaptureFixture[str]) -> None:
    cases.write(*ASK)
    (cases.folder / "w.test.yaml").write_text("cases:\n  - {name: g, variables: {x: 1}, answers: {A: x}}\n")
    (cases.folder / "a.test.yaml").write_text("cases: [\n")
    junit = cases.folder / "junit.xml"
    assert run_tests(arguments(cases.folder, junit=junit)) == 2
    shown = capsys.readouterr().out
    assert "a.test.yaml:2:1: error:" in shown and "1 passed, 0 failed, 1 file at fault" in shown
    assert ElementTree.parse(junit).getroot().find("testsuite/testcase/error") is not None


def test_the_cases_in_the_docs_pass(cases: Cases, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    of_triage, of_build = re.findall(r"^```yaml\n(.*?)^```$", page, re.S | re.M)
    (workflow,) = re.findall(r"^````markdown\n(.*?)^````$", page, re.S | re.M)
    (cases.folder / "build.md").write_text(workflow, encoding="utf-8")
    (cases.folder / "build.test.yaml").write_text(of_build, encoding="utf-8")
    path = cases.folder / "docs.test.yaml"
    path.write_text(f"workflow: {ROOT / 'examples' / 'triage.md'}\n{of_triage}", encoding="utf-8")
    assert run_tests(arguments(path, cases.folder / "build.md")) == 0, capsys.readouterr().out


def test_the_docs_name_every_key_of_a_case() -> None:
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    keys = {*CASE_KEYS, *LIMIT_KEYS, *EXPECT_KEYS, *PROMPT_KEYS, *COMMAND_KEYS, *ANSWER_KEYS, *SHELL_KEYS}
    assert [key for key in sorted(keys) if not re.search(rf"[`{{ ]{key}[`:]", page)] == []


def test_control_characters_do_not_reach_the_terminal(
    cases: Cases, capsys: pytest.CaptureFixture[str]
) -> None:
    cases.write(*ASK)
    path = cases.folder / "w.test.yaml"
    path.write_text(
        'cases:\n  - name: "a\\e[31m"\n    variables: {x: "\\e]0;t"}\n    expect: {log: ["\\e"]}\n'
        '  - name: b\n    variables: {x: "\\e]0;t"}\n    answers: {A: "\\e]0;\\nt"}\n'
        '    expect: {variables: {result: "\\e\\n"}, prompts: {A: "\\x07"}}\n'
    )
    assert run_tests(arguments(path)) == 1
    assert "\x1b" not in capsys.readouterr().out


@given(st.text())
def test_what_xml_cannot_hold_is_escaped(text: str) -> None:
    element = ElementTree.Element("a", name=clean(text))
    assert ElementTree.fromstring(ElementTree.tostring(element)).get("name") == clean(text)


# What cases could not see before.


def test_a_command_with_the_wrong_words_or_folder_is_seen(cases: Cases) -> None:
    tree = cases.write(
        "[*] --> A\nA --> [*]",
        'A: Shell "deploy ${site}" with working_dir="nowhere" env={"A": "${site}"}',
        "parameters: [{name: site, required: true}]",
    )
    begin = "variables: {site: my site}\nshell: {A: done}\nexpect: {commands: {A: "
    assert cases.result(tree, begin + "deploy my}}").passed
    assert cases.result(
        tree, begin + "{exact: deploy my site, working_dir: nowhere, env: {A: my site}}}}"
    ).passed
    (message,) = told(cases.result(tree, begin + "{working_dir: .}}}"))
    assert message == "Command 1 of 'A': its working_dir is different."
    assert not cases.result(tree, begin + "{env: {}}}}").passed


def test_what_the_environment_of_the_tests_has_is_not_what_a_state_sets(
    cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODE", "fast")
    tree = cases.write("[*] --> A\nA --> [*]", 'A: Shell "x" with env={"MODE": "fast"}')
    assert cases.result(tree, "shell: {A: ''}\nexpect: {commands: {A: {env: {MODE: fast}}}}").passed
    plain = cases.write("[*] --> A\nA --> [*]", 'A: Shell "x"', name="plain")
    assert cases.result(plain, "shell: {A: ''}\nexpect: {commands: {A: {env: {}}}}").passed


def test_why_a_run_failed_can_be_expected(cases: Cases) -> None:
    tree = cases.write(
        "[*] --> A\nA --> [*]", 'A: Shell "echo ${site.nmae}"', "parameters: [{name: site, required: true}]"
    )
    case = "variables: {site: {name: x}}\nshell: {A: {exit_code: 1}}\nexpect: "
    found = cases.result(tree, case + "{ending: failed}")
    assert [one.what for one in found.differences] == ["unused"]
    found = cases.result(tree, case + "{error: {code: shell, state: A}}")
    assert [(one.what, one.expected, one.got) for one in found.differences] == [
        ("error", "shell", "template"),
        ("unused", None, None),
    ]
    right = "variables: {site: {name: x}}\nexpect: {error: {code: template, state: A, message: nmae}}"
    assert cases.result(tree, right).passed


def test_a_list_has_one_expectation_for_each_visit(cases: Cases) -> None:
    tree = cases.write('[*] --> A\nA --> A: result == "again"\nA --> [*]: default', 'A: Prompt "Hi"')
    case = "answers: {A: [again, again, done]}\nexpect: {prompts: {A: "
    assert cases.result(tree, case + "[Hi, Hi, Hi]}}").passed and cases.result(tree, case + "Hi}}").passed
    (message,) = told(cases.result(tree, case + "[Hi]}}"))
    assert message == "'A' asked 3 prompts; the list has 1, one for each visit."
    assert not cases.result(tree, case + "[Hi, Hi, Hi, Hi]}}").passed


def test_a_missing_session_is_seen_by_the_conversation(cases: Cases) -> None:
    diagram = "[*] --> A\nA --> B\nB --> [*]"
    with_it = cases.write(diagram, 'A: Prompt "one" using session="s"\nB: Prompt "two" using session="s"')
    without = cases.write(diagram, 'A: Prompt "one" using session="s"\nB: Prompt "two"', name="without")
    case = "answers: {A: yes, B: no}\nexpect: {prompts: {B: {history: [one, yes]}}}"
    assert cases.result(with_it, case).passed
    (difference,) = cases.result(without, case).differences
    assert (difference.expected, difference.got) == (["one", "yes"], [])


def test_levels_of_the_log_and_an_empty_log_can_be_expected(cases: Cases) -> None:
    tree = cases.write("[*] --> A\nA --> [*]", 'A: Log warning "hot"')
    assert cases.result(tree, "expect: {log: [{warning: hot}]}").passed
    assert not cases.result(tree, "expect: {log: [{info: hot}]}").passed
    (message,) = told(cases.result(tree, "expect: {log: []}"))
    assert message == "The log is not empty, as expected."
    quiet = cases.write("[*] --> A\nA --> [*]", "A: Set x := 1", name="quiet")
    assert cases.result(quiet, "expect: {log: []}").passed


def test_a_variable_that_the_workflow_does_not_know_is_an_error(cases: Cases) -> None:
    front = "parameters: [{name: site}]\nsystem: 'For {{ reader }}'"
    tree = cases.write("[*] --> A\nA --> [*]", 'A: Prompt "${site} ${more}"', front)
    assert not cases.faults(tree, "variables: {site: x, more: y, reader: z}\nanswers: {A: x}")
    (fault,) = cases.faults(tree, "variables: {sitee: x}")
    assert fault == (
        "w.test.yaml:3:17: error: The workflow has no parameter 'sitee', and nothing in it reads a "
        "variable of that name. Did you mean 'site'? [unknown-variable]"
    )


def test_time_passes_for_timeouts_limits_and_waits(cases: Cases) -> None:
    cases.write("[*] --> D\nD --> E\nE --> [*]", 'D: Wait 2 minutes\nE: Prompt "x"', name="child")
    tree = cases.write(
        "[*] --> S\nS --> Late: failure\nS --> [*]: success\nLate --> [*]",
        'S: Run workflow "child" with timeout=5min\nLate: Log "${error.kind}"',
        "limits: {duration: 1h}",
    )
    late = "expect: {path: [S, S/D, S/E, Late], log: [timeout]}"
    assert cases.result(tree, "answers: {S/E: {text: x, takes: 179s}}\nexpect: {log: []}").passed
    assert cases.result(tree, f"answers: {{S/E: {{text: x, takes: 180s}}}}\n{late}").passed
    assert cases.result(tree, f"answers: {{S/E: {{takes: forever}}}}\n{late}").passed
    limited = (
        "limits: {duration: 1min}\nexpect: {error: {code: limit, message: longer than 1 min}, path: [S, S/D]}"
    )
    assert cases.result(tree, limited).passed


def test_prompts_and_commands_are_over_their_own_time_limit(cases: Cases) -> None:
    tree = cases.write(
        "[*] --> A\nA --> B: failure\nA --> [*]: success\nB --> [*]: failure\nB --> [*]: success",
        'A: Prompt "x" using timeout=30s\nB: Shell "y" with timeout=10s result="r"',
    )
    told_late = "answers: {A: {text: x, takes: 30s}}\nshell: {B: {stdout: half, takes: 11s}}\nexpect: "
    assert cases.result(
        tree, told_late + "{path: [A, B], variables: {exit_code: 143, error: {kind: timeout, state: B}}}"
    ).passed
    in_time = "answers: {A: {text: x, takes: 29s}}\nexpect: {path: [A]}"
    assert cases.result(tree, in_time).passed
    fails = "answers: {A: {error: engine, takes: %s}}\ncommands: {B: {error: shell, takes: %s}}\nexpect: "
    late = "{path: [A, B], variables: {exit_code: 143, error: {kind: timeout}}}"
    assert cases.result(tree, fails % ("30s", "10s") + late).passed
    assert cases.result(tree, fails % ("forever", "forever") + late).passed
    assert cases.result(
        tree, fails % ("29s", "9s") + "{path: [A, B], variables: {error: {kind: shell}}}"
    ).passed


def test_what_never_ends_and_has_no_limit_is_said(cases: Cases) -> None:
    tree = cases.write("[*] --> A\nA --> [*]", 'A: Prompt "x"')
    (message,) = told(cases.result(tree, "answers: {A: {takes: forever}}"))
    assert message.startswith("'A' takes forever, and no limit ends it")


def test_branches_end_each_other_at_the_time_at_which_they_would(cases: Cases) -> None:
    tree = cases.write(
        FORK.replace("J --> [*]", "J --> C: failure\nJ --> [*]: success\nC --> [*]"),
        'A: Wait 3 hours\nB: Shell "x"\nA2: Log "never"\nC: Log "${error.message}"',
        "limits: {duration: 1h}",
    )
    soon = "shell: {B: {exit_code: 3, takes: 59min}}\nexpect: {path: [F, A, B, C], log: [status 3]}"
    assert cases.result(tree, soon).passed
    late = "shell: {B: {exit_code: 3, takes: 61min}}\nexpect: {error: limit, log: []}"
    assert cases.result(tree, late).passed


def test_a_workflow_without_cases_and_a_child_count(cases: Cases, capsys: pytest.CaptureFixture[str]) -> None:
    cases.write(
        '[*] --> D\nD --> E: result == "x"\nD --> [*]: default\nE --> [*]', 'D: Prompt "x"', name="child"
    )
    cases.write("[*] --> S\nS --> [*]", 'S: Run workflow "child"')
    (cases.folder / "w.test.yaml").write_text("cases: [{name: a, answers: {S/D: y}}]\n")
    assert run_tests(arguments(cases.folder, as_json=True)) == 0
    by_name = {Path(one["workflow"]).stem: one for one in json.loads(capsys.readouterr().out)["coverage"]}
    assert (by_name["w"]["percent"], by_name["child"]["percent"]) == (100.0, 33.3)
    assert by_name["child"]["transitions"]["covered"] == 1
    assert run_tests(arguments(cases.folder / "w.md", coverage_min=100)) == 1
    assert run_tests(arguments(cases.folder, coverage_min=50)) == 1  # 1 of 3 transitions
    assert run_tests(arguments(cases.folder, coverage_min=33)) == 0
    cases.write("[*] --> A\nA --> [*]", "A: Set x := 1", name="alone")
    capsys.readouterr()
    assert run_tests(arguments(cases.folder, coverage_min=33)) == 1
    shown = capsys.readouterr().out
    assert "alone: 0 of 1 states, 0 of 1 transitions" in shown
    assert "alone.md: no case runs it" in shown


def test_a_recorded_case_expects_commands_errors_and_the_log(cases: Cases) -> None:
    tree = cases.write(
        "[*] --> A\nA --> B\nB --> [*]",
        'A: Shell "cd . && echo ${x} $MODE" with working_dir="." env={"MODE": "m"}\nB: Abort "enough"',
        "parameters: [{name: x, required: true}]",
    )
    path = cases.folder / "w.test.yaml"
    _, doubts = cases.record(tree, lambda messages: "", path, x="a b", unknown="y")
    assert doubts == []
    (case,) = read_case_file(path).cases
    assert case.variables == {"x": "a b"}
    assert case.expected.commands["A"].values[0].parts == {
        "exact": "cd . && echo a b $MODE",
        "env": {"MODE": "m"},
    }
    assert case.expected.error is not None and case.expected.error.code == "aborted"
    assert case.expected.log == ()


def test_a_run_that_a_time_limit_ended_is_recorded_with_what_took_too_long(cases: Cases) -> None:
    cases.write("[*] --> D\nD --> [*]", 'D: Shell "sleep 60"', name="child")
    tree = cases.write(
        "[*] --> S\nS --> [*]: failure\nS --> [*]: success", 'S: Run workflow "child" with timeout=50ms'
    )
    path = cases.folder / "w.test.yaml"
    done, doubts = cases.record(tree, lambda messages: "", path)
    assert (str(done.ending), doubts) == ("completed", [])
    assert "takes: forever" in path.read_text()


def test_a_command_without_a_shell_is_seen_word_by_word(cases: Cases) -> None:
    tree = cases.write(
        "[*] --> A\nA --> B\nB --> [*]",
        'A: Command ["git", "show", "${sha}"] stdin="${sha}"\nB: Shell "cat" with stdin="in"',
        "parameters: [{name: sha, required: true}]",
    )
    case = "variables: {sha: a b}\ncommands: {A: x, B: y}\nexpect: {commands: {A: "
    good = "{exact: [git, show, a b], stdin: a b, env: {}, working_dir: .}, B: {exact: cat, stdin: in}}}"
    assert cases.result(tree, case + good).passed
    for wrong in ("{exact: [git, show, a, b]}}}", "{stdin: a}}}", "git show a b}}"):
        assert not cases.result(tree, case + wrong).passed, wrong


def test_every_action_is_over_its_time_limit_in_the_time_of_the_case(cases: Cases) -> None:
    tree = cases.write(
        "[*] --> A\nA --> B: failure\nA --> [*]: success\nB --> [*]",
        'A: Wait 3 hours timeout=2h\nB: Log "${error.kind}"',
    )
    assert cases.result(tree, "expect: {path: [A, B], log: [timeout]}").passed
