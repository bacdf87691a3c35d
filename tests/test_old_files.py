"""Old files are old by place or by word, never by guess; what looks like one is offered the word."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from samovar.actions import parse_action
from samovar.checks.mending import mend
from samovar.cli.checking import faults_of
from samovar.errors import Fault, FaultsError
from samovar.language.reading import parse_workflow
from samovar.language.workflow import Workflow
from samovar.library import Library
from tests.test_corpus import CORPUS, FILES

LINE = "dialect: swissarmyhammer"
PROSE = """```mermaid
stateDiagram-v2
    [*] --> Start
    Start --> End: All tests green
    End --> [*]
```

## Actions

- Start: Begin the workflow
- Nowhere: Log "x"
"""
OLD = f"---\ntitle: T\n{LINE}\n---\n{PROSE}"
LOOKS_OLD = "---\ntitle: T\ncategory: test\n---\n" + PROSE


def errors(faults: tuple[Fault, ...]) -> list[str]:
    return sorted(fault.code for fault in faults if fault.severity == "error")


def checked(folder: Path, text: str, path: str = "w.md") -> tuple[Fault, ...]:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode())
    return faults_of(file)


def read(text: str, path: Path, *, lenient: bool = False) -> Workflow:
    return parse_workflow(text, name="w", path=path, parse_action=parse_action, lenient=lenient)


def shape(workflow: Workflow) -> object:
    return [
        (state.name, [(one.target, one.when, one.label) for one in state.transitions], state.action is None)
        for state in workflow.states.values()
    ]


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_corpus_is_read_the_same_by_place_and_by_word(name: str, tmp_path: Path) -> None:
    root = tmp_path / ".swissarmyhammer"
    shutil.copytree(CORPUS / ".swissarmyhammer", root)
    (path,) = root.glob(f"workflows/{name}.m*")
    text = path.read_bytes().decode()
    line_end = "\r\n" if "\r\n" in text else "\n"
    begin = f"---{line_end}"
    said = f"{begin}{LINE}{line_end}" + (text.removeprefix(begin) if text.startswith(begin) else begin + text)
    by_place, by_word = read(text, path), read(said, tmp_path / "elsewhere" / path.name)
    assert by_place.is_old and by_word.is_old
    assert shape(by_place) == shape(by_word)


def test_what_is_not_an_action_or_a_state_is_an_error_unless_the_file_is_old(tmp_path: Path) -> None:
    wrong = ["unknown-action", "unknown-label", "unknown-state"]
    assert errors(checked(tmp_path, PROSE)) == wrong
    assert errors(checked(tmp_path, PROSE, ".samovar/workflows/w.md")) == wrong
    assert errors(checked(tmp_path, OLD)) == []
    assert errors(checked(tmp_path, PROSE, ".sah/w.md")) == []
    assert errors(checked(tmp_path, PROSE, "b/.swissarmyhammer/workflows/w.md")) == []


def test_the_prompts_of_an_old_file_are_old_too(tmp_path: Path) -> None:
    prompt = "\n## Prompts\n\n### p\n\n---\nparameters:\n  - name: x\n    type: colour\n---\n\n{{ x }}\n"
    assert "parameter" in errors(checked(tmp_path, PROSE + prompt))
    assert errors(checked(tmp_path, OLD + prompt)) == []


def test_another_dialect_is_an_error(tmp_path: Path) -> None:
    text = OLD.replace(LINE, "dialect: sah")
    fault = next(one for one in checked(tmp_path, text) if one.code == "front-matter")
    assert (fault.severity, fault.place.line) == ("error", 3)
    assert "must be swissarmyhammer, not 'sah'" in fault.message


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("front", ["---\ntitle: T\ncategory: test\n---\n", ""])
def test_a_file_that_looks_old_is_offered_the_line_and_fix_adds_it(
    tmp_path: Path, line_end: str, bom: str, front: str
) -> None:
    text = bom + (front + PROSE.replace("End --> [*]", "End --> [*]: On Success")).replace("\n", line_end)
    offer, *others = checked(tmp_path, text)
    assert (offer.code, offer.severity, offer.place.line) == ("old-file", "hint", 1)
    assert errors(tuple(others))
    path, library = tmp_path / "w.md", Library([("project", tmp_path)], parse_action)
    one = mend(path, library)
    assert (one.is_read, errors(one.faults)) == (True, [])
    assert one.done[0].code == "old-file"
    assert one.after.startswith(bom + f"---\n{LINE}\n".replace("\n", line_end))
    assert one.after.count(line_end) == text.count(line_end) + (1 if front else 4)
    one.write()
    assert not [fault for fault in faults_of(path) if fault.code == "old-file"]
    assert mend(path, library).done == ()


@pytest.mark.parametrize(
    "more",
    [
        "- End: Log '{{ claude_response }}'",
        "- End: Log '${last_action_result}'",
        "- End: Log 'to .swissarmyhammer/plan.md'",
        '- End: Execute prompt "elsewhere"\n  Store As: said',
    ],
)
def test_what_only_old_files_have_is_known_wherever_it_stands(tmp_path: Path, more: str) -> None:
    """Also where the old file would name a prompt that is not here, which is no fault of how it is read."""
    text = PROSE.replace('- Nowhere: Log "x"', more)
    assert [fault.code for fault in checked(tmp_path, text)][:1] == ["old-file"]
    assert "old-file" not in [fault.code for fault in checked(tmp_path, PROSE)]


@pytest.mark.parametrize(
    "text",
    [
        LOOKS_OLD.replace("Begin the workflow", 'Shel "exit 1"'),
        LOOKS_OLD.replace("- Nowhere", "- Strat"),
        PROSE,
    ],
)
def test_a_slip_in_a_new_file_is_not_taken_for_its_age(tmp_path: Path, text: str) -> None:
    faults = checked(tmp_path, text)
    assert errors(faults)
    assert not [fault for fault in faults if fault.code == "old-file"]
    one = mend(tmp_path / "w.md", Library([("project", tmp_path)], parse_action))
    assert one.after == one.before


@pytest.mark.parametrize(
    ("label", "mended"),
    [("Input valid", "success"), ("on-error", "failure"), ("not valid", "not valid"), ("Done", "Done")],
)
def test_a_label_that_was_read_before_is_mended_and_a_doubtful_one_is_not(
    tmp_path: Path, label: str, mended: str
) -> None:
    text = PROSE.replace("All tests green", "{}").replace("Begin the workflow", 'Log "x"')
    text = text.replace("- Nowhere", "- End")
    path = tmp_path / "w.md"
    path.write_text(text.format(label))
    assert mend(path, Library([("project", tmp_path)], parse_action)).after == text.format(mended)


def test_a_misspelt_verb_in_the_diagram_is_an_error_and_a_description_is_not(tmp_path: Path) -> None:
    diagram = "```mermaid\nstateDiagram-v2\n[*] --> A\nA: {}\nA --> [*]\n```\n"
    (fault,) = checked(tmp_path, diagram.format('Shel "exit 1"'))
    assert (fault.code, fault.severity, fault.place.line) == ("unknown-action", "error", 4)
    assert errors(checked(tmp_path, diagram.format('Shel "exit 1"'), ".sah/w.md")) == []
    assert checked(tmp_path, diagram.format('Logs what was "said" so far')) == ()


def test_names_that_differ_in_unicode_form_only_are_an_error_that_says_so(tmp_path: Path) -> None:
    one, two = "Pr\u00fcfen", "Pru\u0308fen"
    text = "```mermaid\nstateDiagram-v2\n[*] --> {0}\n{1} --> [*]\n```\n\n## Actions\n\n- {2}: Log 'x'\n"
    (fault,) = checked(tmp_path, text.format(one, one, two))
    assert (fault.code, fault.severity) == ("unknown-state", "error")
    assert "another Unicode form" in fault.message
    mended = mend(tmp_path / "w.md", Library([("project", tmp_path)], parse_action))
    assert mended.after == text.format(one, one, one)
    assert "unicode-form" in errors(checked(tmp_path, text.format(one, two, one)))
    assert errors(checked(tmp_path, text.format(one, two, one), ".sah/w.md")) == []


def test_lenient_reads_text_that_is_not_an_action_as_before(tmp_path: Path) -> None:
    text = "```mermaid\nstateDiagram-v2\n[*] --> A\nA --> [*]\n```\n\n## Actions\n\n- A: Begin it\n"
    with pytest.raises(FaultsError):
        read(text, tmp_path / "w.md")
    (warning,) = read(text, tmp_path / "w.md", lenient=True).warnings
    assert (warning.code, warning.severity) == ("unknown-action", "warning")
