"""A run is kept by its visits: interrupted anywhere, it ends as one that was not, and does nothing twice."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samovar.actions import parse_action
from samovar.actions.outside import ThisMachine
from samovar.actions.process import Command, CommandResult
from samovar.actions.reached import VisitOf
from samovar.app import open_scripted
from samovar.errors import JournalError, LeaseError, LeaseLostError, NotFoundError, SamovarError
from samovar.events import NOTHING, Ending, Event
from samovar.generation import Begun, Message
from samovar.journal.base import Intent, RunHead, RunStatus, VisitKey, VisitOutcome
from samovar.journal.codec import from_json, to_json
from samovar.journal.connecting import connect, prepare
from samovar.journal.looking import look
from samovar.journal.sqlite import SqliteJournal
from samovar.journal.writer import Writer
from samovar.language.reading import parse_workflow
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.running.keeping import Keeping
from samovar.running.prepared import Prepared
from samovar.running.references import References
from samovar.running.run import Run
from samovar.running.runner import Runner, RunnerSettings
from samovar.running.uncertain import Decisions
from samovar.values import Record
from samovar.values.certainty import Answered, ChosenValue
from tests.bench import Interrupted

pytestmark = pytest.mark.anyio

CHILD = """```mermaid
stateDiagram-v2
    [*] --> Twice
    Twice --> Say
    Say --> [*]
```

## Actions

- Twice: Set m := number * 2
- Say: Prompt "child ${m}" result="said"
"""
TOP = """```mermaid
stateDiagram-v2
    [*] --> Begin
    Begin --> Fork
    state Fork <<fork>>
    Fork --> Left
    Fork --> Right
    Left --> Join
    Right --> Talk
    Talk --> Join
    state Join <<join>>
    Join --> Count
    Count --> Loop
    Loop --> Count: n < 3
    Loop --> Each
    Each --> Inner
    state Inner {
        [*] --> Square
        Square --> Tell
        Tell --> [*]
    }
    Inner --> Below
    Below --> Nap
    Nap --> Fails
    Fails --> Last: failure
    Last --> [*]
```

## Actions

- Begin: Set n := 0
- Left: Shell "echo left" result="left"
- Right: Prompt "right" result="right" using session=talk
- Talk: Prompt "and more" result="more" using session=talk
- Count: Set n := n + 1
- Loop: Shell "echo loop ${n}"
- Each: Prompt "about ${x}" for each x in ["a", "b", "c"] result="abouts" at_once=2
- Inner: For each y in [1, 2, 3] at_once=2 collect="sq" result="squares"
- Square: Set sq := y * y
- Tell: Shell "echo square ${sq}"
- Below: Run workflow "child" with number="${n}" result="below"
- Nap: Wait 1 second
- Fails: Shell "exit 3"
- Last: Set end := "it was " + error.kind
"""


SHELLS = 8
"""Commands of a whole run."""


class CountedMachine(ThisMachine):
    """Runs nothing, and counts what it is asked to."""

    def __init__(self, ran: Counter[str]) -> None:
        super().__init__()
        self._ran = ran
        self.slept_s = 0.0
        self.ends_in_wait = False

    async def run_command(self, command: Command, at: VisitOf) -> CommandResult:
        text = " ".join([str(command.text), *command.environment.get("SAMOVAR_VALUE_1", "").split()])
        self._ran[text] += 1
        code = 3 if "exit 3" in text else 0
        return CommandResult(
            stdout=f"{text}\n", stderr="", exit_code=code, duration_s=0.5, timed_out=False, is_cut=False
        )

    async def sleep(self, duration_s: float, at: VisitOf) -> None:
        if self.ends_in_wait:
            raise Interrupted
        self.slept_s += duration_s


def workflows(folder: Path) -> tuple[Workflow, Library]:
    (folder / "child.md").write_text(
        "---\nparameters: [{name: number, type: number}]\n---\n" + CHILD, encoding="utf-8"
    )
    path = folder / "top.md"
    path.write_text(TOP, encoding="utf-8")
    workflow = parse_workflow(TOP, name="top", path=path, parse_action=parse_action)
    return workflow, Library([], parse_action, start=folder)


def said(messages: tuple[Message, ...]) -> str:
    """What the script answers: it depends on all that was said before in the conversation."""
    return " | ".join(f"{one.role[0]}:{one.content}" for one in messages)[-200:]


async def drive(
    folder: Path,
    keeping: Keeping | None,
    ran: Counter[str],
    *,
    until: int | None = None,
    ends_in_wait: bool = False,
    variables: Mapping[str, object] | None = None,
) -> tuple[Run, CountedMachine]:
    """One process. `until`: it ends at the event of that number. `ends_in_wait`: it ends while it waits."""
    workflow, library = workflows(folder)

    def on_event(event: Event) -> None:
        if until is not None and event.number >= until:
            raise Interrupted

    machine = CountedMachine(ran)
    machine.ends_in_wait = ends_in_wait
    options = RunnerSettings(keeping=keeping, outside=machine, folder=folder)
    async with open_scripted(lambda messages: said(tuple(messages))) as executor:
        runner = Runner(library, executor, on_event=on_event, settings=options)
        return await runner.run(Prepared(workflow=workflow, variables=variables or {})), machine


async def events_of_a_run(folder: Path) -> int:
    count = 0

    def on_event(event: Event) -> None:
        nonlocal count
        count = event.number

    workflow, library = workflows(folder)
    options = RunnerSettings(outside=CountedMachine(Counter()), folder=folder)
    async with open_scripted(lambda messages: said(tuple(messages))) as executor:
        await Runner(library, executor, on_event=on_event, settings=options).run(
            Prepared(workflow=workflow, variables={})
        )
    return count


def outcome_of(run: Run) -> tuple[object, ...]:
    """What must be the same however often a run was interrupted."""
    path = sorted((visit.path, str(visit.status)) for visit in run.visits if visit.verb)
    return str(run.ending), dict(run.variables), path


@pytest.mark.slow
async def test_a_run_that_is_interrupted_anywhere_ends_as_one_that_is_not(
    tmp_path: Path, journal: SqliteJournal
) -> None:
    whole, _ = await drive(tmp_path, None, Counter())
    count = await events_of_a_run(tmp_path)
    assert count > 60
    for until in range(4, count, 2):
        ran: Counter[str] = Counter()
        with pytest.raises(Interrupted):
            await drive(tmp_path, Keeping(journal=journal), ran, until=until)
        kept = next(journal.runs())
        assert kept.status is RunStatus.INTERRUPTED
        begun = [one for one in journal.visits(kept.id) if one.intent.verb == "shell"]
        unknown = sum(one.outcome is None for one in begun)
        before = ran.total()
        keeping = Keeping(journal=journal, goes_on=journal.head(kept.id), uncertain=Decisions(of_all="redo"))
        run, _ = await drive(tmp_path, keeping, ran)
        assert outcome_of(run)[:2] == outcome_of(whole)[:2], until
        assert all(one.outcome is not None for one in journal.visits(kept.id))
        assert ran.total() - before == SHELLS - len(begun) + unknown, (
            "what is known to be done is not done again"
        )
        assert next(journal.runs()).status is RunStatus.COMPLETED


async def test_a_run_can_be_interrupted_again_and_again(tmp_path: Path, journal: SqliteJournal) -> None:
    whole, _ = await drive(tmp_path, None, Counter())
    count = await events_of_a_run(tmp_path)
    ran: Counter[str] = Counter()
    keeping = Keeping(journal=journal)
    interrupted = 0
    for until in range(8, count, 6):
        try:
            await drive(tmp_path, keeping, ran, until=until)
        except Interrupted:
            interrupted += 1
        else:
            break  # what was done below a state that has ended is not told again, so it ends sooner
        head = journal.head(next(journal.runs()).id)
        keeping = Keeping(journal=journal, goes_on=head, uncertain=Decisions(of_all="redo"))
    else:
        await drive(tmp_path, keeping, ran)
    assert interrupted >= 10
    [kept] = journal.runs()
    assert kept.status is RunStatus.COMPLETED
    keeping = Keeping(journal=journal, goes_on=journal.head(kept.id))
    before = ran.total()
    run, _ = await drive(tmp_path, keeping, ran)
    assert ran.total() == before
    assert outcome_of(run)[:2] == outcome_of(whole)[:2]
    assert len(list(journal.runs())) == 1
    numbers = [one.intent.key for one in journal.visits(run.id)]
    assert len(numbers) == len(set(numbers))


async def test_a_command_that_was_interrupted_is_done_again_only_if_somebody_says_so(
    tmp_path: Path, journal: SqliteJournal
) -> None:
    ran: Counter[str] = Counter()
    begun: dict[str, int] = {}
    for until in range(4, 40):
        with pytest.raises(Interrupted):
            await drive(tmp_path, Keeping(journal=journal), ran, until=until)
        run = next(journal.runs()).id
        if any(not one.intent.is_repeatable and one.outcome is None for one in journal.visits(run)):
            begun[run] = until
    assert begun
    for run in begun:
        keeping = Keeping(journal=journal, goes_on=journal.head(run))
        done, _ = await drive(tmp_path, keeping, ran)
        assert done.ending is Ending.FAILED and done.error and "--redo" in done.error.message
    # What failed so can still go on with a decision in a run of its own.


async def test_a_wait_keeps_its_deadline(tmp_path: Path, journal: SqliteJournal) -> None:
    with pytest.raises(Interrupted):
        await drive(tmp_path, Keeping(journal=journal), Counter(), ends_in_wait=True)
    run = next(journal.runs()).id
    assert [one.outcome for one in journal.visits(run) if one.intent.verb == "wait"] == [None]
    keeping = Keeping(journal=journal, goes_on=journal.head(run))
    done, machine = await drive(tmp_path, keeping, Counter())
    assert done.ending is Ending.COMPLETED and 0 < machine.slept_s < 1


# What is kept ---------------------------------------------------------------------------------------------

texts = st.text(st.characters(codec=None), max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(texts | st.just("$"), inner, max_size=4)
        | st.builds(lambda text, one: Record(text, {"part": one}), texts, inner)
    ),
    max_leaves=12,
)


def same(one: object, other: object) -> bool:
    """Equal, of the same types all the way down, with the parts of records."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Record) and isinstance(other, Record):
        return str(one) == str(other) and same(dict(one.parts), dict(other.parts))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@given(value=values)
def test_a_value_comes_back_as_it_was(value: object) -> None:
    assert same(from_json(to_json(value)), value)
    outcome = VisitOutcome(value=value, sets={"x": value}, duration_s=1.5)
    back = from_json(to_json(outcome))
    assert same(back.value, value) and same(back.sets, {"x": value}) and back == outcome


def test_what_no_json_has_comes_back_too() -> None:
    chosen: dict[tuple[str | int, ...], ChosenValue] = {
        (): ChosenValue(value="a", confidence=0.5, alternatives={"a": 0.5, "b": None})
    }
    answered = Answered("a", {"tokens": 3}, chosen)
    back = from_json(to_json([answered, float("inf"), NOTHING, Path("x/y")]))
    assert type(back[0]) is Answered and back[0].chosen == chosen and back[0].part("tokens") == 3
    assert back[1:] == [float("inf"), NOTHING, Path("x/y")]
    with pytest.raises(JournalError, match="type object"):
        to_json(object())


@pytest.mark.parametrize(
    "text", ["", "{", '{"$":"os.system"}', '{"$":"Place"}', '{"$":["x"]}', "[" * 100_000]
)
def test_a_damaged_value_is_an_error(text: str) -> None:
    with pytest.raises(JournalError):
        from_json(text)


# Secrets --------------------------------------------------------------------------------------------------

secret_texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(lambda one: one.strip())


@given(secret=secret_texts, value=values)
@settings(max_examples=200)
def test_a_secret_is_a_reference_and_comes_back(secret: str, value: object) -> None:
    references = References()
    references.learn("key", secret)
    outcome = VisitOutcome(value=[value, secret, f"{secret}: it is"], sets={"x": {"y": secret}})
    kept = references.conceal(outcome)
    assert secret.strip() not in (kept.value[1], kept.sets["x"]["y"])  # type: ignore[index]
    if len(secret.strip()) >= 6 and not secret.strip().isdigit():
        assert secret.strip() not in kept.value[2]  # type: ignore[index]
    assert same(references.reveal(kept).value, outcome.value)
    if not references.is_empty:
        other = References()
        with pytest.raises(SamovarError, match="'key'"):
            other.reveal(kept)


def test_what_looks_like_a_reference_is_no_secret() -> None:
    references = References()
    references.learn("key", "very secret")
    forged = "\x00skey#0:0\x00 \x00e \x00nkey#0\x00"
    kept = references.conceal(VisitOutcome(value=forged))
    assert references.reveal(kept).value == forged


# Who drives a run ------------------------------------------------------------------------------------------

HEAD = RunHead(id="r1", workflow="w", path=None, folder="/", started_at=5.0)


async def test_one_process_drives_a_run_at_a_time(journal: SqliteJournal) -> None:
    other = SqliteJournal(journal.file)
    try:
        async with journal.begin(HEAD) as run:
            with pytest.raises(LeaseError, match="driven by another process"):
                async with other.reopen("r1"):
                    pass
            assert next(journal.runs()).status is RunStatus.RUNNING
            await run.end(RunStatus.COMPLETED)
        async with other.reopen("r1") as again:
            assert again.head == HEAD
    finally:
        other.close()


async def test_a_lease_that_ran_out_can_be_taken_and_its_holder_writes_nothing(
    journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = VisitKey(path="A")
    intent = Intent(key=key, number=1, verb="set", entered_at=1.0, is_repeatable=True)
    other = SqliteJournal(journal.file)
    try:
        async with journal.begin(HEAD) as run:
            await run.intend(intent)
            expire(journal)
            assert next(journal.runs()).status is RunStatus.INTERRUPTED
            async with other.reopen("r1") as taken:
                with pytest.raises(LeaseLostError):
                    await run.leave(key, VisitOutcome(value="late"))
                with pytest.raises(LeaseLostError):
                    await run.renew()
                await taken.leave(key, VisitOutcome(value="in time"))
            with pytest.raises(LeaseLostError):
                await run.end(RunStatus.COMPLETED)
        kept = list(journal.visits("r1"))
        assert [one.outcome.value for one in kept if one.outcome] == ["in time"]
    finally:
        other.close()


def expire(journal: SqliteJournal) -> None:
    """The lease of every run has run out."""
    connection = sqlite3.connect(journal.file)
    connection.execute("UPDATE run SET until_s = 1")
    connection.commit()
    connection.close()


async def test_long_outcomes_are_kept_once_and_the_longest_beside(journal: SqliteJournal) -> None:
    long, huge = "x" * 50_000, "y" * 3_000_000
    async with journal.begin(HEAD) as run:
        for number, value in enumerate((long, long, huge, huge)):
            key = VisitKey(path="A", nth=number + 1)
            intent = Intent(key=key, number=number, verb="set", entered_at=1.0, is_repeatable=True)
            await run.intend(intent)
            await run.leave(key, VisitOutcome(value=value))
    assert [one.outcome.value for one in journal.visits("r1") if one.outcome] == [long, long, huge, huge]
    beside = list(journal.file.with_name(journal.file.name + ".values").iterdir())
    assert len(beside) == 1
    beside[0].write_text("changed", encoding="utf-8")
    with pytest.raises(JournalError, match="changed"):
        list(journal.visits("r1"))


# Bad places -----------------------------------------------------------------------------------------------


def test_a_journal_that_is_none_or_too_new_is_refused_and_stays(tmp_path: Path) -> None:
    file = tmp_path / "j.db"
    assert list(SqliteJournal(file).runs()) == []
    file.write_text(
        "no database at all, but long enough to be read as a header of one" * 20, encoding="utf-8"
    )
    before = file.read_bytes()
    with pytest.raises(JournalError, match=r"another kind of file"):
        Writer(file)
    assert file.read_bytes() == before
    file.unlink()
    Writer(file).close()
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(JournalError, match="later version"):
        Writer(file)
    with pytest.raises(JournalError, match="later version"):
        list(SqliteJournal(file).runs())


def test_a_database_of_another_program_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE run (x)")
    connection.commit()
    connection.close()
    before = file.read_bytes()
    with pytest.raises(JournalError, match="another program"):
        Writer(file)
    with pytest.raises(JournalError, match="another program"):
        list(SqliteJournal(file).runs())
    assert file.read_bytes() == before
    (tmp_path / "empty.db").touch()
    assert list(SqliteJournal(tmp_path / "empty.db").runs()) == []
    with pytest.raises(JournalError, match="not a regular file"):
        Writer(tmp_path)


def test_what_a_killed_process_left_unfinished_is_put_right_for_whoever_only_reads(tmp_path: Path) -> None:
    file, left = tmp_path / "j.db", tmp_path / "left.db"
    connect(file).close()
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # as a new file has it, until it is in WAL mode
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN IMMEDIATE")
        texts = ((str(number), "x" * 3_000) for number in range(100))
        connection.executemany("INSERT INTO text (digest, body) VALUES (?, ?)", texts)
        for end in ("", "-journal"):
            shutil.copy(f"{file}{end}", f"{left}{end}")
    with pytest.raises(JournalError, match="when a process was killed"):
        look(left)
    assert list(SqliteJournal(left).runs()) == []
    assert look(left).damage is None
    with closing(sqlite3.connect(left)) as connection:
        assert connection.execute("SELECT count(*) FROM text").fetchone() == (0,)


@pytest.mark.parametrize("status", [one for one in RunStatus if one is not RunStatus.RUNNING])
async def test_answers_in_progress_stay_only_of_a_run_that_can_continue(
    journal: SqliteJournal, status: RunStatus
) -> None:
    key = VisitKey(path="A")
    async with journal.begin(HEAD) as run:
        await run.intend(Intent(key=key, number=1, verb="prompt", entered_at=1.0, is_repeatable=True))
        run.keep_begun(key, 1, Begun(of="it", tokens=(1, 2)))
        await run.end(status)
    with closing(sqlite3.connect(journal.file)) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM begun").fetchall()
    goes_on = (RunStatus.INTERRUPTED, RunStatus.WAITING, RunStatus.CANCELLED)
    assert count == (1 if status in goes_on else 0)


def test_the_file_is_for_its_user_alone(journal: SqliteJournal) -> None:
    Writer(journal.file).close()
    assert journal.file.stat().st_mode & 0o077 == 0
    assert journal.file.parent.stat().st_mode & 0o077 == 0


async def test_a_run_that_is_not_there_is_named(journal: SqliteJournal) -> None:
    async with journal.begin(HEAD) as run:
        await run.end(RunStatus.FAILED, "why")
    with pytest.raises(NotFoundError, match="r1"):
        journal.head("r2")
    assert next(journal.runs()).message == "why"


def test_a_new_journal_that_another_process_is_making_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "j.db"
    other, own = (sqlite3.connect(file, isolation_level=None, timeout=5) for _ in range(2))
    refused: list[str] = []

    class Told:
        """The other one is in a transaction when the journal mode is wanted, until that was refused."""

        @property
        def in_transaction(self) -> bool:
            return own.in_transaction

        def execute(self, statement: str) -> object:
            if "journal_mode" in statement and not refused:
                other.execute("BEGIN IMMEDIATE")
            try:
                return own.execute(statement)
            except sqlite3.OperationalError as error:
                refused.append(f"{statement}: {error}")
                other.execute("COMMIT")
                raise

    with closing(other), closing(own):
        prepare(Told(), file)
        assert refused == ["PRAGMA journal_mode = WAL: database is locked"]
        assert own.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert own.execute("SELECT count(*) FROM run").fetchone() == (0,)


def test_many_that_open_a_new_journal_at_once_all_get_it(tmp_path: Path) -> None:
    for number in range(20):
        file = tmp_path / f"{number}.db"
        begin = threading.Barrier(8)

        def opened(file: Path = file, begin: threading.Barrier = begin) -> None:
            begin.wait()
            Writer(file).close()

        with ThreadPoolExecutor(8) as threads:
            for one in [threads.submit(opened) for _ in range(8)]:
                one.result()


async def test_a_defect_in_one_write_comes_out_as_it_is_and_fails_no_other(tmp_path: Path) -> None:
    held, errors = threading.Event(), list[BaseException]()
    writer = Writer(tmp_path / "j.db")

    def insert(connection: Any, name: str) -> str:
        connection.execute("INSERT INTO text (digest, body) VALUES (?, '')", (name,))
        return name

    def defect(connection: Any) -> None:
        insert(connection, "defect")
        raise ZeroDivisionError

    async def wrong() -> None:
        try:
            await writer.write(defect)
        except BaseException as error:
            errors.append(error)

    async with anyio.create_task_group() as tasks:  # all of them are one transaction
        tasks.start_soon(writer.write, lambda connection: held.wait(30))
        await anyio.wait_all_tasks_blocked()
        for name in ("before", "after"):
            tasks.start_soon(writer.write, partial(insert, name=name))
            await anyio.wait_all_tasks_blocked()
            if name == "before":
                tasks.start_soon(wrong)
                await anyio.wait_all_tasks_blocked()
        held.set()
    kept = writer.write_now(lambda one: one.execute("SELECT digest FROM text ORDER BY digest").fetchall())
    assert [type(error) for error in errors] == [ZeroDivisionError]
    assert kept == [("after",), ("before",)]
    with pytest.raises(JournalError, match="cannot be used"):
        writer.write_now(lambda connection: connection.execute("SELECT 1 FROM nothing"))
    writer.close()
