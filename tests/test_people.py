"""Runs that wait for people, that are cancelled from elsewhere, and what holds over all their processes."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import anyio
import pytest

from samovar.actions import parse_action
from samovar.actions.outside import ThisMachine
from samovar.actions.process import Command, CommandResult
from samovar.actions.reached import VisitOf
from samovar.app import open_scripted
from samovar.errors import JournalError, NotFoundError
from samovar.events import Ending, Event, StateEntered
from samovar.journal.base import ForkEnds, Intent, RunHead, RunStatus, VisitKey, VisitOutcome
from samovar.journal.people import KeptQuestion
from samovar.journal.sqlite import SqliteJournal
from samovar.library import Library
from samovar.running.keeping import Keeping
from samovar.running.prepared import Prepared
from samovar.running.run import Run
from samovar.running.runner import Runner, RunnerSettings
from samovar.running.uncertain import Decisions
from tests.bench import Interrupted, text_of

pytestmark = pytest.mark.anyio


async def until(is_so: Callable[[], object]) -> None:
    """Returns once something is so that another task does; whoever calls this has a time limit."""
    while not is_so():  # noqa: ASYNC110  # what another process would see tells nobody
        await anyio.sleep(0.005)


class Machine(ThisMachine):
    """Has nobody, runs nothing, and notes what it is asked to."""

    def __init__(self, on_command: Callable[[str], None]) -> None:
        super().__init__()
        self.commands: list[str] = []
        self._on_command = on_command
        self.hold: anyio.Event | None = None

    async def run_command(self, command: Command, at: VisitOf) -> CommandResult:
        text = str(command.text)
        self.commands.append(text)
        self._on_command(text)
        if "hold" in text and self.hold is not None:
            await self.hold.wait()
        return CommandResult(
            stdout=f"{text}\n", stderr="", exit_code=0, duration_s=0.1, timed_out=False, is_cut=False
        )


class World:
    """A folder with workflows, and the journal of their runs. Mutable: what the last process did."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.journal = folder, SqliteJournal(folder / "state" / "j.db")
        self.commands: list[str] = []
        self.events: list[Event] = []
        self.prompts = 0

    def write(self, diagram: str, actions: str, name: str = "top", front: str = "") -> None:
        (self.folder / f"{name}.md").write_text(text_of(diagram, actions, front), encoding="utf-8")

    async def drive(
        self,
        run: Run | None = None,
        *,
        dies_in: str = "\0",
        dies_at: Callable[[Event], bool] = lambda event: False,
        hold: anyio.Event | None = None,
        variables: Mapping[str, object] | None = None,
        is_outline: bool = False,
    ) -> Run:
        """One process that begins a run, or goes on with one. It ends in that command, or at that event."""
        library = Library([], parse_action, start=self.folder)
        self.events, self.prompts = [], 0

        def on_command(text: str) -> None:
            if dies_in in text:
                raise Interrupted

        def on_event(event: Event) -> None:
            self.events.append(event)
            if dies_at(event):
                raise Interrupted

        def answer(messages: object) -> str:
            self.prompts += 1
            return "four words of text"

        machine = Machine(on_command)
        machine.hold, self.commands = hold, machine.commands
        goes_on = None if run is None else self.journal.head(run.id)
        keeping = Keeping(
            journal=self.journal, goes_on=goes_on, uncertain=Decisions(of_all="redo"), is_outline=is_outline
        )
        settings = RunnerSettings(
            keeping=keeping, outside=machine, folder=self.folder, waits=True, trusts=True
        )
        workflow = library.workflow(str(self.folder / "top.md"))
        async with open_scripted(answer) as executor:
            runner = Runner(library, executor, on_event=on_event, settings=settings)
            return await runner.run(Prepared(workflow=workflow, variables=dict(variables or {})))

    async def died(self, **how: object) -> Run:
        """One process that ends in the midst of a run, which is given as it was then."""
        with pytest.raises(Interrupted):
            await self.drive(**how)  # type: ignore[arg-type]
        return Run(id=next(self.journal.runs()).id, workflow="top", path=None, started_at=0.0)

    def questions(self) -> dict[str, KeptQuestion]:
        return {one.key.path: one for one in self.journal.people.questions()}

    def change(self, statement: str) -> None:
        connection = sqlite3.connect(self.journal.file)
        connection.execute(statement)
        connection.commit()
        connection.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    yield found
    found.journal.close()


# Waiting ---------------------------------------------------------------------------------------------------

ASKS = (
    "[*] --> A\nA --> Q\nQ --> B\nB --> [*]",
    'A: Shell "a"\nQ: Ask "Which?" choices="x|y" result="q"\nB: Shell "b"',
)
FORK = (
    "[*] --> F\nstate F <<fork>>\nF --> Q\nF --> L1\nL1 --> L2\nL2 --> J\nQ --> J\nstate J <<join>>\n"
    "J --> [*]",
    'Q: Ask "Which?" result="q"\nL1: Shell "l1"\nL2: Shell "l2"',
)


async def test_a_run_is_left_with_its_question_and_goes_on_with_the_answer(world: World) -> None:
    world.write(*ASKS)
    run = await world.drive()
    assert (run.ending, run.error and run.error.state) == (Ending.WAITING, "Q")
    assert Ending.WAITING.exit_status == 4
    [kept] = world.journal.runs()
    assert kept.status is RunStatus.WAITING and "Which?" in kept.message and not kept.owner
    question = world.questions()["Q"]
    assert (question.text, question.choices, question.run) == ("Which?", ("x", "y"), run.id)
    assert world.journal.people.answer(question, "y")
    assert not world.journal.people.answer(question, "x"), "it has an answer"
    done = await world.drive(run)
    assert done.ending is Ending.COMPLETED and done.variables["q"] == "y"
    assert world.commands == ["b"] and not world.questions()


async def test_a_run_that_is_resumed_without_an_answer_waits_again(world: World) -> None:
    world.write(*ASKS)
    run = await world.drive()
    again = await world.drive(run)
    assert again.ending is Ending.WAITING and list(world.questions()) == ["Q"] and world.commands == []


async def test_the_other_branches_of_a_fork_do_what_they_can_first(world: World) -> None:
    world.write(*FORK)
    run = await world.drive()
    assert run.ending is Ending.WAITING and world.commands == ["l1", "l2"]
    world.journal.people.answer(world.questions()["Q"], "this")
    done = await world.drive(run)
    assert done.ending is Ending.COMPLETED and world.commands == []
    assert done.variables["q"] == "this"


async def test_all_items_of_a_list_ask_before_the_run_is_left(world: World) -> None:
    world.write(
        "[*] --> Each\nstate Each {\n[*] --> Q\nQ --> S\nS --> [*]\n}\nEach --> [*]",
        'Each: For each x in [1, 2, 3] at_once=3 collect="q" result="all"\n'
        'Q: Ask "${x}?" result="q"\nS: Shell "s"',
    )
    run = await world.drive()
    assert run.ending is Ending.WAITING
    assert sorted(one.text for one in world.questions().values()) == ["1?", "2?", "3?"]
    for path, question in world.questions().items():
        world.journal.people.answer(question, f"to {question.text}")
        assert path.startswith("Each[")
    done = await world.drive(run)
    assert done.variables["all"] == ["to 1?", "to 2?", "to 3?"] and len(world.commands) == 3


async def test_a_question_in_a_sub_workflow_leaves_the_whole_run_and_its_finally_is_for_the_end(
    world: World,
) -> None:
    world.write("[*] --> Q\nQ --> [*]", 'Q: Approve "ok?"', name="child")
    world.write(
        "[*] --> C\nC --> [*]\nstate End", 'C: Run workflow "child"\nEnd: Shell "clean"', front="finally: End"
    )
    run = await world.drive()
    assert run.ending is Ending.WAITING and world.commands == []
    [question] = world.questions().values()
    assert world.journal.people.answer(question, "yes")
    done = await world.drive(run)
    assert done.ending is Ending.COMPLETED and world.commands == ["clean"]


async def test_an_answer_from_elsewhere_reaches_the_process_that_drives_the_run(world: World) -> None:
    world.write(FORK[0], FORK[1].replace('"l1"', '"hold"'))
    other, hold = SqliteJournal(world.journal.file), anyio.Event()
    done: list[Run] = []

    async def drive() -> None:
        done.append(await world.drive(hold=hold))

    try:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(drive)
                await until(other.people.questions)
                questions = other.people.questions()
                assert next(other.runs()).status is RunStatus.RUNNING
                assert other.people.answer(questions[0], "from elsewhere")
                await until(lambda: other.people.is_taken(questions[0]))
                hold.set()
    finally:
        other.close()
    assert done[0].ending is Ending.COMPLETED and done[0].variables["q"] == "from elsewhere"


async def test_a_time_limit_runs_on_while_nobody_drives_the_run(world: World) -> None:
    world.write(
        "[*] --> Q\nQ --> Late: failure\nQ --> [*]\nLate --> [*]",
        'Q: Ask "Which?" timeout=1h result="q"\nLate: Set late := error.message',
    )
    run = await world.drive()
    question = world.questions()["Q"]
    assert question.until_s is not None and question.until_s - question.asked_at == pytest.approx(3600)
    world.change("UPDATE visit SET entered_at = entered_at - 7200")
    done = await world.drive(run)
    assert done.ending is Ending.COMPLETED and "longer than 1 h" in str(done.variables["late"])
    # An answer that was given in time counts, however late the run goes on.
    run = await world.drive()
    world.journal.people.answer(world.questions()["Q"], "in time")
    world.change("UPDATE visit SET entered_at = entered_at - 7200")
    done = await world.drive(run)
    assert done.variables["q"] == "in time"


async def test_without_the_wish_to_wait_nobody_is_waited_for(world: World) -> None:
    world.write("[*] --> Q\nQ --> [*]", 'Q: Ask "Which?" result="q"')
    library = Library([], parse_action, start=world.folder)
    settings = RunnerSettings(
        keeping=Keeping(journal=world.journal), outside=Machine(lambda text: None), folder=world.folder
    )
    async with open_scripted(lambda messages: "") as executor:
        run = await Runner(library, executor, settings=settings).run(
            Prepared(workflow=library.workflow(str(world.folder / "top.md")))
        )
    assert run.ending is Ending.FAILED and run.error and run.error.code == "unanswered"


async def test_a_secret_is_in_no_kept_question_and_can_be_chosen(world: World) -> None:
    world.write(
        "[*] --> Q\nQ --> [*]",
        'Q: Ask "Is it ${key}?" choices=${[key, "other"]} result="q"',
        front="parameters: [{name: key, secret: true}]",
    )
    secret = {"key": "very-secret-text"}
    run = await world.drive(variables=secret)
    question = world.questions()["Q"]
    for file in world.journal.file.parent.iterdir():
        assert not file.is_file() or b"very-secret-text" not in file.read_bytes()
    world.journal.people.answer(question, question.choices[0])
    done = await world.drive(run, variables=secret)
    assert done.variables["q"] == "very-secret-text"


async def test_an_outline_has_no_question_and_is_never_left_waiting(world: World) -> None:
    world.write("[*] --> A\nA --> [*]", 'A: Ask "What of ${x}?" result="said"')
    run = await world.drive(variables={"x": "the-value-of-x"}, is_outline=True)
    assert run.ending is Ending.FAILED and run.error and run.error.code != "waiting"
    assert next(world.journal.runs()).status is RunStatus.FAILED and not world.questions()
    world.journal.close()
    for file in world.journal.file.parent.iterdir():
        assert b"What of" not in file.read_bytes() and b"the-value" not in file.read_bytes()


# Cancelling -------------------------------------------------------------------------------------------------


async def test_a_run_is_cancelled_from_elsewhere_and_its_finally_is_performed(world: World) -> None:
    world.write(
        "[*] --> A\nA --> [*]\nstate End", 'A: Shell "hold"\nEnd: Shell "clean"', front="finally: End"
    )
    other, hold = SqliteJournal(world.journal.file), anyio.Event()
    done: list[Run] = []

    async def drive() -> None:
        done.append(await world.drive(hold=hold))

    try:
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(drive)
                await until(lambda: "hold" in world.commands)
                assert not other.people.cancel(next(other.runs()).id), "it ends itself"
    finally:
        other.close()
    assert done[0].ending is Ending.CANCELLED and world.commands == ["hold", "clean"]
    assert done[0].error and "runs cancel" in done[0].error.message
    assert next(world.journal.runs()).status is RunStatus.CANCELLED


@pytest.mark.parametrize("clean", ['Shell "clean"', 'Run workflow "cleaner"'])
async def test_a_finally_after_an_interruption_is_not_the_one_at_the_end(world: World, clean: str) -> None:
    world.write("[*] --> S\nS --> [*]", 'S: Shell "clean"', name="cleaner")
    world.write(
        "[*] --> H\nH --> [*]\nstate End",
        f'H: Shell "hold"\nEnd: {clean}',
        name="child",
        front="finally: End",
    )
    world.write(
        "[*] --> C\nC --> B\nB --> [*]\nstate End",
        f'C: Run workflow "child"\nB: Shell "b"\nEnd: {clean}',
        front="finally: End",
    )
    run = None
    for _ in range(2):  # interrupted twice, as by Ctrl-C
        world.commands = []
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(functools.partial(world.drive, run, hold=anyio.Event()))
                await until(lambda: "hold" in world.commands)
                tasks.cancel_scope.cancel()
        assert world.commands == ["hold", "clean", "clean"]
        found = next(world.journal.runs())
        assert found.status is RunStatus.INTERRUPTED
        run = Run(id=found.id, workflow="top", path=None, started_at=0.0)
    done = await world.drive(run)
    assert done.ending is Ending.COMPLETED and world.commands == ["hold", "clean", "b", "clean"]
    await world.drive(run)
    assert not world.commands, "that of the end is kept as any other"
    visits = [one.intent for one in world.journal.visits(done.id)]
    assert visits[-1].key.path == ("End/S" if "Run" in clean else "End")
    assert len({one.number for one in visits}) == len(visits)


async def test_a_run_that_nobody_drives_is_over_at_once(world: World) -> None:
    world.write(*ASKS)
    run = await world.drive()
    assert world.journal.people.cancel(run.id)
    assert next(world.journal.runs()).status is RunStatus.CANCELLED and not world.questions()
    with pytest.raises(NotFoundError):
        world.journal.people.cancel("none")


# What holds over all processes of a run ---------------------------------------------------------------------

CHILD = ("[*] --> P\nP --> R\nR --> [*]", 'P: Prompt "a"\nR: Prompt "b"')


@pytest.mark.parametrize("limit", ["tokens: 12", "transitions: 3", "tool_calls: 9"])
async def test_limits_count_what_was_used_below_a_finished_state_before(world: World, limit: str) -> None:
    world.write(*CHILD, name="child")
    world.write(
        "[*] --> C\nC --> B\nB --> D\nD --> [*]",
        'C: Run workflow "child"\nB: Shell "b"\nD: Run workflow "child"',
        front=f"limits: {{{limit}}}",
    )
    whole = await world.drive()
    run = await world.died(dies_in="b")
    done = await world.drive(run)
    assert (done.ending, done.error and done.error.message) == (
        whole.ending,
        whole.error and whole.error.message,
    )
    assert done.tokens.generated == whole.tokens.generated
    assert done.tokens.evaluated + done.tokens.reused == whole.tokens.evaluated + whole.tokens.reused
    assert whole.ending is (Ending.COMPLETED if "calls" in limit else Ending.LIMITED)


async def test_visits_have_one_number_each_over_all_processes(world: World) -> None:
    world.write(*CHILD, name="child")
    world.write(
        "[*] --> C\nC --> B\nB --> D\nD --> [*]", 'C: Run workflow "child"\nB: Shell "b"\nD: Shell "d"'
    )
    run = await world.died(dies_in="b")
    before = {one.intent.key: one.intent.number for one in world.journal.visits(run.id)}
    await world.drive(run)
    after = {one.intent.key: one.intent.number for one in world.journal.visits(run.id)}
    assert len(set(after.values())) == len(after) == 5 and after.items() >= before.items()
    entered = [event.visit for event in world.events if isinstance(event, StateEntered)]
    assert len(set(entered)) == len(entered)
    assert entered[:2] == [before[VisitKey(path="C")], before[VisitKey(path="B")]]


FIRST = (
    "[*] --> F\nstate F <<fork>>\nF --> Slow\nF --> Quick\nSlow --> More\nMore --> J\nQuick --> J\n"
    "state J <<join>>\nJ --> After\nAfter --> Again: n < 2\nAgain --> F\nAfter --> [*]",
    'Slow: Shell "hold"\nMore: Set who := "slow"\nQuick: Set who := "quick"\nJ: Join first\n'
    'After: Set n := n + 1\nAgain: Shell "again ${n}"',
)


async def test_the_branch_that_was_first_is_first_in_every_process(world: World) -> None:
    world.write(
        "[*] --> Zero\nZero --> F\n" + FIRST[0].partition("\n")[2],
        "Zero: Set n := 0\n" + FIRST[1] + "\n",
    )
    run = await world.died(hold=anyio.Event(), dies_in="again")
    kept = {one.intent.key.path: one.outcome for one in world.journal.visits(run.id)}
    assert kept["Slow"] is not None and kept["Slow"].is_given_up, "nobody must decide about it"
    # Nothing holds the slow branch now: it would be first, having less to do.
    world.write(
        "[*] --> Zero\nZero --> F\n" + FIRST[0].partition("\n")[2],
        "Zero: Set n := 0\n" + FIRST[1] + "\n",
    )
    done = await world.drive(run, hold=anyio.Event())
    assert done.ending is Ending.COMPLETED and done.variables["who"] == "quick"
    assert world.commands.count("hold") == 1, "in the second round only"


async def test_a_journal_keeps_the_ends_of_a_fork_and_gives_up_what_was_lost(world: World) -> None:
    head = RunHead(id="r1", workflow="w", path=None, folder="/", started_at=5.0)
    key = VisitKey(path="F")
    fork = ForkEnds(key=key, prefix="", ends={"L": "cancelled", "R": "came"})
    async with world.journal.begin(head) as run:
        for number, (path, line) in enumerate([("A", "L"), ("B", "L/M"), ("C", "R"), ("D", "")], 1):
            begun = VisitKey(path=path, line=line)
            await run.intend(
                Intent(key=begun, number=number, verb="shell", entered_at=1.0, is_repeatable=False)
            )
        await run.decide(fork)
    given_up = [one.intent.key.path for one in world.journal.visits("r1") if one.outcome]
    assert given_up == ["A", "B"]
    async with world.journal.reopen("r1") as run:
        assert run.fork_of(key) == fork and run.fork_of(VisitKey(path="F", nth=2)) is None


async def test_what_a_finished_state_left_unfinished_is_given_up(world: World) -> None:
    world.write("[*] --> S\nS --> [*]", 'S: Shell "hold"', name="child")
    world.write(
        "[*] --> C\nC --> B: failure\nB --> [*]", 'C: Run workflow "child" timeout=10ms\nB: Shell "b"'
    )
    run = await world.died(hold=anyio.Event(), dies_in="b")
    kept = {one.intent.key.path: one.outcome for one in world.journal.visits(run.id)}
    assert kept["C/S"] is not None and kept["C/S"].is_given_up and kept["B"] is None


async def test_the_time_that_a_run_was_driven_counts_and_the_time_between_does_not(world: World) -> None:
    world.write(*ASKS, front="limits: {duration: 10min}")
    run = await world.drive()
    world.change("UPDATE run SET started_at = 5")
    assert (await world.drive(run)).ending is Ending.WAITING
    world.change("UPDATE run SET driven_s = 700")
    done = await world.drive(run)
    assert done.ending is Ending.LIMITED and done.error and "10 min" in done.error.message


async def test_a_secret_is_told_from_another_one_by_a_key_that_is_not_in_the_journal(world: World) -> None:
    world.write("[*] --> A\nA --> [*]", 'A: Shell "a"', front="parameters: [{name: key, secret: true}]")
    run = await world.died(dies_in="a", variables={"key": "hunter2"})
    proof = world.journal.head(run.id).proofs["key"]
    other = SqliteJournal(world.journal.file)
    assert other.is_proved(proof, "key", "hunter2") and not other.is_proved(proof, "key", "hunter3")
    key = world.journal.file.with_name("j.db.key")
    assert key.stat().st_mode & 0o077 == 0
    key.unlink()
    with pytest.raises(JournalError, match="not the one that the run began with"):
        SqliteJournal(world.journal.file).is_proved(proof, "key", "hunter2")


async def test_a_run_is_looked_up_without_the_others(world: World) -> None:
    for number in range(3):
        head = RunHead(id=f"r{number}", workflow="w", path=None, folder="/", started_at=5.0)
        async with world.journal.begin(head) as run:
            key = VisitKey(path="A")
            await run.intend(Intent(key=key, number=1, verb="set", entered_at=1.0, is_repeatable=True))
            await run.leave(key, VisitOutcome(value=number))
    world.change("UPDATE run SET status = 'damaged' WHERE id = 'r0'")
    assert world.journal.head("r1").id == "r1"
    assert [one.outcome and one.outcome.value for one in world.journal.visits("r2")] == [2]
    assert list(world.journal.visits("r1", after=1)) == []
    assert len(list(world.journal.visits("r1", after=1, also=[1]))) == 1
