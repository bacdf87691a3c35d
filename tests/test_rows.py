"""Many rows: a run for each, several at once; in a journal, what is done is not done again."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from samovar.config import Settings
from samovar.errors import EngineError, JournalError
from samovar.journal.base import Intent, RunHead, RunStatus, VisitKey
from samovar.journal.row_key import RowKey
from samovar.journal.sqlite import SqliteJournal
from samovar.language.workflow import Workflow
from samovar.preflight.row_keys import RowKeys
from samovar.running.keeping import Keeping
from samovar.running.prepared import Prepared
from samovar.running.rows import RowDone, RowsRunner, RowTask
from samovar.running.run import Run
from samovar.running.runner import Runner
from tests.bench import Bench, Together

pytestmark = pytest.mark.anyio

TWO = "[*] --> A\nA --> B\nB --> [*]"
ACTIONS = 'A: Prompt "${name}" result="a"\nB: Prompt "then ${a}" result="b"'
FRONT = "parameters: [{name: name, required: true}]"


class Ended(Exception):
    """Stands for the end of the process."""


class Counting(Together):
    """Ends the process when it has answered so many prompts."""

    def __init__(self, most: int | None = None) -> None:
        super().__init__()
        self._most = most

    async def hold(self, text: str) -> None:
        await checkpoint()
        if self._most is not None and len(self.requests) > self._most:
            raise Ended


class Start:
    """One start of the same command."""

    def __init__(
        self,
        bench: Bench,
        journal: SqliteJournal | None,
        told: Together | None = None,
        workflow: Workflow | None = None,
        **options: object,
    ) -> None:
        self.bench, self.told = bench, told or Counting()
        self.workflow = workflow or bench.write("w", TWO, ACTIONS, front=FRONT)
        self.done: list[RowDone] = []
        self.keys = RowKeys(self.workflow, bench.library, Settings(), bench.settings) if journal else None
        self.runner = RowsRunner(
            make_runner=self._runner,
            on_done=self.done.append,
            at_once=4,
            keeping=Keeping(journal=journal) if journal else None,
            **options,  # type: ignore[arg-type]
        )

    def _runner(self, keeping: Keeping | None) -> Runner:
        settings = replace(self.bench.settings, keeping=keeping)
        return Runner(self.bench.library, self.told, settings=settings)

    def tasks(self, names: Sequence[str]) -> Iterator[RowTask]:
        for index, name in enumerate(names):
            variables = {"name": name}
            key: RowKey | None = self.keys.of(variables) if self.keys else None
            prepared = Prepared(workflow=self.workflow, variables=variables)
            yield RowTask(index=index, where=f"r.csv:{index + 2}", prepared=prepared, key=key)

    async def run(self, names: Sequence[str]) -> Start:
        with anyio.fail_after(300):
            await self.runner.run(self.tasks(names))
        return self

    @property
    def asked(self) -> list[str]:
        return [request.messages[-1].content for request in self.told.requests]

    @property
    def results(self) -> dict[int, object]:
        return {one.task.index: one.run.result if one.run else _kept(one) for one in self.done}


def _kept(one: RowDone) -> object:
    assert one.kept is not None
    return None if one.kept.result is None else json.loads(one.kept.result)


NAMES = [f"n{number}" for number in range(20)]


async def test_each_row_is_a_run_and_several_are_worked_on_together(bench: Bench) -> None:
    start = await Start(bench, None).run(NAMES)
    assert start.results == {index: f"re then re {name}" for index, name in enumerate(NAMES)}
    assert start.told.most == 4
    assert len({one.id for one in start.done}) == 20


async def test_what_an_earlier_start_has_done_is_taken_from_the_journal(
    bench: Bench, journal: SqliteJournal
) -> None:
    first = await Start(bench, journal).run(NAMES)
    again = await Start(bench, journal).run([*NAMES[5:], "new"])
    assert again.asked == ["new", "then re new"]
    assert again.results[0] == first.results[5] == "re then re n5"
    assert {one.kept.run for one in again.done if one.kept} <= {one.id for one in first.done}


async def test_rows_that_were_interrupted_continue_in_the_state_they_were_in(
    bench: Bench, journal: SqliteJournal
) -> None:
    asked = 0
    for most in (3, 7, 1, 13):
        start = Start(bench, journal, Counting(most))
        with pytest.raises(Ended):
            await start.run(NAMES)
        asked += most
    last = await Start(bench, journal).run(NAMES)
    assert len(last.results) == 20 and not any(one.error for one in last.done)
    kept = list(journal.runs())
    assert len(kept) == 20 and {one.status for one in kept} == {RunStatus.COMPLETED}
    assert sum(one.visits for one in kept) == 40
    assert asked + len(last.asked) <= 40 + 4 * 4, "at most what was in flight is asked again"


@pytest.mark.parametrize("rows", [20, pytest.param(1000, marks=pytest.mark.slow)])
async def test_after_an_edit_only_the_states_that_it_changes_are_done_again(
    bench: Bench, journal: SqliteJournal, rows: int
) -> None:
    names = [f"n{number}" for number in range(rows)]
    await Start(bench, journal).run(names)
    edited = bench.write("w", TWO, ACTIONS.replace("then", "and then"), front=FRONT)
    again = await Start(bench, journal, workflow=edited).run(names)
    assert sorted(again.asked) == sorted(f"and then re {name}" for name in names)
    assert again.results[3] == "re and then re n3"
    same = await Start(bench, journal, workflow=edited).run(names)
    assert not same.asked


async def test_equal_rows_are_done_once(bench: Bench, journal: SqliteJournal) -> None:
    start = await Start(bench, journal).run(["a", "b", "a", "a", "b"])
    assert sorted(start.asked) == ["a", "b", "then re a", "then re b"]
    assert start.results == {n: f"re then re {name}" for n, name in enumerate(["a", "b", "a", "a", "b"])}


async def test_failed_rows_are_apart_and_done_again_only_if_that_is_said(
    bench: Bench, journal: SqliteJournal
) -> None:
    names = ["a", "bad one", "c"]
    first = await Start(bench, journal).run(names)
    assert [one.task.index for one in first.done if one.error] == [1]
    assert "It went wrong." in str(next(one.error for one in first.done if one.error))
    again = await Start(bench, journal).run(names)
    assert not again.asked
    assert [(one.task.index, one.ending) for one in again.done if one.error] == [(1, "failed")]
    retried = await Start(bench, journal, retries_failed=True).run(names)
    assert retried.asked == ["bad one"]


async def test_a_failed_row_that_is_done_again_takes_what_had_succeeded(
    bench: Bench, journal: SqliteJournal
) -> None:
    class Fails(Counting):
        async def hold(self, text: str) -> None:
            if text == "then re a":
                raise EngineError("Not now.")

    first = await Start(bench, journal, Fails()).run(["a", "b"])
    assert [one.ending for one in first.done if one.error] == ["failed"]
    retried = await Start(bench, journal, retries_failed=True).run(["a", "b"])
    assert retried.asked == ["then re a"] and retried.results[0] == "re then re a"


async def test_a_row_whose_interrupted_command_may_have_run_waits_for_a_decision(
    bench: Bench, journal: SqliteJournal
) -> None:
    workflow = bench.write("w", TWO, 'A: Shell "true"\nB: Prompt "${name}"', front=FRONT)
    start = Start(bench, journal, workflow=workflow)
    row = next(start.tasks(["a"])).key
    head = RunHead(id="r1", workflow="w", path=workflow.path, folder="/", started_at=1.0, row=row)
    async with journal.begin(head) as run:
        await run.intend(
            Intent(key=VisitKey(path="A"), number=1, verb="shell", entered_at=1.0, is_repeatable=False)
        )
    for now in (workflow, bench.write("w", TWO, 'A: Shell "true"\nB: Prompt "so ${name}"', front=FRONT)):
        [done] = (await Start(bench, journal, workflow=now).run(["a"])).done
        assert "--redo" in str(done.error) and done.run is None


async def test_two_processes_that_do_the_same_rows_share_them(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "state" / "journal.db"
    one, other = SqliteJournal(file), SqliteJournal(file)
    try:
        starts = [Start(bench, one), Start(bench, other)]
        async with anyio.create_task_group() as tasks:
            for start in starts:
                tasks.start_soon(start.run, NAMES)
        assert [len(start.results) for start in starts] == [20, 20]
        assert sum(len(start.asked) for start in starts) == 40, "each row is done by one of them"
        assert len(list(one.runs())) == 20
    finally:
        one.close()
        other.close()


async def test_a_stop_ends_what_runs_and_begins_nothing(bench: Bench, journal: SqliteJournal) -> None:
    start = Start(bench, journal)
    told = start.told

    class Stopping(Counting):
        async def hold(self, text: str) -> None:
            if len(self.requests) == 10:
                start.runner.stop()
            await checkpoint()

    start.told = Stopping()
    await start.run(NAMES)
    assert len(start.done) < 10 and not any(one.error for one in start.done)
    statuses = {one.status for one in journal.runs()}
    assert statuses <= {RunStatus.COMPLETED, RunStatus.INTERRUPTED}
    start.told = told
    last = await Start(bench, journal).run(NAMES)
    assert len(last.results) == 20
    assert sum(one.visits for one in journal.runs()) == 40


@pytest.mark.slow
async def test_what_is_held_does_not_grow_with_the_rows(bench: Bench) -> None:
    most = 0

    def count(done: RowDone) -> None:
        nonlocal most
        if done.task.index % 100 == 50:
            gc.collect()
            most = max(most, sum(type(one) in (Run, RowTask, Runner) for one in gc.get_objects()))

    class Forgetful(Counting):
        async def hold(self, text: str) -> None:
            self.requests.clear()
            await checkpoint()

    start = Start(bench, None, Forgetful())
    start.runner.on_done = count
    gc.collect()
    before = sum(type(one) in (Run, RowTask, Runner) for one in gc.get_objects())
    await start.run([f"n{number}" for number in range(400)])
    assert 0 < most - before <= 4 * 3 + 4


async def test_a_journal_that_fails_ends_the_rows(bench: Bench, journal: SqliteJournal) -> None:
    start = Start(bench, journal)

    class Closing(Counting):
        async def hold(self, text: str) -> None:
            if len(self.requests) == 6:
                journal.close()
                journal.file.unlink()
                journal.file.mkdir()
            await checkpoint()

    start.told = Closing()
    with pytest.raises(JournalError):
        await start.run(NAMES)
