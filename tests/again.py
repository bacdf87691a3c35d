"""A folder with workflows, runs of them that are kept, and what each run did itself: for tests of runs that
take from earlier ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from samovar.actions import parse_action
from samovar.actions.outside import ThisMachine
from samovar.actions.process import Command, CommandResult
from samovar.actions.question import Question, Reply
from samovar.actions.reached import VisitOf
from samovar.app import open_scripted
from samovar.events import Event
from samovar.generation import Message
from samovar.journal.base import KeptVisit, RunOrigin, VisitKey
from samovar.journal.sqlite import SqliteJournal
from samovar.library import Library
from samovar.running.keeping import Keeping
from samovar.running.prepared import Prepared
from samovar.running.run import Run
from samovar.running.runner import Runner, RunnerSettings
from samovar.running.uncertain import Decisions
from tests.bench import Interrupted, text_of


@dataclass(kw_only=True)
class Done:
    """What one run did itself."""

    run: Run
    commands: list[str]
    prompts: list[str]
    questions: list[str]


class Machine(ThisMachine):
    """Runs nothing, and notes what it is asked to."""

    def __init__(self, answer: Callable[[Question], str]) -> None:
        self.questions: list[str] = []
        self.commands: list[str] = []
        self.dies_in: str | None = None

        async def ask(question: Question) -> Reply | None:
            self.questions.append(question.text)
            return Reply(answer(question))

        super().__init__(ask)

    async def run_command(self, command: Command, at: VisitOf) -> CommandResult:
        values = [text for name, text in command.environment.items() if name.startswith("SAMOVAR_VALUE")]
        text = " ".join([str(command.text), *values])
        self.commands.append(text)
        if self.dies_in is not None and self.dies_in in text:
            raise Interrupted
        code = 3 if "exit 3" in text else 0
        return CommandResult(
            stdout=f"{text}\n", stderr="", exit_code=code, duration_s=0.5, timed_out=False, is_cut=False
        )

    async def sleep(self, duration_s: float, at: VisitOf) -> None:
        self.commands.append(f"wait {duration_s:g}")


@dataclass(kw_only=True)
class Bench:
    """One folder and one journal."""

    folder: Path
    journal: SqliteJournal
    answer: Callable[[Question], str] = lambda question: "yes"
    say: Callable[[str], str] = lambda text: f"<{text}>"
    hears_all: bool = False
    """What is answered depends on the whole conversation."""
    answers: Mapping[str, list[str]] = field(default_factory=dict)

    def write(self, diagram: str, actions: str, name: str = "top", front: str = "") -> None:
        (self.folder / f"{name}.md").write_text(text_of(diagram, actions, front), encoding="utf-8")

    async def drive(
        self,
        origin: RunOrigin | None = None,
        *,
        goes_on: str | None = None,
        variables: Mapping[str, object] | None = None,
        until: int | None = None,
        dies_in: str | None = None,
        decision: str | None = None,
    ) -> Done:
        """One process with one run. `until`: it ends at that event. `dies_in`: in that command."""
        library = Library([], parse_action, start=self.folder)
        workflow = library.workflow(str(self.folder / "top.md"))
        if origin is not None and origin.prompts:
            library.replace_prompts(origin.prompts, workflow)
        head = None if goes_on is None else self.journal.head(goes_on)
        keeping = Keeping(
            journal=self.journal,
            goes_on=head,
            origin=origin,
            uncertain=Decisions(of_all=decision),  # type: ignore[arg-type]
        )
        machine, prompts = Machine(self.answer), list[str]()
        machine.dies_in = dies_in
        settings = RunnerSettings(
            keeping=keeping, outside=machine, folder=self.folder, answers=self.answers, trusts=True
        )

        def on_event(event: Event) -> None:
            if until is not None and event.number >= until:
                raise Interrupted

        def answer(messages: list[Message]) -> str:
            prompts.append(messages[-1].content)
            heard = "|".join(one.content for one in messages) if self.hears_all else messages[-1].content
            return self.say(heard)

        async with open_scripted(answer) as executor:  # type: ignore[arg-type]
            runner = Runner(library, executor, on_event=on_event, settings=settings)
            run = await runner.run(Prepared(workflow=workflow, variables=dict(variables or {})))
        return Done(run=run, commands=machine.commands, prompts=prompts, questions=machine.questions)

    def visits(self, run: Run | str) -> list[KeptVisit]:
        return list(self.journal.visits(run if isinstance(run, str) else run.id))

    def key(self, run: Run, path: str, nth: int = 1) -> VisitKey:
        """The key of the `nth` visit of a path, as the run has it."""
        found = [one.intent.key for one in self.visits(run) if one.intent.key.path == path]
        return found[nth - 1]

    async def branch(self, run: Run, path: str, nth: int = 1, **variables: object) -> Done:
        at = self.key(run, path, nth)
        return await self.drive(RunOrigin(run=run.id, at=at, variables=variables))

    async def rerun(self, run: Run) -> Done:
        return await self.drive(RunOrigin(run=run.id))


def bench(folder: Path) -> Bench:
    return Bench(folder=folder, journal=SqliteJournal(folder / "state" / "journal.db"))
