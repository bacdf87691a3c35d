"""A person is asked for a text, a choice or an approval: by every way in which one can answer."""

from __future__ import annotations

from pathlib import Path

import pytest

import samovar
from samovar.actions import parse_action
from samovar.actions.outside import ThisMachine
from samovar.actions.question import Asking, Filled, Question, Reply
from samovar.errors import FaultsError, Place
from samovar.events import Ending
from samovar.expressions.types import text_of
from samovar.running.runner import RunnerSettings
from tests.bench import Bench
from tests.test_asking import typed_at
from tests.test_cli import samovar as command
from tests.test_cli import write

pytestmark = pytest.mark.anyio
HERE = Place(path=None, line=1)
DIAGRAM = "[*] --> Who\nWho --> Gate\nGate --> Go: success\nGate --> Stop: failure\nGo --> [*]\nStop --> [*]"
ACTIONS = """- Who: Ask "Who releases ${made}?" choices="Ada|Bob" default="Bob" result="who"
- Gate: Approve "${who} releases it?" timeout=1h
- Go: Log "${who}: released"
- Stop: Log "not released: ${error.kind}" """


@pytest.mark.parametrize(
    ("asking", "typed", "said"),
    [
        (Asking(kind="approve", parts=()), " YES ", "yes"),
        (Asking(kind="approve", parts=()), "", None),
        (Asking(kind="approve", parts=()), "sure", None),
        (Asking(kind="choice", parts=(), choices=("Ada", "Bob")), "ada", "Ada"),
        (Asking(kind="choice", parts=(), choices=("a", "A")), "A", "A"),
        (Asking(kind="choice", parts=(), choices=("Aa", "AA")), "aa", None),
        (Asking(kind="text", parts=()), " x y ", "x y"),
        (Asking(kind="text", parts=()), "  ", None),
    ],
)
def test_what_a_person_writes_is_an_answer_or_is_asked_again(
    asking: Asking, typed: str, said: str | None
) -> None:
    assert asking.reply(typed) == (None if said is None else Reply(said))


async def test_a_question_knows_its_kind_its_state_and_which_words_are_values(tmp_path: Path) -> None:
    asked: list[Question] = []

    async def ask(question: Question) -> Reply:
        asked.append(question)
        return Reply("ada" if question.kind == "choice" else "no")

    bench = Bench(tmp_path)
    bench.settings = RunnerSettings(folder=tmp_path, outside=ThisMachine(ask))
    workflow = bench.write("w", DIAGRAM, ACTIONS.replace("- ", ""), "parameters: [{name: made}]")
    run = await bench.run(workflow, None, made="v1")
    assert run.ending is Ending.COMPLETED
    assert (run.variables["who"], bench.log) == ("Ada", ["not released: refused"])
    assert [(one.path, one.kind, one.choices, one.default, one.visit) for one in asked] == [
        ("Who", "choice", ("Ada", "Bob"), "Bob", 1),
        ("Gate", "approve", (), None, 2),
    ]
    assert asked[0].parts == ("Who releases ", Filled("v1"), "?")


async def test_yes_answers_approvals_and_never_a_question(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.settings = RunnerSettings(folder=tmp_path, yes=True)
    run = await bench.run(bench.write("w", "[*] --> A\nA --> [*]", 'A: Approve "Go?"'))
    assert run.ending is Ending.COMPLETED
    run = await bench.run(bench.write("w", "[*] --> A\nA --> [*]", 'A: Ask "Who?" default="Ada"'))
    assert run.error is not None and run.error.code == "unanswered"


@pytest.mark.parametrize(
    "action",
    [
        'Ask "x" choices="a|b" default="c"',
        'Ask "x" choice="a"',
        'Ask "x" choices=""',
        'Approve "x" default="yes"',
    ],
)
def test_what_cannot_be_meant_is_found_before_the_run(action: str) -> None:
    with pytest.raises(FaultsError):
        parse_action(action, HERE)


def test_what_can_be_answered_is_known_before_the_run() -> None:
    assert parse_action('Ask "x" choices="a|b" result="v"', HERE).types == {"v": text_of(("a", "b"))}


# From outside.


@pytest.mark.parametrize(
    ("answers", "said", "status"),
    [
        (["Who=Ada", "Gate=yes"], "Ada: released", 0),
        (["Who=bob", "Gate=n"], "not released: refused", 0),
        (["Who=Ada"], "not released: unanswered", 0),
        ([], "needs a person at a terminal, --answer STATE=VALUE, or --wait", 1),
        (["Who=Eve"], "the state 'Who' takes one of Ada, Bob", 2),
        (["Gate="], "the state 'Gate' takes yes or no", 2),
        (["Go=yes"], "the state 'Go' asks nobody", 2),
        (["Gaet=yes"], "Did you mean 'Gate'?", 2),
        (["Gate"], "--answer takes STATE=VALUE", 2),
    ],
)
def test_answers_are_given_on_the_command_line(
    tmp_path: Path, answers: list[str], said: str, status: int
) -> None:
    write(tmp_path, DIAGRAM, ACTIONS, "parameters: [{name: made, default: v1}]")
    done = command(tmp_path, "run", "w.md", *(word for one in answers for word in ("--answer", one)))
    assert (done.returncode, said in done.stdout + done.stderr) == (status, True), done.stderr


def test_several_answers_are_one_for_each_visit(tmp_path: Path) -> None:
    diagram = '[*] --> A\nA --> A: v != "stop"\nA --> [*]: default'
    write(tmp_path, diagram, '- A: Ask "More?" result="v"')
    given = ("--answer", "A=more", "--answer", "A=stop")
    assert command(tmp_path, "run", "w.md", *given).returncode == 0
    done = command(tmp_path, "run", "w.md", "--answer", "A=more", "--answer", "A=even more")
    assert done.returncode == 1 and "needs a person" in done.stderr


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ([b"ada\n", b"y\n"], "Ada: released"),
        ([b"\n", b"yes\n"], "Bob: released"),
        ([b"Eve\n", b"Ada\n", b"\n", b"n\n"], "not released: refused"),
    ],
)
def test_a_person_answers_at_a_terminal(tmp_path: Path, typed: list[bytes], said: str) -> None:
    write(tmp_path, DIAGRAM, ACTIONS, "parameters: [{name: made, default: v1}]")
    shown, status = typed_at(tmp_path, typed, (b"Answer [Ada/Bob] (Enter: Bob): ", b"Approve? [y/n] "))
    assert status == 0 and f"  {said}\r\n" in shown, shown


def test_a_program_answers(tmp_path: Path) -> None:
    path = write(tmp_path, DIAGRAM, ACTIONS, "parameters: [{name: made, default: v1}]")

    def answer(question: Question) -> str | bool:
        return "Ada" if question.kind == "choice" else True

    with samovar.open_blocking() as app:
        run = app.run(path, answer=answer)
        assert run.variables["who"] == "Ada"
        run = app.run(path, answer=lambda question: "Eve")
        assert run.error is not None and "expected one of Ada, Bob or None" in run.error.message


CASES = """cases:
  - name: released
    replies: {Who: "", Gate: yes}
    expect: {log: ["Bob: released"]}
  - name: nobody approves in time
    replies: {Who: Ada, Gate: {text: yes, takes: 1h}}
    expect: {log: ["not released: refused"], path: [Who, Gate, Stop]}
  - name: nobody is there
    replies: {Who: false}
    expect: {error: unanswered}
"""


def test_cases_have_replies(tmp_path: Path) -> None:
    write(tmp_path, DIAGRAM, ACTIONS, "parameters: [{name: made, default: v1}]")
    (tmp_path / "w.test.yaml").write_text(CASES)
    done = command(tmp_path, "test", "w.md")
    assert done.returncode == 0, done.stdout
    untold = "cases:\n  - name: x\n    replies: {Who: Eve}\n  - name: y\n    replies: {Who: Ada}\n"
    (tmp_path / "w.test.yaml").write_text(untold)
    shown = command(tmp_path, "test", "w.md").stdout
    assert "is not an answer: one of Ada, Bob is expected" in shown
    assert "'Gate' asks a person a question that the case has no reply for" in shown


def test_what_a_person_answered_is_recorded(tmp_path: Path) -> None:
    write(tmp_path, DIAGRAM, ACTIONS, "parameters: [{name: made, default: v1}]")
    given = ("--answer", "Who=Ada", "--answer", "Gate=yes", "--record", "w.test.yaml")
    done = command(tmp_path, "run", "w.md", *given)
    assert done.returncode == 0, done.stderr
    done = command(tmp_path, "test", "w.md")
    assert done.returncode == 0, done.stdout
