"""A workflow that is run again as it is now does only what is downstream of a change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from samovar.events import Ending
from samovar.journal.base import Intent, KeptVisit, RunOrigin, VisitKey, VisitOutcome
from samovar.journal.inputs import digest_of
from samovar.journal.keys import KEY_BYTES, key_beside
from samovar.running.origins import RunAgain
from samovar.running.run import Run
from tests.again import Bench, bench
from tests.bench import Interrupted
from tests.growth import assert_grows_with_size
from tests.test_branch import CHILD, TOP

pytestmark = pytest.mark.anyio


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


def change(bench: Bench, old: str, new: str, name: str = "top") -> None:
    path = bench.folder / f"{name}.md"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    path.touch()


async def test_nothing_is_done_again_where_nothing_has_changed(top: Bench) -> None:
    first = await top.drive()
    done = await top.rerun(first.run)
    assert (done.commands, done.prompts) == ([], [])
    assert done.run.variables == first.run.variables and done.run.id != first.run.id
    again = await top.rerun(done.run)
    assert (again.commands, again.prompts) == ([], [])
    assert [one.intent.key for one in top.visits(again.run)] == [
        one.intent.key for one in top.visits(first.run)
    ]


PROMPTS_OF_CHILD = ["child 2", "child 4", "child 6"]
ABOUTS = ["about a", "about b", "about c"]


@pytest.mark.parametrize(
    ("old", "new", "name", "commands", "prompts"),
    [
        # What only a conversation depends on; no command does.
        ('"right"', '"rightly"', "top", 0, ["rightly", "and more"]),
        # A command in one branch: what reads it, and the commands that come after it.
        ("echo left", "echo leftly", "top", 8, ["lefter echo leftly"]),
        # One item of a list.
        ('"c"]', '"d"]', "top", 0, ["about d"]),
        # Within a sub-workflow, each time that it is run; its command comes after, and depends on no answer.
        ('child ${m}" result', 'kid ${m}" result', "child", 0, ["kid 2", "kid 4", "kid 6"]),
        # Its command, in the first of three rounds: all commands after it as well.
        ("echo child ${m}", "echo kid ${m}", "child", 7, []),
        # One more round of the loop: a list and what comes after it is done as before.
        ("n < 3", "n < 4", "top", 5, ["child 8"]),
        # A command of each item of a composite.
        ("echo square", "echo squared", "top", 4, []),
        # Only what is computed.
        ('"it was "', '"it is "', "top", 0, []),
    ],
)
async def test_only_what_is_downstream_of_a_change_is_done_again(
    top: Bench, old: str, new: str, name: str, commands: int, prompts: list[str]
) -> None:
    first = await top.drive()
    change(top, old, new, name)
    done = await top.rerun(first.run)
    assert (len(done.commands), sorted(done.prompts)) == (commands, sorted(prompts))
    fresh = await top.drive()
    timeless = {name: one for name, one in fresh.run.variables.items() if "duration" not in name}
    assert {name: done.run.variables[name] for name in timeless} == timeless
    settled = await top.rerun(done.run)
    assert (settled.commands, settled.prompts) == ([], [])


async def test_an_edit_in_one_of_two_branches_runs_exactly_what_is_downstream(world: Bench) -> None:
    def lines(third: str) -> tuple[str, str]:
        names = [f"S{number}" for number in range(1, 13)]
        left, right = names[1:6], names[6:11]
        edges = ["[*] --> S1", "S1 --> F", "state F <<fork>>", "F --> S2", "F --> S7"]
        edges += [f"{one} --> {other}" for side in (left, right) for one, other in pairwise(side)]
        edges += ["S6 --> J", "S11 --> J", "state J <<join>>", "J --> S12", "S12 --> [*]"]
        actions = ['S1: Prompt "begin" result="s1"']
        for number in range(2, 12):
            before = "s1" if number in (2, 7) else f"s{number - 1}"
            asked = third if number == 3 else "step"
            actions.append(f'S{number}: Prompt "{asked} {number} ${{{before}}}" result="s{number}"')
        actions.append('S12: Prompt "end ${s6} ${s11}"')
        return "\n".join(edges), "\n".join(actions)

    async def done_anew(run: Run) -> list[str]:
        done = await world.rerun(run)
        assert len(done.prompts) == sum(one.origin is None for one in outcomes(done.run))
        visits = world.visits(done.run)
        return [one.intent.key.path for one in visits if one.outcome and one.outcome.origin is None]

    def outcomes(run: Run) -> list[VisitOutcome]:
        return [one.outcome for one in world.visits(run) if one.outcome]

    world.write(*lines("step"))
    first = await world.drive()
    assert len(first.prompts) == 12
    world.write(*lines("another step"))
    assert await done_anew(first.run) == ["S3", "S4", "S5", "S6", "S12"]
    world.say = lambda text: f"<{text.replace('another ', '')}>"  # the same answer as before
    assert await done_anew(first.run) == ["S3"]


async def test_a_visit_is_taken_wherever_it_is_in_the_diagram(world: Bench) -> None:
    world.write("[*] --> A\nA --> B\nB --> [*]", 'A: Prompt "one" result="a"\nB: Shell "echo ${a}"')
    first = await world.drive()
    world.write(
        "[*] --> New\nNew --> First\nFirst --> Second\nSecond --> [*]",
        'New: Prompt "new"\nFirst: Prompt "one" result="b"\nSecond: Shell "echo ${b}"',
    )
    done = await world.rerun(first.run)
    assert (done.prompts, done.commands) == (["new"], [])
    # A visit is taken once: who asks twice wants two answers.
    world.write("[*] --> A\nA --> B\nB --> [*]", 'A: Prompt "one"\nB: Prompt "one"')
    done = await world.rerun(first.run)
    assert done.prompts == ["one"]


async def test_files_are_read_again_and_what_is_in_them_counts(world: Bench) -> None:
    world.write(
        "[*] --> R\nR --> A\nA --> B\nB --> [*]",
        """
R: Read "in.txt" result="text"
A: Prompt "about ${text}"
B: Prompt "other"
""",
    )
    (world.folder / "in.txt").write_text("one", encoding="utf-8")
    first = await world.drive()
    assert (await world.rerun(first.run)).prompts == []
    (world.folder / "in.txt").write_text("two", encoding="utf-8")
    assert (await world.rerun(first.run)).prompts == ["about two"]


async def test_a_file_that_was_written_is_not_written_again_unless_something_changed(world: Bench) -> None:
    world.write("[*] --> A\nA --> W\nW --> [*]", 'A: Set x := "one"\nW: Write "out.txt" value="${x}"')
    first = await world.drive()
    out = world.folder / "out.txt"
    out.write_text("by hand", encoding="utf-8")
    await world.rerun(first.run)
    assert out.read_text(encoding="utf-8") == "by hand"
    change(world, '"one"', '"two"')
    await world.rerun(first.run)
    assert out.read_text(encoding="utf-8") == "two"


async def test_a_person_is_asked_again_only_behind_something_that_was_done_anew(world: Bench) -> None:
    actions = 'A: Prompt "write" result="a"\nB: Approve "Send it?"\nC: Shell "send ${a}"'
    world.write("[*] --> A\nA --> B\nB --> C\nC --> [*]", actions)
    first = await world.drive()
    assert first.questions == ["Send it?"]
    done = await world.rerun(first.run)
    assert (done.questions, done.commands) == ([], [])
    world.say = lambda text: "worse"
    change(world, '"write"', '"write more"')
    done = await world.rerun(first.run)
    assert done.questions == ["Send it?"], "an approval is for what it was given for"
    assert done.commands and "worse" in done.commands[0]


async def test_a_failure_is_tried_again_unless_the_run_went_on_from_it(world: Bench) -> None:
    world.write("[*] --> A\nA --> B\nB --> [*]", 'A: Shell "echo a"\nB: Shell "exit 3"')
    first = await world.drive()
    assert first.run.ending is Ending.FAILED
    done = await world.rerun(first.run)
    assert [text for text in done.commands if "exit" in text] and len(done.commands) == 1
    change(world, "B --> [*]", "B --> C: failure\nC --> [*]")
    done = await world.rerun(first.run)
    assert done.run.ending is Ending.COMPLETED
    assert (await world.rerun(done.run)).commands == []


async def test_the_time_that_was_read_stays_as_long_as_what_reads_it(world: Bench) -> None:
    world.write("[*] --> A\nA --> B\nB --> [*]", 'A: Set at = "{{ now }}"\nB: Prompt "at ${at} {{ now }}"')
    first = await world.drive()
    done = await world.rerun(first.run)
    assert done.prompts == [] and done.run.variables["at"] == first.run.variables["at"]


@pytest.mark.slow
async def test_a_rerun_that_is_interrupted_can_go_on(top: Bench) -> None:
    first = await top.drive()
    change(top, '"right"', '"rightly"')
    ended = 0
    for until in range(4, 100, 6):
        try:
            await top.drive(RunOrigin(run=first.run.id), until=until)
        except Interrupted:
            ended += 1
            run = next(top.journal.runs()).id
            done = await top.drive(goes_on=run, decision="redo")
            assert done.commands == [] and set(done.prompts) <= {"rightly", "and more"}, until
            assert done.run.ending is Ending.COMPLETED
    assert ended >= 10


async def test_what_has_a_secret_in_it_is_compared_without_saying_what_it_is(world: Bench) -> None:
    front = "parameters: [{name: key, secret: true}]"
    actions = 'A: Shell "login ${key}"\nB: Prompt "public"\nC: Prompt "with ${key}"'
    world.write("[*] --> A\nA --> B\nB --> C\nC --> [*]", actions, front=front)
    first = await world.drive(variables={"key": "very-secret-1"})
    kept = {one.intent.key.path: one.outcome for one in world.visits(first.run)}
    key = key_beside(world.journal.file)
    assert (
        len(key) == KEY_BYTES and (world.journal.file.parent / "journal.db.key").stat().st_mode & 0o077 == 0
    )
    assert all(one and one.inputs for one in kept.values())
    same = await world.drive(RunOrigin(run=first.run.id), variables={"key": "very-secret-1"})
    assert (same.commands, same.prompts) == ([], [])
    other = await world.drive(RunOrigin(run=first.run.id), variables={"key": "very-secret-2"})
    assert len(other.commands) == 1 and len(other.prompts) == 1 and "with" in other.prompts[0]
    (world.journal.file.parent / "journal.db.key").unlink()
    new = await world.drive(RunOrigin(run=first.run.id), variables={"key": "very-secret-1"})
    assert len(new.commands) == 1 and len(new.prompts) == 1


def test_a_digest_depends_on_what_there_is_and_not_on_its_order() -> None:
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    different = [1, 1.5, True, "1", None, [1], {"1": 1}, ["map", []], {}, (), [[]], b"1", 1.0]
    digests = [digest_of(one) for one in different]
    assert len(set(digests)) == len(digests)
    assert digest_of("x", b"k") not in (digest_of("x"), digest_of("x", b"l"))
    with pytest.raises(TypeError, match="no digest"):
        digest_of(object())


def alike(count: int) -> list[KeptVisit]:
    """Visits of an earlier run that were all performed with the same."""
    keys = [VisitKey(path="A", nth=number) for number in range(1, count + 1)]
    return [
        KeptVisit(
            intent=Intent(key=key, number=key.nth, verb="prompt", entered_at=1.0, is_repeatable=True),
            outcome=VisitOutcome(inputs="same", stamp=f"stamp {key.nth}"),
        )
        for key in keys
    ]


def again(kept: Iterable[KeptVisit], own: Iterable[KeptVisit] = ()) -> RunAgain:
    return RunAgain(kept, "r1", own, is_complete=True)


def test_of_visits_that_are_alike_each_is_taken_once_and_first_the_one_of_that_place() -> None:
    kept, other = alike(4), VisitKey(path="B")
    keys, earlier = [one.intent.key for one in kept], again(kept)
    wanted = [keys[2], other, other, keys[2], keys[0]]
    taken = [earlier.by_inputs(key, "same") for key in wanted]
    assert [one and one.intent.key.nth for one in taken] == [3, 1, 2, 4, None]
    assert earlier.by_inputs(other, "not the same") is None


def test_a_visit_that_the_run_took_before_it_was_interrupted_is_not_taken_again() -> None:
    first, second = alike(2)
    assert first.outcome is not None
    earlier = again([first, second], [replace(first, outcome=replace(first.outcome, origin="r1"))])
    assert [earlier.by_inputs(first.intent.key, "same") for _ in range(2)] == [second, None]


def test_taking_visits_that_are_alike_is_no_more_work_for_each_of_many() -> None:
    def prepare(count: int) -> Callable[[], object]:
        earlier = again(alike(count))
        keys = [VisitKey(path="B", nth=number) for number in range(count)]
        return lambda: [earlier.by_inputs(key, "same") for key in keys]

    assert_grows_with_size(prepare, 16_000)
