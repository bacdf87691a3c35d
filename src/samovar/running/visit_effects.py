"""What one visit of a run does outside of the run: commands, files, waits, and questions to people.

Above: `visit_context.py`, which is one of these. Below: the one place through which a run does such things,
and what asks people.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from samovar.actions.base import Action
from samovar.actions.effects import (
    AsksUser,
    FindsFiles,
    LetsTimePass,
    OutsideIntent,
    ReadsFile,
    RunsCommand,
    WritesFile,
)
from samovar.actions.file_places import Search, Target
from samovar.actions.file_system import Change
from samovar.actions.process import Command, CommandResult
from samovar.actions.question import Asking, Question, Reply
from samovar.actions.reached import VisitOf
from samovar.errors import ActionError
from samovar.journal.base import Performed, VisitKey
from samovar.language.workflow import State
from samovar.running.asking import ask_person, question_of
from samovar.running.deciding import Deciding
from samovar.running.frame import Frame
from samovar.running.performing import performed_by
from samovar.running.services import Services
from samovar.running.waiting import AskedBy
from samovar.values import positive_duration_s

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitEffects:
    """One visit, as far as it has to do with what is outside."""

    services: Services
    frame: Frame
    state: State
    number: int
    """Number of the visit."""
    key: VisitKey
    """Its name in a journal."""
    deciding: Deciding
    """Finds out what the visit is performed with."""
    since_s: float | None = None
    """When the visit began in an earlier process, in seconds since 1970; None: it begins now."""

    performed: list[Performed] = field(default_factory=list)
    """What it did outside of the run, for the journal."""

    @property
    def _is_noted(self) -> bool:
        journal = self.services.journal
        return journal is not None and not journal.head.is_outline

    @property
    def _at(self) -> VisitOf:
        path = self.frame.prefix + self.state.name
        return VisitOf(run=self.services.run, number=self.number, path=path)

    async def run_command(self, command: Command) -> CommandResult:
        action = self.state.action
        if action is None or action.effect is None:
            raise ActionError("A command is run by an action that says it has no effect (`Action.effect`).")
        return await self._effect(RunsCommand(command=command))

    async def read_file(self, target: Target, most_bytes: int) -> bytes:
        self._check_touches()
        return await self._effect(ReadsFile(target=target, most_bytes=most_bytes))

    async def write_file(self, target: Target, change: Change) -> None:
        self._check_touches()
        await self._effect(WritesFile(target=target, change=change))

    async def find_files(self, search: Search) -> list[str]:
        self._check_touches()
        return await self._effect(FindsFiles(search=search))

    def _check_touches(self) -> None:
        action = self.state.action
        if action is None or action.effect is None:
            raise ActionError("A file is touched by an action that says it has no effect (`Action.effect`).")

    async def _effect(self, intent: OutsideIntent[T]) -> T:
        self.deciding.of_effect(intent)
        if self._is_noted and (found := performed_by(intent)) is not None:
            self.performed.append(found)
        return await self.services.outside.effect(intent, self._at)

    async def ask_user(self, asking: Asking) -> Reply | None:
        services, path = self.services, self.frame.prefix + self.state.name
        question = question_of(asking, services.secrets, run=services.run, visit=self.number, path=path)
        by = self._asks(asking)
        is_given = services.answers.has(path) or (services.yes and asking.is_approval)
        is_given = is_given and not asking.is_from_server
        if self._is_noted and asking.kind != "tool":
            self.performed.append(Performed(kind="question", what=question.text))
        self.deciding.of_question(question if by is not None and not is_given else None)
        return await ask_person(services, question, self._ask_person, by)

    def _asks(self, asking: Asking) -> AskedBy | None:
        """For a question that may wait for its answer: not in the midst of a prompt."""
        action, now_s = self.state.action, self.services.outside.clock.now_s()
        if not isinstance(action, Action) or asking.kind == "tool" or asking.is_from_server:
            return None
        if not any(one.asks_person for one in action.variants):
            return None
        limit_s = positive_duration_s(action.timeout.of(self.frame.variables)) if action.timeout else None
        asked_at = now_s if self.since_s is None else self.since_s
        until_s = None if limit_s is None else asked_at + limit_s
        return AskedBy(key=self.key, asked_at=asked_at, until_s=until_s)

    async def _ask_person(self, question: Question) -> Reply | None:
        return await self._effect(AsksUser(question=question))

    @property
    def _gone_s(self) -> float:
        """How long ago it began, in an earlier process; nothing if its question was answered meanwhile."""
        journal = self.services.journal
        if self.since_s is None or (journal is not None and journal.asked.was_answered(self.key)):
            return 0.0
        return max(0.0, self.services.outside.clock.now_s() - self.since_s)

    async def sleep(self, duration_s: float) -> None:
        is_wait = self.state.action is not None and self.state.action.verb == "wait"
        if is_wait and self._is_noted:
            self.performed.append(Performed(kind="wait", what=f"{duration_s:g} s"))
        if is_wait and self.since_s is not None:
            gone_s = self.services.outside.clock.now_s() - self.since_s
            duration_s = min(duration_s, max(0.0, duration_s - gone_s))
        await self._effect(LetsTimePass(duration_s=duration_s))
