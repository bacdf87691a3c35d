"""Cases: how a file of them is read, what is wrong with one, and how a case is added to one."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samovar.errors import FaultsError, UsageError
from samovar.events import Ending
from samovar.generation import FinishReason
from samovar.testing.case_file import parse_cases, read_case_file
from samovar.testing.case_text import add_case
from samovar.testing.cases import Answer, Failure, Printed
from samovar.testing.expectations import WantedLine

HEAD = "cases:\n  - name: one\n"
YAML_LOOKING = [
    *("yes", "no", "on", "null", "~", "1e3", "0x1F", "1_000", "1:30", "2024-01-01", "#", "|", ">", "{}"),
    *("[", "&a", "*a", "!x", "%", "@", "`", "true", "1", ".inf", "=", "<<", "---", "..."),
    *("- a", "a: b", "a #b", "", " ", "\n", "a\n", "\na", "a\n\nb\n\n", " a\nb", "a \nb", "a\tb", "a\r\nb"),
    *("'", '"', "\\", "\r", "\u2028", "\x85", "\ufeff", "\x07", "\x7f", "é", "🫖"),
]
TEXTS = st.one_of(st.sampled_from(YAML_LOOKING), st.text(alphabet=st.characters(exclude_categories=["Cs"])))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "w.md").write_text("")
    return tmp_path / "w.test.yaml"


def faults(text: str, path: Path) -> list[str]:
    with pytest.raises(FaultsError) as caught:
        parse_cases(text, path)
    return [str(fault).removeprefix(str(path.parent) + "/") for fault in caught.value.faults]


def test_a_case_says_what_is_told_and_what_is_expected(path: Path) -> None:
    file = parse_cases(
        HEAD
        + """
    variables: {a: 1}
    answers:
      A: yes
      B: [x, {error: timeout}, {text: y, finish_reason: length}, {error: context, message: too long}]
      Sub:
        C: inside
    shell:
      S: {stdout: out, exit_code: 2}
      T: {error: timeout}
    waits: {W: false}
    expect:
      ending: failed
      path: [A, Sub, Sub/C]
      variables: {n: null}
      prompts: {A: hello}
      log: [done]
""",
        path,
    )
    (case,) = file.cases
    assert file.workflow == path.with_name("w.md")
    assert case.answers["A"].at(9) == Answer(text="yes")
    told = case.answers["B"]
    assert told.at(2) == Answer(text="", finish_reason=FinishReason.TIMEOUT)
    assert told.at(3) == Answer(text="y", finish_reason=FinishReason.LENGTH)
    assert told.at(4) == Failure(code="context", message="too long")
    assert told.at(5) is None
    assert case.answers["Sub/C"].at(1) == Answer(text="inside")
    assert case.shell["S"].at(1) == Printed(stdout="out", exit_code=2)
    assert case.shell["T"].at(1) == Printed(exit_code=143, timed_out=True)
    assert case.waits["W"].at(1) == "nobody"
    expected = case.expected
    assert (expected.ending, expected.path) == (Ending.FAILED, ("A", "Sub", "Sub/C"))
    assert (expected.variables, expected.log) == ({"n": None}, (WantedLine(text="done"),))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("case: []", "w.test.yaml:1:1: error: The file has the unknown key 'case'."),
        (HEAD + "    answer: {}", "w.test.yaml:3:5: error: A case has the unknown key 'answer'."),
        (HEAD + "    expect: {endng: x}", "w.test.yaml:3:14: error: `expect` has the unknown key 'endng'"),
        (HEAD + "    expect: {ending: faild}", "w.test.yaml:3:14: error: There is no ending 'faild'. Did"),
        (HEAD + "    answers: {A: 3}", "w.test.yaml:3:15: error: An answer must be a text, but '3' is not"),
        (HEAD + "    answers: {A: [x, null]}", "w.test.yaml:3:22: error: An answer must be a text, but 'nu"),
        (HEAD + "    answers: {A: []}", "w.test.yaml:3:15: error: There is nothing in the list for 'A'."),
        (HEAD + "    answers: {A: {error: tmeout}}", "w.test.yaml:3:19: error: There is no error 'tmeout'."),
        (HEAD + "    answers: {A: x, A: y}", "w.test.yaml:3:21: error: 'A' appears here for the second "
                                             "time."),
        (HEAD + "    shell: {A: {exit_code: x}}", "w.test.yaml:3:17: error: `exit_code` must be"),
        (HEAD + "    waits: {A: maybe}", "w.test.yaml:3:13: error: A wait must be true"),
        (HEAD + "  - name: one", "w.test.yaml:3:5: error: There are two cases named 'one'."),
        ("cases:\n  - {}", "w.test.yaml:2:5: error: A case needs a `name`"),
        ("cases: 3", "w.test.yaml:1:1: error: `cases` must be a list"),
        ("cases: [", "w.test.yaml:"),
        ("- a", "w.test.yaml:1:1: error: The file must be `key: value` lines."),
        ("workflow: other.md\ncases: []", "w.test.yaml:1:1: error: There is no workflow 'other.md' here."),
        ("cases: !!python/object:os.system []", "w.test.yaml:1:1: error: The file has a tag"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(text: str, expected: str, path: Path) -> None:
    found = faults(text, path)
    assert any(fault.startswith(expected) for fault in found), found


def test_a_bomb_of_aliases_is_refused(path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert "more than" in faults("\n".join(lines), path)[0]


@pytest.mark.slow
@settings(max_examples=300)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4))
def test_every_text_that_is_written_is_read_as_it_was(pairs: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        workflow, path = Path(folder) / "w.md", Path(folder) / "w.test.yaml"
        workflow.write_text("")
        for one, other in pairs:
            values: dict[str, Any] = {
                "answers": {"A": [one, other], "B": {"text": other, "finish_reason": "length"}},
                "expect": {"variables": {"v": one, f"k{other}": {other: [one, 1.5, True, None]}}},
            }
            add_case(path, workflow, values)
        cases = read_case_file(path).cases
        for case, (one, other) in zip(cases, pairs, strict=True):
            assert [getattr(value, "text", None) for value in case.answers["A"].values] == [one, other]
            assert case.expected.variables == {"v": one, f"k{other}": {other: [one, 1.5, True, None]}}


def test_adding_a_case_leaves_every_byte_that_was_there(path: Path) -> None:
    before = "# mine\r\ncases: # all\r\n   -   name: 'one' # first\r\n       answers: {A: 'x'}\r\n# end"
    path.write_bytes(before.encode())
    add_case(path, path.with_name("w.md"), {"answers": {"A": "y"}})
    assert path.read_bytes().startswith(before.encode())
    assert [case.name for case in read_case_file(path).cases] == ["one", "run 1"]


def test_cases_that_are_added_at_once_are_all_there(path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        for number in range(8):
            threads.submit(add_case, path, path.with_name("w.md"), {"answers": {"A": f"{number}"}})
    cases = read_case_file(path).cases
    assert sorted(case.name for case in cases) == [f"run {number}" for number in range(1, 9)]
    told = [case.answers["A"].at(1) for case in cases]
    assert all(Answer(text=f"{number}") in told for number in range(8))


@pytest.mark.parametrize("text", ["", "cases:\n", "workflow: w.md\n", "# nothing\n"])
def test_a_case_is_added_to_a_file_that_has_none(text: str, path: Path) -> None:
    path.write_text(text)
    add_case(path, path.with_name("w.md"), {"answers": {"A": "y"}})
    assert path.read_text().startswith(text)
    assert len(read_case_file(path).cases) == 1


def test_a_text_that_keeps_empty_lines_at_its_end_keeps_them(path: Path) -> None:
    path.write_text("cases:\n  - name: one\n    answers:\n      A: |+\n        x\n\n")
    add_case(path, path.with_name("w.md"), {"answers": {"A": "y\n\n"}})
    add_case(path, path.with_name("w.md"), {"answers": {"A": "z"}})
    assert [case.answers["A"].at(1) for case in read_case_file(path).cases] == [
        Answer(text="x\n\n"),
        Answer(text="y\n\n"),
        Answer(text="z"),
    ]


@pytest.mark.parametrize("text", ["cases: [{name: one}]\n", "cases:\n  - name: one\nworkflow: w.md\n"])
def test_a_file_that_no_case_can_be_added_to_stays_as_it_is(text: str, path: Path) -> None:
    path.write_text(text)
    with pytest.raises(UsageError, match="A case cannot be added"):
        add_case(path, path.with_name("w.md"), {"answers": {"A": "y"}})
    assert path.read_text() == text
    assert sorted(one.name for one in path.parent.iterdir()) == ["w.md", "w.test.yaml"]


def test_a_file_has_the_cases_of_one_workflow(path: Path) -> None:
    path.write_text("cases: []")
    (other := path.with_name("other.md")).write_text("")
    with pytest.raises(UsageError, match="has the cases of"):
        add_case(path, other, {})
    with pytest.raises(UsageError, match="ends in"):
        add_case(path.with_name("w.yaml"), other, {})


def test_a_new_file_elsewhere_names_its_workflow(path: Path) -> None:
    elsewhere = path.parent / "cases" / "some.test.yaml"
    add_case(elsewhere, path.with_name("w.md"), {})
    assert elsewhere.read_text().startswith("workflow: ../w.md\n")
    assert read_case_file(elsewhere).workflow.resolve() == path.with_name("w.md").resolve()


def test_a_text_parameter_gets_what_is_written_in_a_case(tmp_path: Path) -> None:
    path = tmp_path / "w.test.yaml"
    (tmp_path / "w.md").write_text("")
    path.write_text(
        "cases:\n  - name: a\n    variables: {version: 1.10, all: [True, x], deep: {a: 1}, n: 2.50}\n"
    )
    (case,) = read_case_file(path).cases
    assert case.sources == {("version",): "1.10", ("all", 0): "True", ("n",): "2.50"}


def test_what_commands_leave_is_below_commands_or_shell_but_not_both(path: Path) -> None:
    (case,) = parse_cases(HEAD + "    commands: {A: one}\n    shell: {B: two}\n", path).cases
    assert {name: told.at(1) for name, told in case.shell.items()} == {
        "A": Printed(stdout="one"),
        "B": Printed(stdout="two"),
    }
    (fault,) = faults(HEAD + "    commands: {A: one}\n    shell: {A: two}\n", path)
    assert "'A' is below `commands` and below `shell`." in fault
