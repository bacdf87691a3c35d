"""A run whose prompts use tools is kept too; a journal that cannot be written ends a run, wherever it is."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samovar.errors import JournalError
from samovar.events import Ending, Event, StateEntered
from samovar.executors.base import OnPromptEvent, PromptReply, PromptRequest
from samovar.generation import FinishReason, Message, TokenCounts, ToolCall
from samovar.journal.base import Exchange, RunHead, RunStatus, VisitKey, VisitOutcome
from samovar.journal.codec import from_json, to_json
from samovar.journal.sqlite import SqliteJournal
from samovar.journal.sqlite_run import SqliteRun
from samovar.language.workflow import Workflow
from samovar.running.keeping import Keeping
from samovar.running.run import Run
from samovar.running.runner import Runner
from samovar.running.uncertain import Decisions
from tests.bench import Bench, Interrupted, Told, reply, unchecked

pytestmark = pytest.mark.anyio
DIAGRAM = "[*] --> A\nA --> B\nB --> C\nC --> [*]"
ACTIONS = """A: Set n := 1
B: Prompt "look" result="seen" using tools="files.read, workflow.adds" session=talk
C: Prompt "and now" result="end" using session=talk"""
ADDS = "parameters: [{name: a, type: number}]\nreturns: sum"


def calls(*wanted: tuple[str, object]) -> PromptReply:
    made = tuple(
        ToolCall(id=str(number), name=name, arguments=json.dumps(arguments))
        for number, (name, arguments) in enumerate(wanted)
    )
    tokens = TokenCounts(evaluated=3, reused=1, generated=2)
    return PromptReply(text="", finish_reason=FinishReason.CALLS, model="m.gguf", tokens=tokens, calls=made)


class Answering(Told):
    """Answers by what it is asked, so that a prompt that is asked again gets the same."""

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        self.requests.append(request)
        last = request.messages[-1]
        if last.role == "tool":
            return reply("saw " + " and ".join(one.content.partition("\n")[2] for one in request.messages))
        if last.content == "look":
            return calls(("files.read", {"path": "a.txt"}), ("workflow.adds", {"a": 2}))
        return reply(f"re {last.content}")


def written(bench: Bench) -> Workflow:
    (bench.folder / "a.txt").write_text("one\n", encoding="utf-8")
    bench.write("adds", "[*] --> S\nS --> [*]", "S: Set sum := a + 1", front=ADDS)
    return bench.write("w", DIAGRAM, ACTIONS)


async def drive(
    bench: Bench, workflow: Workflow, keeping: Keeping, until: int | None = None
) -> tuple[Run, Answering]:
    """One process. `until`: it ends at the event of that number."""

    def on_event(event: Event) -> None:
        if until is not None and event.number >= until:
            raise Interrupted

    told = Answering()
    options = replace(bench.settings, keeping=keeping)
    runner = Runner(bench.library, told, on_event=on_event, settings=options)
    return await runner.run(unchecked(workflow)), told


async def test_a_run_with_tools_that_is_interrupted_anywhere_goes_on_with_what_they_gave(
    bench: Bench, journal: SqliteJournal
) -> None:
    workflow = written(bench)
    whole, _ = await drive(bench, workflow, Keeping(journal=journal))
    assert (whole.ending, whole.variables["seen"]) == (Ending.COMPLETED, "saw one and 3")
    told_again = 0
    for until in itertools.count(4):
        try:
            await drive(bench, workflow, Keeping(journal=journal), until)
        except Interrupted:
            head = journal.head(next(journal.runs()).id)
        else:
            break
        keeping = Keeping(journal=journal, goes_on=head, uncertain=Decisions(of_all="redo"))
        run, told = await drive(bench, workflow, keeping)
        assert (run.ending, run.variables) == (whole.ending, whole.variables), until
        assert run.tokens == whole.tokens
        if not told.requests or told.requests[0].messages[-1].content != "and now":
            continue
        told_again += 1
        asked, called, *results, answer = told.requests[0].history
        assert (asked.content, answer.content) == ("look", "saw one and 3")
        assert [one.name for one in called.calls] == ["files.read", "workflow.adds"]
        assert [(one.role, one.call) for one in results] == [("tool", one) for one in called.calls]
    assert told_again > 2


@given(name=st.text(max_size=9), arguments=st.text(max_size=9))
def test_calls_and_what_they_gave_come_back_as_they_were(name: str, arguments: str) -> None:
    call = ToolCall(id="1", name=name, arguments=arguments)
    asked = replace(Message(role="assistant", content=""), calls=(call, call))
    result = Message(role="tool", content=arguments, call=call)
    exchange = Exchange(session="s", fork=None, messages=(result,), answer=asked)
    outcome = VisitOutcome(exchanges=(exchange,))
    assert from_json(to_json(outcome)) == outcome


# A journal that cannot be written ---------------------------------------------------------------------------


class FullJournal(SqliteJournal):
    """Its disk is full when the visit of one path has ended, and never else."""

    path = ""

    @asynccontextmanager
    async def begin(self, head: RunHead) -> AsyncIterator[SqliteRun]:
        async with super().begin(head) as run:
            leave = run.leave

            async def leave_or_fail(
                key: VisitKey, outcome: VisitOutcome, *, within: str | None = None
            ) -> None:
                if key.path == self.path:
                    raise JournalError("The disk is full.")
                await leave(key, outcome, within=within)

            run.leave = leave_or_fail  # type: ignore[method-assign]
            yield run


FORK = """[*] --> F
state F <<fork>>
F --> L
F --> R
L --> J
R --> J
state J <<join>>
J --> C
C --> [*]"""


@pytest.mark.parametrize(
    ("path", "diagram", "actions"),
    [
        ("B/S", DIAGRAM, ACTIONS),
        ("A", DIAGRAM, ACTIONS),
        ("L", FORK, 'L: Set x := 1\nR: Set y := 2\nC: Log "done"'),
        ("A[1]", DIAGRAM, 'A: Prompt "${x}" for each x in ["a", "b"] on_error=continue\nB: Log "b"'),
        ("A/S", DIAGRAM, 'A: Run workflow "adds" with a=1 retries=2\nB: Log "b"'),
    ],
)
async def test_a_journal_that_cannot_be_written_ends_the_run_wherever_it_is(
    bench: Bench, tmp_path: Path, path: str, diagram: str, actions: str
) -> None:
    written(bench)
    journal = FullJournal(tmp_path / "full.db")
    journal.path = path
    try:
        run, _ = await drive(bench, bench.write("w", diagram, actions), Keeping(journal=journal))
        assert (run.ending, run.error and run.error.code) == (Ending.FAILED, "journal")
        assert next(journal.runs()).status is RunStatus.INTERRUPTED
        assert not any(visit.name == "C" for visit in run.visits)
    finally:
        journal.close()


# What was spent ---------------------------------------------------------------------------------------------


async def test_attempts_that_failed_before_a_run_was_interrupted_count_for_its_limits(
    bench: Bench, journal: SqliteJournal
) -> None:
    actions = 'A: Prompt "x" using verify="grep good"\nB: Prompt "y"'
    workflow = bench.write("w", "[*] --> A\nA --> B\nB --> [*]", actions, front="limits: {tokens: 5}")

    def on_event(event: Event) -> None:
        if isinstance(event, StateEntered) and event.state == "B":
            raise Interrupted

    bench.settings = replace(bench.settings, keeping=Keeping(journal=journal))
    with pytest.raises(Interrupted):
        await bench.runner(Told(["bad", "good"]), on_event).run(unchecked(workflow))
    kept = next(journal.runs())
    assert kept.tokens.generated == 4
    bench.settings = replace(bench.settings, keeping=Keeping(journal=journal, goes_on=journal.head(kept.id)))
    run = await bench.run(workflow, Told(["late"]))
    assert run.ending is Ending.LIMITED and run.error and "6 tokens, of 5" in run.error.message


async def test_a_secret_that_is_not_given_again_ends_the_run_also_below_a_state_and_can_be_put_right(
    bench: Bench, journal: SqliteJournal
) -> None:
    front = "parameters: [{name: key, secret: true}]"
    bench.write("child", "[*] --> S\nS --> T\nT --> [*]", 'S: Set x := key\nT: Log "t"', front=front)
    actions = 'A: Run workflow "child" with key="${key}"'
    workflow = bench.write("w", "[*] --> A\nA --> [*]", actions, front=front)

    def on_event(event: Event) -> None:
        if isinstance(event, StateEntered) and event.state == "T":
            raise Interrupted

    bench.settings = replace(bench.settings, keeping=Keeping(journal=journal))
    with pytest.raises(Interrupted):
        await bench.runner(Told(), on_event).run(unchecked(workflow, {"key": "the-secret-one"}))
    keeping = Keeping(journal=journal, goes_on=journal.head(next(journal.runs()).id))
    bench.settings = replace(bench.settings, keeping=keeping)
    run = await bench.run(workflow, Told(), key="")
    assert run.error and "is not the one that the run started with" in run.error.message
    assert next(journal.runs()).status is RunStatus.INTERRUPTED
    run = await bench.run(workflow, Told(), key="the-secret-one")
    assert run.ending is Ending.COMPLETED
