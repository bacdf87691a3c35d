"""A run that branches from another takes what does not come after that point, and does the rest again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from samovar.events import Ending
from samovar.journal.base import Intent, KeptVisit, RunOrigin, RunStatus, VisitKey, VisitOutcome
from samovar.running.origins import BranchedFrom
from tests.again import Bench, bench
from tests.bench import Interrupted
from tests.growth import assert_grows_with_size

pytestmark = pytest.mark.anyio

CHILD = (
    "[*] --> Twice\nTwice --> Say\nSay --> Do\nDo --> [*]",
    """
Twice: Set m := number * 2
Say: Prompt "child ${m}" result="said"
Do: Shell "echo child ${m}"
""",
)
TOP = (
    """[*] --> Begin
Begin --> Fork
state Fork <<fork>>
Fork --> Left
Fork --> Right
Left --> Lefter
Lefter --> Join
Right --> Talk
Talk --> Join
state Join <<join>>
Join --> Count
Count --> Below
Below --> Count: n < 3
Below --> Each
Each --> Inner
state Inner {
    [*] --> Square
    Square --> Tell
    Tell --> [*]
}
Inner --> Fails
Fails --> Last: failure
Last --> [*]""",
    """
Begin: Set n := 0
Left: Shell "echo left" result="left"
Lefter: Prompt "lefter ${left}" result="lefter"
Right: Prompt "right" result="right" using session=talk
Talk: Prompt "and more" result="more" using session=talk
Count: Set n := n + 1
Below: Run workflow "child" with number="${n}" result="below"
Each: Prompt "about ${x}" for each x in ["a", "b", "c"] result="abouts" at_once=3
Inner: For each y in [1, 2, 3] at_once=3 collect="sq" result="squares"
Square: Set sq := y * y
Tell: Shell "echo square ${sq}"
Fails: Shell "exit 3"
Last: Set end := "it was " + error.kind
""",
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Bench]:
    found = bench(tmp_path)
    yield found
    found.journal.close()


@pytest.fixture
def top(world: Bench) -> Bench:
    world.write(*CHILD, name="child", front="parameters: [{name: number, type: number}]")
    world.write(*TOP)
    return world


def beside(one: KeptVisit, at: KeptVisit) -> bool:
    """In another branch of the fork, or of another item."""
    line, other = at.intent.key.line, one.intent.key.line
    if line and other and line != other:
        return True
    own, its = at.intent.key.path, one.intent.key.path
    for name in ("Each[", "Inner["):
        if own.startswith(name) and its.startswith(name):
            return own[: own.index("]")] != its[: its.index("]")]
    return False


@pytest.mark.slow
async def test_from_each_visit_exactly_what_does_not_come_after_it_is_taken(top: Bench) -> None:
    first = await top.drive()
    assert first.run.ending is Ending.COMPLETED and len(first.commands) == 8 and len(first.prompts) == 9
    visits = top.visits(first.run)
    wanted = {name: value for name, value in first.run.variables.items() if "duration" not in name}
    for at in visits:
        done = await top.drive(RunOrigin(run=first.run.id, at=at.intent.key))
        here = {name: value for name, value in done.run.variables.items() if "duration" not in name}
        assert here == wanted, at.intent.key
        made = at.intent.key
        again = [
            one
            for one in visits
            if one.intent.number >= at.intent.number and (one is at or not beside(one, at))
        ]
        shells = sum(one.intent.verb == "shell" for one in again)
        prompts = sum(one.intent.verb == "prompt" for one in again)
        assert (len(done.commands), len(done.prompts)) == (shells, prompts), made
        taken = {one.intent.key for one in top.visits(done.run) if one.outcome and one.outcome.origin}
        around = {one.intent.key for one in visits if one not in again} - taken
        assert all(made.path.startswith((f"{one.path}/", f"{one.path}[", f"{one.path}#")) for one in around)
        assert {one.intent.key for one in top.visits(done.run)} == {one.intent.key for one in visits}
        summary = next(one for one in top.journal.runs() if one.id == done.run.id)
        assert summary.origin == first.run.id and summary.status is RunStatus.COMPLETED
    assert top.visits(first.run) == visits, "the earlier run stays as it is"


async def test_what_is_changed_holds_from_the_point_on_also_within_a_sub_workflow(top: Bench) -> None:
    first = await top.drive()
    done = await top.branch(first.run, "Below/Say", m=70)
    assert done.prompts[:2] == ["child 70", "child 4"], "the second round of the loop computes its own"
    [second] = {one.intent.key.path for one in top.visits(first.run)} & {"Count", "Nothing"}
    third = top.key(first.run, second, 3)
    assert (third.path, third.nth) == ("Count", 3)
    done = await top.branch(first.run, "Count", 3, n=9)
    assert done.prompts[0] == "child 20" and done.run.variables["n"] == 10
    assert first.run.variables["n"] == 3


async def test_a_later_round_of_a_sub_workflow_is_not_taken_for_an_earlier_one(top: Bench) -> None:
    first = await top.drive()
    paths = [one.intent.key.path for one in top.visits(first.run)]
    assert [path for path in paths if path.endswith("Say")] == ["Below/Say", "Below#2/Say", "Below#3/Say"]
    done = await top.branch(first.run, "Below#2/Do")
    assert [text for text in done.commands if "child" in text] == [
        text for text in first.commands if "child" in text
    ][1:]
    assert [text for text in done.prompts if "child" in text] == ["child 6"]


async def test_a_run_that_is_interrupted_in_a_later_round_goes_on_in_that_round(top: Bench) -> None:
    whole = await top.drive()
    said = [text for text in whole.prompts if "child" in text]
    for until in range(40, 64, 2):
        with pytest.raises(Interrupted):
            await top.drive(until=until)
        run = next(top.journal.runs()).id
        done = await top.drive(goes_on=run, decision="redo")
        assert done.run.variables["below"] == whole.run.variables["below"], until
        texts = [
            one.outcome.exchanges[0].messages[-1].content
            for one in top.visits(run)
            if one.outcome and one.intent.key.path.endswith("Say")
        ]
        assert texts == said


@pytest.mark.slow
async def test_a_branch_that_is_interrupted_can_go_on(top: Bench) -> None:
    first = await top.drive()
    at = top.key(first.run, "Below#2/Say")
    whole = await top.drive(RunOrigin(run=first.run.id, at=at, variables={"m": 70}))
    ended = 0
    for until in range(4, 90, 5):
        try:
            await top.drive(RunOrigin(run=first.run.id, at=at, variables={"m": 70}), until=until)
        except Interrupted:
            ended += 1
            run = next(top.journal.runs()).id
            before = len(top.visits(run))
            done = await top.drive(goes_on=run, decision="redo")
            assert before <= len(top.visits(run))
            assert done.run.variables["below"] == whole.run.variables["below"], until
            assert "echo left" not in done.commands, "what is before the point is not done again"
            keys = [one.intent.key for one in top.visits(run)]
            assert len(keys) == len(set(keys)) == len(top.visits(whole.run))
    assert ended >= 10


async def test_people_are_asked_again_behind_the_point_and_not_before_it(world: Bench) -> None:
    world.write(
        "[*] --> A\nA --> B\nB --> C\nC --> [*]",
        """
A: Ask "first?" result="a"
B: Shell "echo ${a}"
C: Ask "second?" result="c"
""",
    )
    world.answer = lambda question: f"old {question.text}"
    first = await world.drive()
    world.answer = lambda question: f"new {question.text}"
    done = await world.branch(first.run, "B")
    assert done.questions == ["second?"]
    assert (done.run.variables["a"], done.run.variables["c"]) == ("old first?", "new second?")


async def test_items_after_each_other_come_after_the_point_and_items_at_once_do_not(world: Bench) -> None:
    for at_once, again in ((1, 3), (4, 1)):
        world.write(
            "[*] --> A\nA --> [*]", f'A: Shell "echo ${{x}}" for each x in [1, 2, 3, 4] at_once={at_once}'
        )
        first = await world.drive()
        done = await world.branch(first.run, "A[1]")
        assert len(done.commands) == again


async def test_a_prompt_can_have_another_text_from_the_point_on(world: Bench) -> None:
    (world.folder / "prompts").mkdir()
    (world.folder / "prompts" / "judge.md").write_text("Judge it.", encoding="utf-8")
    world.write("[*] --> A\nA --> B\nB --> [*]", 'A: Prompt "write"\nB: Execute prompt "judge"')
    first = await world.drive()
    at = world.key(first.run, "B")
    done = await world.drive(RunOrigin(run=first.run.id, at=at, prompts={"judge": "Judge it hard."}))
    assert done.prompts == ["Judge it hard."]
    # So it is when the branch goes on in another process, and has no file any more.
    assert world.journal.head(done.run.id).origin == RunOrigin(
        run=first.run.id, at=at, prompts={"judge": "Judge it hard."}
    )


async def test_a_conversation_goes_on_behind_the_point_with_what_was_said_before_it(world: Bench) -> None:
    actions = (
        'A: Prompt "one" using session=s\nB: Prompt "two" using session=s\nC: Prompt "three" using session=s'
    )
    world.write("[*] --> A\nA --> B\nB --> C\nC --> [*]", actions)
    first = await world.drive()
    done = await world.branch(first.run, "C")
    assert done.prompts == ["three"]
    [asked] = [one for one in world.visits(done.run) if one.intent.key.path == "C"]
    assert asked.outcome and asked.outcome.inputs, "it was asked with the whole conversation"
    rerun = await world.rerun(done.run)
    assert rerun.prompts == []


async def test_a_branch_that_was_lost_before_the_point_stays_lost(world: Bench) -> None:
    fork = "state F <<fork>>\nF --> L\nF --> R\nL --> J\nR --> R2\nR2 --> R3\nR3 --> J\nstate J <<join>>"
    actions = """
J: Join first
L: Shell "left" result="left"
R: Prompt "right"
R2: Prompt "right two"
R3: Shell "right three"
Z: Shell "last"
"""
    world.write(f"[*] --> F\n{fork}\nJ --> Z\nZ --> [*]", actions)
    first = await world.drive()
    assert first.run.ending is Ending.COMPLETED and first.commands == ["left", "last"]
    done = await world.branch(first.run, "Z")
    assert (done.commands, done.prompts) == (["last"], [])
    done = await world.branch(first.run, "L")
    assert done.commands == ["left", "last"]


async def test_what_items_have_said_in_a_conversation_is_taken_with_their_list(world: Bench) -> None:
    world.hears_all = True
    each = 'A: Prompt "about ${x}" for each x in [1, 2] at_once=1 using session=s'
    world.write("[*] --> A\nA --> B\nB --> [*]", f'{each}\nB: Prompt "in all" using session=s result="b"')
    first = await world.drive()
    done = await world.branch(first.run, "B")
    assert done.prompts == ["in all"] and done.run.variables["b"] == first.run.variables["b"]
    assert "about 2" in str(done.run.variables["b"])


async def test_a_command_that_was_interrupted_beside_the_point_must_be_decided(world: Bench) -> None:
    fork = "state F <<fork>>\nF --> L\nF --> R\nL --> M\nM --> J\nR --> J\nstate J <<join>>"
    actions = 'A: Set x := 1\nL: Prompt "left"\nM: Shell "echo left"\nR: Prompt "right"'
    world.write(f"[*] --> A\nA --> F\n{fork}\nJ --> [*]", actions)
    with pytest.raises(Interrupted):
        await world.drive(dies_in="left")
    run = next(world.journal.runs()).id
    assert [one.intent.key.path for one in world.visits(run) if one.outcome is None] == ["M"]
    at = next(one.intent.key for one in world.visits(run) if one.intent.key.path == "R")
    done = await world.drive(RunOrigin(run=run, at=at))
    assert done.run.ending is Ending.FAILED and done.run.error and "--redo" in done.run.error.message
    assert done.commands == []
    done = await world.drive(RunOrigin(run=run, at=at), decision="redo")
    assert done.run.ending is Ending.COMPLETED and done.commands == ["echo left"]


def test_what_visits_are_made_of_is_found_without_looking_at_all_of_them() -> None:
    def prepare(size: int) -> Callable[[], object]:
        keys = [VisitKey(path=f"Each[{number}]{below}") for number in range(size) for below in ("", "/S")]
        kept = [KeptVisit(intent=begun(key), outcome=VisitOutcome()) for key in keys]
        earlier = BranchedFrom(kept, (), RunOrigin(run="r", at=VisitKey(path="B")))

        def look() -> None:
            assert all(len(earlier.within(key)) == ("/" not in key.path) for key in keys)

        return look

    def begun(key: VisitKey) -> Intent:
        return Intent(key=key, number=1, verb="set", entered_at=1.0, is_repeatable=True)

    assert_grows_with_size(prepare, 1_600)
