"""A bench for the runner: an executor that says what it is told, and a folder with workflows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.lowlevel import checkpoint

from samovar.actions import parse_action
from samovar.actions.outside import ThisMachine
from samovar.actions.question import Ask
from samovar.actions.reached import VisitOf
from samovar.errors import EngineError
from samovar.events import Event, Logged, Warned
from samovar.executors.base import Executor, OnPromptEvent, PromptReply, PromptRequest
from samovar.generation import FinishReason, PromptEvaluating, TextGenerated, TokenCounts
from samovar.language.parameters import bind
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.running.prepared import Prepared
from samovar.running.run import Run
from samovar.running.runner import Runner, RunnerSettings

Answer = str | PromptReply | Exception


class Told:
    """An executor that gives the answers it is told, in turn, and keeps the requests."""

    name = "told"

    def __init__(self, answers: Sequence[Answer] = (), *, waits: bool = False) -> None:
        self.answers: Iterator[Answer] = iter(answers)
        self.requests: list[PromptRequest] = []
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.waits = waits
        self.is_waiting = anyio.Event()
        self.cancelled = 0

    @asynccontextmanager
    async def open(self, run: str) -> AsyncIterator[Told]:
        self.opened.append(run)
        try:
            yield self
        finally:
            self.closed.append(run)

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        self.requests.append(request)
        if self.waits:
            self.is_waiting.set()
            try:
                await anyio.sleep_forever()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        await checkpoint()
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, PromptReply):
            return answer
        on_event(PromptEvaluating(total_tokens=4, reused_tokens=1, evaluated_tokens=3))
        on_event(TextGenerated(piece=answer))
        return reply(answer)


class Together(Told):
    """Answers what each prompt asks; those with `bad` in them fail. Keeps how many were asked at once."""

    def __init__(self) -> None:
        super().__init__()
        self.running = self.most = 0
        self.given_up: list[str] = []

    async def hold(self, text: str) -> None:
        """What passes before a prompt is answered."""
        await checkpoint()

    async def ask(self, request: PromptRequest, on_event: OnPromptEvent) -> PromptReply:
        self.requests.append(request)
        text = request.messages[-1].content
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.hold(text)
        except asyncio.CancelledError:
            self.given_up.append(text)
            raise
        finally:
            self.running -= 1
        if "bad" in text:
            raise EngineError("It went wrong.")
        return reply(f"re {text}")


class Idle(ThisMachine):
    """This machine, on which no time passes. Keeps how long was waited."""

    def __init__(self, ask: Ask | None = None) -> None:
        super().__init__(ask)
        self.waits: list[float] = []

    async def sleep(self, duration_s: float, at: VisitOf) -> None:
        self.waits.append(duration_s)


def reply(text: str, reason: FinishReason = FinishReason.STOP) -> PromptReply:
    tokens = TokenCounts(evaluated=3, reused=1, generated=2)
    return PromptReply(text=text, finish_reason=reason, model="m.gguf", tokens=tokens)


def text_of(diagram: str, actions: str = "", front: str = "", rest: str = "") -> str:
    lines = "\n".join("    " + line.strip() for line in diagram.strip().splitlines())
    bullets = "\n".join("- " + line.strip() for line in actions.strip().splitlines())
    head = f"---\n{front.strip()}\n---\n" if front else ""
    return f"{head}# W\n\n```mermaid\nstateDiagram-v2\n{lines}\n```\n\n## Actions\n\n{bullets}\n\n{rest}\n"


def unchecked(workflow: Workflow, variables: Mapping[str, object] | None = None) -> Prepared:
    """What the runner takes, also of a workflow that the checks before a run would refuse."""
    return Prepared(workflow=workflow, variables=bind(workflow.parameters, variables or {}))


class Interrupted(Exception):
    """Stands for the end of the process."""


class Bench:
    """A folder with workflows, and what a run of one of them told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.library = Library([("project", folder)], parse_action)
        self.events: list[Event] = []
        self.settings = RunnerSettings(folder=folder)

    def write(self, name: str, diagram: str, actions: str = "", front: str = "", rest: str = "") -> Workflow:
        path = self.folder / f"{name}.md"
        path.write_text(text_of(diagram, actions, front, rest), encoding="utf-8")
        return self.library.workflow(str(path))

    def runner(self, executor: Executor, on_event: Callable[[Event], None] | None = None) -> Runner:
        return Runner(self.library, executor, on_event=on_event or self.events.append, settings=self.settings)

    async def run(self, workflow: Workflow, executor: Executor | None = None, **variables: object) -> Run:
        with anyio.fail_after(60):
            return await self.runner(executor or Told()).run(unchecked(workflow, variables))

    def told(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def log(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Logged)]

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Warned)]


def paths(run: Run) -> list[str]:
    return [visit.path for visit in run.visits]


def statuses(run: Run) -> list[str]:
    return [f"{visit.path} {visit.status}" for visit in run.visits]
