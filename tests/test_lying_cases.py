"""A case that says something wrong fails: good cases, each with one thing in it made wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from samovar.actions import parse_action
from samovar.errors import FaultsError
from samovar.library import Library
from samovar.testing.case_checks import check_cases
from samovar.testing.case_file import parse_cases
from samovar.testing.difference import Difference
from samovar.testing.paths import Tree
from samovar.testing.trial import run_case
from tests.bench import text_of

CHILD = (
    "[*] --> Draft\nDraft --> Polish\nPolish --> [*]",
    'Draft: Prompt "Draft about ${topic}" result="draft" using session="letter" temperature=0.5\n'
    'Polish: Prompt "Polish it" result="text" using session="letter"',
    'parameters: [{name: topic, required: true}]\nsystem: "You write letters."',
)
DEPLOY = (
    """
[*] --> Build
Build --> Test
Test --> Ask: success
Test --> GiveUp: failure
Ask --> Write
Write --> Push
Push --> [*]
GiveUp --> [*]
""",
    'Build: Shell "echo ${target}" with working_dir="app" env={"MODE":"${mode}"}\n'
    'Test: Shell "make test" with timeout=1min\n'
    'Ask: Wait for user input "Deploy?"\n'
    'Write: Run workflow "child" with topic="${target}" result="letter" timeout=5min\n'
    'Push: Log warning "pushed ${target}"\n'
    'GiveUp: Abort "no: ${error.kind}"',
    "parameters: [{name: target, required: true}, {name: mode, default: fast}]",
)
GOOD = """
variables: {target: site}
answers: {Write: {Draft: Dear all, Polish: {text: Dear friends, finish_reason: length}}}
shell:
  Build: built
  Test: {stdout: fine, takes: 30s}
waits: {Ask: true}
expect:
  path: [Build, Test, Ask, Write, Write/Draft, Write/Polish, Push]
  variables: {letter: {text: Dear friends}, exit_code: 0}
  prompts:
    Write:
      Draft:
        exact: Draft about site
        system: You write letters.
        options: {temperature: 0.5, session: letter, choices: null}
        history: []
      Polish:
        contains: [Polish, letters]
        options: {max_tokens: 512, session: letter, fork: null, model: null}
        history: [Draft about site, Dear all]
  commands:
    Build: {exact: echo site, working_dir: app, env: {MODE: fast}, stdin: null}
    Test: [{contains: [make, test], env: {}, timeout: 1min}]
  log: [{warning: pushed site}]
  warnings: [was cut off]
"""
BAD = """
variables: {target: site, mode: slow}
shell:
  Build: built
  Test: {takes: 2min}
expect:
  ending: aborted
  error: {code: aborted, state: GiveUp, message: "no: timeout"}
  path: [Build, Test, GiveUp]
  variables: {exit_code: 143}
  commands: {Build: echo site, Test: make test}
  log: []
"""
STUCK = """
variables: {target: site}
answers: {Write: {Draft: Dear all, Polish: {takes: 10min}}}
shell: {Build: built, Test: fine}
expect:
  ending: failed
  error: {code: timeout, state: Write, message: took longer than 5 min}
  path: [Build, Test, Ask, Write, Write/Draft, Write/Polish]
  log: []
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """One thing that is made wrong in a good case."""

    case: str
    old: str
    new: str
    says: str
    """A word of what is said about it."""


WRONG = {
    GOOD: """
exact: echo site => exact: echo sit => its text is different
exact: echo site => exact: echo => its text is different
exact: echo site => contains: make all => does not contain
exact: echo site => exact: [make, site] => its text is different
working_dir: app => working_dir: . => its working_dir is different
working_dir: app => working_dir: app/sub => its working_dir is different
working_dir: app => working_dir: nowhere => its working_dir is different
env: {MODE: fast} => env: {MODE: slow} => its env is different
env: {MODE: fast} => env: {MODE: fast, MORE: x} => its env is different
env: {MODE: fast} => env: {} => its env is different
env: {MODE: fast} => env: {mode: fast} => its env is different
stdin: null => stdin: x => its standard input is different
stdin: null => stdout: x => has the unknown key
contains: [make, test] => contains: [make, tests] => does not contain
contains: [make, test] => contains: [""] => does not contain
contains: [make, test] => contains: [] => must have at least one text
Test: [{contains: [make, test], env: {}, timeout: 1min}] => Test: {} => nothing in the map
env: {}, timeout => env: {A: b}, timeout => its env is different
timeout: 1min => timeout: 2min => its timeout is different
timeout: 1min => timeout: null => its timeout is different
Test: [{contains => Tests: [{contains => Did you mean 'Test'
timeout: 1min}] => timeout: 1min}, {}] => one for each visit
Build: built => Build: [built, again] => only 1 of 2
Test: {stdout: fine, takes: 30s} => Test: {stdout: fine, takes: 61s} => ended as
Test: {stdout: fine, takes: 30s} => Test: {stdout: fine, exit_code: 1} => ended as
Test: {stdout: fine, takes: 30s} => Test: {stdout: fine, takes: forever} => ended as
Test: {stdout: fine, takes: 30s} => Test: {error: shell} => ended as
Test: {stdout: fine, takes: 30s} => Test: {stdout: fine, takes: soon} => must be a duration
waits: {Ask: true} => waits: {Ask: no} => ended as
waits: {Ask: true} => waits: {Build: true} => does not wait
waits: {Ask: true} => waits: {Ask: [true, true]} => only 1 of 2
variables: {target: site} => variables: {target: sight} => its text is different
variables: {target: site} => variables: {target: site, targt: x} => Did you mean 'target'
variables: {target: site} => variables: {target: site, mode: slow} => its env is different
variables: {target: site} => variables: {} => target
Draft: Dear all => Draft: Dear nobody => conversation before it
text: Dear friends, finish => text: Dear fiends, finish => 'letter' has another value
text: Dear friends, finish => takes: 5min, text: Dear friends, finish => ended as
Polish: {text => Send: more, Polish: {text => no state 'Write/Send'
exact: Draft about site => exact: Draft about sites => its text is different
exact: Draft about site => contains: about the site => does not contain
system: You write letters. => system: You write poems. => system prompt does not contain
system: You write letters. => system: null => system prompt is different
temperature: 0.5 => temperature: 0.7 => option 'temperature' is different
temperature: 0.5 => temprature: 0.5 => Did you mean 'temperature'
temperature: 0.5, session: letter => temperature: 0.5, session: null => option 'session' is different
session: letter, choices: null => session: letters, choices: null => option 'session' is different
choices: null => choices: "yes|no" => option 'choices' is different
history: [] => history: [Hello] => conversation before it
history: [Draft about site, Dear all] => history: [Draft about site] => conversation before it
history: [Draft about site, Dear all] => history: [] => conversation before it
history: [Draft about site, Dear all] => history: [Dear all, Draft about site] => conversation before it
max_tokens: 512 => max_tokens: 40 => option 'max_tokens' is different
fork: null => fork: letter => option 'fork' is different
model: null => model: no-such-model => option 'model' is different
contains: [Polish, letters] => contains: [Polish, poems] => does not contain
log: [{warning: pushed site}] => log: [] => is not empty
log: [{warning: pushed site}] => log: [{error: pushed site}] => No line of the log
log: [{warning: pushed site}] => log: [pushed sites] => No line of the log
log: [{warning: pushed site}] => log: [pushed, pushed] => No line of the log
log: [{warning: pushed site}] => log: [{warn: pushed site}] => has the unknown key
warnings: [was cut off] => warnings: [] => none are expected
warnings: [was cut off] => warnings: [was cut, was cut] => No warning
path: [Build, Test => path: [Test, Build => path is different
Write/Polish, Push] => Write/Polish] => path is different
exit_code: 0 => exit_code: "0" => 'exit_code' has another value
letter: {text: Dear friends} => letter: {txt: Dear friends} => 'letter' has another value
expect: => limits: {transitions: 3}¶expect: => ended as limited
expect: => limits: {duration: 20s}¶expect: => ended as limited
path: [Build => ending: stuck¶  path: [Build => not as stuck
path: [Build => error: shell¶  path: [Build => not as failed
""",
    BAD: """
ending: aborted => ending: failed => not as failed
code: aborted => code: shell => error's code is different
state: GiveUp => state: Test => error's state is different
state: GiveUp => state: Giveap => 'Giveap'
message: "no: timeout" => message: "no: shell" => error's message does not contain
code: aborted => code: abroted => Did you mean 'aborted'
takes: 2min => takes: 59s => asked a prompt
takes: 2min => exit_code: 1 => does not contain
Build: echo site, Test: make test => Push: echo site => runs no command
log: [] => log: [gone] => No line
exit_code: 143 => exit_code: 1 => 'exit_code' has another value
shell:¶  Build: built => waits: {Ask: true}¶shell:¶  Build: built => never used
shell:¶  Build: built => answers: {Write/Draft: x}¶shell:¶  Build: built => never used
expect:¶  ending: aborted => expect:¶  ending: completed => has no `error`
""",
    STUCK: """
takes: 10min => takes: 4min => ended as completed
code: timeout => code: action => error's code is different
state: Write, => state: Ask, => error's state is different
took longer than 5 min => took longer than 1 min => error's message
error: {code: timeout, state: Write, message: took longer than 5 min} => error: stuck => code is different
log: [] => log: [pushed] => No line
""",
}
"""By case: what stands there, what is written in its place (`¶` begins a line), and what is said then."""


def wrongs() -> Iterator[Wrong]:
    for case, lines in WRONG.items():
        for line in lines.strip().splitlines():
            old, new, says = line.replace("¶", "\n").split(" => ")
            yield Wrong(case=case, old=old, new=new, says=says)


def all_said(case: str, folder: Path) -> list[str]:
    """What is wrong with a case: faults of its file, or the ways in which it differs."""
    library = Library([], parse_action)
    for name, content in (("child", CHILD), ("w", DEPLOY)):
        (folder / f"{name}.md").write_text(text_of(*content), encoding="utf-8")
    tree = Tree(library.workflow(str(folder / "w.md")), library)
    lines = "\n".join("    " + line for line in case.strip("\n").splitlines())
    try:
        file = parse_cases(f"cases:\n  - name: one\n{lines}", folder / "w.test.yaml")
    except FaultsError as error:
        return [fault.message for fault in error.faults]
    if faults := check_cases(file, tree):
        return [fault.message for fault in faults]
    differences: tuple[Difference, ...] = anyio.run(run_case, file.cases[0], tree, library).differences
    return [one.message for one in differences]


@pytest.mark.parametrize("case", [GOOD, BAD, STUCK], ids=["good", "bad", "stuck"])
def test_the_cases_pass_as_they_are(case: str, tmp_path: Path) -> None:
    assert all_said(case, tmp_path) == []


@pytest.mark.parametrize("wrong", list(wrongs()), ids=lambda wrong: wrong.new.replace("\n", " ")[:60])
def test_a_wrong_expectation_fails(wrong: Wrong, tmp_path: Path) -> None:
    assert wrong.old in wrong.case
    said = all_said(wrong.case.replace(wrong.old, wrong.new, 1), tmp_path)
    assert any(wrong.says in one for one in said), said


def test_there_are_enough_of_them() -> None:
    assert len(list(wrongs())) >= 60
