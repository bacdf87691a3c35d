"""Labels: plain words are a closed list, all else is an expression, and prose counts in old files only."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.actions import parse_action
from samovar.cli.checking import faults_of
from samovar.config import Settings
from samovar.errors import Fault, FaultsError, Place
from samovar.language.labels import PLAIN, read_label, read_old_label
from samovar.language.prose import FAILING, NEGATIONS, SUCCEEDING, verdict_of
from samovar.language.workflow import When
from samovar.library import Library
from samovar.preflight.prepare import prepare

HERE = Place(path=None, line=1)
LOG = '- A: Log "x"'
TWO = "[*] --> A\nA --> B: {}\nA --> C: default\nB --> [*]\nC --> [*]"
ONE = "[*] --> A\nA --> B: {}\nB --> [*]"
OLD, NEW = ".sah/workflows/w.md", "w.md"


def written(folder: Path, label: str, action: str = LOG, *, path: str = NEW, diagram: str = TWO) -> Path:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    text = f"```mermaid\nstateDiagram-v2\n{diagram.format(label)}\n```\n\n## Actions\n\n{action}\n"
    file.write_text(text, encoding="utf-8")
    return file


def told(file: Path) -> list[Fault]:
    return [fault for fault in faults_of(file) if fault.code != "acts-now"]


def codes(file: Path) -> list[tuple[str, str]]:
    return [(fault.code, fault.severity) for fault in told(file)]


@pytest.mark.parametrize(("when", "word"), [(when, word) for when, words in PLAIN.items() for word in words])
def test_a_plain_label_is_one_however_its_letters_and_blanks_are_written(when: When, word: str) -> None:
    for label in (word, word.upper(), word.title(), word.replace(" ", "_"), word.title().replace(" ", "")):
        assert read_label(label, HERE).when is when
        assert read_old_label(label, HERE, is_only=False, known=()).when is when


@pytest.mark.parametrize(
    "label",
    [
        *("not valid", "is not valid", "no success", "no error found", "without failure", "never fail"),
        *("error free", "success or failure", "Input valid", "goes on", "isn’t valid", "Tests passed!"),
    ],
)
def test_prose_is_an_error_that_names_the_plain_labels(tmp_path: Path, label: str) -> None:
    (fault,) = told(written(tmp_path, label))
    assert (fault.code, fault.severity, fault.place.line, fault.place.column) == (
        "unknown-label",
        "error",
        4,
        10,
    )
    assert all(f"`{word}`" in fault.message for words in PLAIN.values() for word in words)


@pytest.mark.parametrize("label", ["yes", "ok", "done", "otherwise", "Sucess", "完了", "fertig"])
def test_a_word_that_is_neither_plain_nor_a_variable_is_an_error(tmp_path: Path, label: str) -> None:
    (fault,) = told(written(tmp_path, label))
    assert (fault.code, fault.severity) == ("unknown-label", "error")
    assert "`on failure`" in fault.message
    assert ("Did you mean 'success'?" in fault.message) == (label == "Sucess")


@pytest.mark.parametrize(
    ("label", "action", "advice"),
    [
        ("valid", '- A: Prompt "x" result="valid" using choices="yes|no"', '`valid == "yes"`'),
        ("Is Valid", "- A: Set is_valid := true", "`is_valid == true`"),
        ("failed", "- A: Set failed := false", "`failed == true` for the variable, or `failure`"),
        ("else", '- A: Shell "ls" with result="else"', "or `default`"),
    ],
)
def test_a_plain_label_that_is_a_variable_too_is_an_error_with_both_ways(
    tmp_path: Path, label: str, action: str, advice: str
) -> None:
    fault = next(one for one in told(written(tmp_path, label, action)) if one.code == "ambiguous-label")
    assert fault.severity == "error"
    assert advice in fault.message


def test_a_parameter_makes_a_plain_label_ambiguous_too(tmp_path: Path) -> None:
    file = written(tmp_path, "valid")
    file.write_text("---\nparameters:\n  - name: valid\n    type: boolean\n---\n" + file.read_text())
    assert codes(file) == [("ambiguous-label", "error")]


@pytest.mark.parametrize("label", ['"n == 3"', "1 == 1", "true", "!false", "[1, 2].exists(x, x > 1)"])
def test_a_condition_that_reads_no_variable_is_an_error(tmp_path: Path, label: str) -> None:
    assert codes(written(tmp_path, label)) == [("constant-condition", "error")]
    assert codes(written(tmp_path, label, path=OLD)) == [("constant-condition", "warning")]


def test_a_condition_in_brackets_is_an_error(tmp_path: Path) -> None:
    assert codes(written(tmp_path, "[result == 'x']")) == [("list-condition", "error")]
    assert codes(written(tmp_path, "[result == 'x']", path=OLD)) == [("list-condition", "warning")]


@pytest.mark.parametrize(
    ("label", "choices", "code", "form"),
    [
        ("best == 1", "1|2|3", "type-mismatch", 'Write `best == "1"`'),
        ("best == true", "true|false", "type-mismatch", 'Write `best == "true"`'),
        ("best", "true|false", "text-as-truth", 'as in `best == "true"`'),
        ("best", "yes|no", "text-as-truth", 'as in `best == "yes"`'),
    ],
)
def test_a_choice_is_compared_as_the_text_it_is(
    tmp_path: Path, label: str, choices: str, code: str, form: str
) -> None:
    (fault,) = told(written(tmp_path, label, f'- A: Prompt "x" result="best" using choices="{choices}"'))
    assert (fault.code, fault.severity) == (code, "error")
    assert form in fault.message


@pytest.mark.parametrize(
    ("label", "action", "severity", "form"),
    [
        ("k", 'Set k="false"', "error", '`k` can be the text "false"'),
        ("k", 'Set k="No"', "error", 'as in `k == "yes"`'),
        ("k", 'Set k := 1 > 2 ? "ready" : "no"', "error", 'as in `k == "ready"`'),
        ("k", "Set k=false", None, ""),
        ("k", 'Set k=""', "warning", '`k != ""` if any will do'),
        ("k", 'Set k="x"', "warning", 'as in `k == "yes"`'),
        ('k == "x"', 'Set k="x"', None, ""),
        ("v", 'Shell "ls" with result="v"', "warning", '`v != ""`'),
        ("v.exit_code == 0", 'Shell "ls" with result="v"', None, ""),
        ("result", 'Shell "ls"', "warning", '`result != ""`'),
        ("result", 'Prompt "x"', "warning", '`result != ""`'),
        ("result", 'Prompt "x" using choices="yes|no"', "error", 'as in `result == "yes"`'),
        ("result", 'Log "x"', None, ""),
        ("v", 'Prompt "x" result="v"', "warning", '`v != ""`'),
    ],
)
def test_a_text_alone_is_no_condition(
    tmp_path: Path, label: str, action: str, severity: str | None, form: str
) -> None:
    found = told(written(tmp_path, label, f"- A: {action}"))
    assert [(one.code, one.severity) for one in found] == ([("text-as-truth", severity)] if severity else [])
    assert all(form in one.message for one in found)


@pytest.mark.parametrize(
    ("more", "is_doubted"),
    [
        ("", True),
        ("    type: string\n", True),
        ("    type: boolean\n", False),
        ("    default: true\n", True),  # a text, as nothing says otherwise
    ],
)
def test_a_parameter_alone_is_a_condition_where_it_is_no_text(
    tmp_path: Path, more: str, is_doubted: bool
) -> None:
    file = written(tmp_path, "go")
    file.write_text(f"---\nparameters:\n  - name: go\n{more}---\n" + file.read_text())
    assert codes(file) == is_doubted * [("text-as-truth", "warning")]
    file.write_text(file.read_text().replace("B: go", 'B: go == "yes" || go == true'))
    assert [code for code, _ in codes(file) if code == "text-as-truth"] == []


# Old files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "when", "is_doubtful"),
    [
        ("Tests failed", When.FAILURE, False),
        ("rejected by the reviewer", When.FAILURE, False),
        ("All Complete", When.SUCCESS, False),
        ("Input valid", When.SUCCESS, False),
        ("ready", When.SUCCESS, False),
        ("OnComplete", When.SUCCESS, False),
        ("on-error", When.FAILURE, False),
        ("Tests passed!", When.SUCCESS, False),
        ("not valid", When.FAILURE, True),
        ("is not valid", When.FAILURE, True),
        ("isn’t valid", When.FAILURE, True),
        ("no success", When.FAILURE, True),
        ("no error found", When.SUCCESS, True),
        ("without failure", When.SUCCESS, True),
        ("never fail", When.SUCCESS, True),
        ("error free", When.SUCCESS, True),
        ("success or failure", When.FAILURE, True),
        ("no issues, approved", When.SUCCESS, False),
    ],
)
def test_prose_in_an_old_file_means_what_its_author_meant(
    tmp_path: Path, label: str, when: When, is_doubtful: bool
) -> None:
    for is_only in (True, False):
        assert read_old_label(label, HERE, is_only=is_only, known=()).when is when
    assert ("doubtful-label", "warning") in codes(written(tmp_path, label, path=OLD)) or not is_doubtful
    assert prepared(tmp_path)


def prepared(folder: Path, **given: object) -> bool:
    library = Library([("project", folder / ".sah")], parse_action)
    return prepare("w", given, library, Settings(), needs_models=False).workflow.is_old


@pytest.mark.parametrize("label", ["MaxRetriesExceeded", "goes on", "are_we_done", "Continue"])
def test_other_prose_on_one_of_several_ways_is_refused_by_run_alone(tmp_path: Path, label: str) -> None:
    (fault,) = told(written(tmp_path, label, path=OLD))
    assert (fault.code, fault.severity) == ("prose-label", "warning")
    assert "from 'A' to 'B'" in fault.message
    with pytest.raises(FaultsError) as caught:
        prepared(tmp_path)
    assert [(one.code, one.severity) for one in caught.value.faults] == [("prose-label", "error")]


def test_a_name_that_something_sets_is_an_expression_in_an_old_file(tmp_path: Path) -> None:
    written(tmp_path, "are_we_done", path=OLD)
    assert prepared(tmp_path, are_we_done="yes")
    meaning = read_old_label("valid", HERE, is_only=False, known={"valid"})
    assert meaning.condition is not None
    assert codes(written(tmp_path, "ready", "- A: Set ready := true", path=OLD)) == []


def test_other_prose_on_the_only_way_is_no_label(tmp_path: Path) -> None:
    assert codes(written(tmp_path, "and then goes on", path=OLD, diagram=ONE)) == []
    meaning = read_old_label("and then goes on", HERE, is_only=True, known=())
    assert (meaning.when, meaning.is_passed_over) == (When.ALWAYS, True)
    assert codes(written(tmp_path, "and then goes on", diagram=ONE)) == [("unknown-label", "error")]


@given(
    st.lists(st.sampled_from(["tests", "the", "all", "input", "of", "it"]), max_size=3),
    st.sampled_from(sorted(FAILING | SUCCEEDING)),
    st.sampled_from(sorted(NEGATIONS)),
)
def test_a_negation_before_the_word_that_counts_turns_it(words: list[str], word: str, negation: str) -> None:
    plain, turned = verdict_of(" ".join([*words, word])), verdict_of(" ".join([negation, *words, word]))
    assert plain is not None and turned is not None
    assert {plain.when, turned.when} == {When.SUCCESS, When.FAILURE}
    assert not plain.why and turned.why


@given(st.text(max_size=30), st.booleans())
def test_any_label_is_read_or_a_fault(label: str, is_only: bool) -> None:
    try:
        meaning = read_label(label, HERE)
    except FaultsError as error:
        assert error.faults
    else:
        assert meaning.when is not When.CONDITION or meaning.condition
    try:
        old = read_old_label(label, HERE, is_only=is_only, known=())
    except FaultsError as error:
        assert error.faults
    else:
        assert not is_only or old.when is not When.CONDITION or old.condition
