"""One visit of a run, as seen by its action: what it may use, and where its output goes.

Above: the runner, which makes one for each visit that acts. Below: the contract of actions and the waist.
What happens while a prompt is answered is reported as events of the run from here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from samovar.actions.attempts import nobody
from samovar.actions.base import ActionContext
from samovar.actions.defaults import PromptDefaults
from samovar.actions.effects import (
    AsksModel,
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
from samovar.actions.list_items import Items
from samovar.actions.process import Command, CommandResult
from samovar.actions.question import YES, Asking, Filled, Question, Reply
from samovar.actions.reached import VisitOf
from samovar.errors import ActionError, Place, SamovarError
from samovar.events import AttemptFailed, Logged, PromptFigures, RunError, Warned
from samovar.executors.base import PromptReply, PromptRequest, forget
from samovar.generation import ExecutorFailed, Message, MessagePart, PromptEvent, ToolCalled, ToolFinished
from samovar.journal.base import Exchange
from samovar.language.workflow import State
from samovar.running.frame import Frame
from samovar.running.services import Services
from samovar.running.wishes import permitted

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A sub-workflow that an action asks for."""

    name: str
    """As the action has it."""
    given: Mapping[str, object]
    """For its parameters."""
    timeout_s: float | None
    """How long it may take; None: as long as its limits allow."""
    place: Place
    """Where it is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitContext:
    """One visit."""

    services: Services
    frame: Frame
    state: State
    number: int
    """Number of the visit."""
    defaults: PromptDefaults
    """What its prompt uses if it says nothing itself."""
    run_child: RunChild
    """Drives a sub-workflow."""
    do_items: DoItems
    """Goes through a list."""
    since_s: float | None = None
    """When the visit began in an earlier process, in seconds since 1970; None: it begins now."""
    exchanges: list[Exchange] = field(default_factory=list)
    """What was asked of models and answered, for the journal."""
    failed: list[PromptFigures] = field(default_factory=list)
    """Of attempts that were followed by another, for the journal."""
    aside: list[PromptReply] = field(default_factory=list)
    """What servers had the model write, for the journal."""

    def context(self) -> ActionContext:
        services, frame = self.services, self.frame
        return ActionContext(
            variables=frame.variables,
            workflow=frame.workflow,
            library=services.library,
            defaults=self.defaults,
            folder=services.folder,
            settings=services.settings,
            surroundings=services.surroundings,
            ask=self.ask,
            ask_aside=self.ask_aside,
            run_workflow=self.run_workflow,
            run_items=self.run_items,
            ask_user=self.ask_user,
            log=self.log,
            warn=self.warn,
            run_command=self.run_command,
            read_file=self.read_file,
            write_file=self.write_file,
            find_files=self.find_files,
            sleep=self.sleep,
            move_on_after=services.outside.clock.move_on_after,
            allows_effects=services.allows_effects,
            compute=services.computer.compute,
            attempt_failed=self.attempt_failed,
            forget=self.forget,
            tell=self.tell,
            time_s=services.time_s,
            spent_so_far=self.spent_so_far,
            tools=services.make_tools(services.outside, self._at),
        )

    def log(self, level: str, text: str) -> None:
        self.services.tell(Logged(visit=self.number, level=level, text=text))

    def warn(self, message: str) -> None:
        place = self.state.action.place if self.state.action else self.state.place
        self.services.tell(Warned(visit=self.number, message=message, place=place))

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
        return await self.services.outside.effect(intent, self._at)

    async def ask_user(self, asking: Asking) -> Reply | None:
        services, path = self.services, self.frame.prefix + self.state.name
        secrets = services.secrets
        mask = secrets.mask_whole if len(asking.parts) == 1 else secrets.mask
        question = Question(
            run=services.run,
            visit=self.number,
            path=path,
            kind=asking.kind,
            parts=tuple(
                mask(part) if isinstance(part, str) else Filled(mask(part.text)) for part in asking.parts
            ),
            choices=asking.choices,
            is_from_server=asking.is_from_server,
            default=asking.default,
        )
        given = None if asking.is_from_server else services.answers.next(path)
        if given is not None or (services.yes and asking.is_approval and not asking.is_from_server):
            reply = YES if given is None else Reply(given)
            services.outside.user.answered(question, reply)
            return reply
        async with services.asking:
            return await self._effect(AsksUser(question=question))

    async def sleep(self, duration_s: float) -> None:
        if self.since_s is not None and self.state.action is not None and self.state.action.verb == "wait":
            gone_s = self.services.outside.clock.now_s() - self.since_s
            duration_s = min(duration_s, max(0.0, duration_s - gone_s))
        await self._effect(LetsTimePass(duration_s=duration_s))

    def tell(self, event: ToolCalled | ToolFinished) -> None:
        """Raises `PastLimitError`: a call counts before it is done."""
        self.services.tell(replace(event, visit=self.number))
        if isinstance(event, ToolCalled):
            self.frame.spending.spend(tool_calls=1)

    def spent_so_far(self, reply: PromptReply) -> None:
        """Raises `PastLimitError`."""
        self.frame.spending.foresee(tokens=reply.tokens.generated, cost=reply.cost)

    def attempt_failed(
        self, error: SamovarError, figures: PromptFigures | None, wait_s: float | None
    ) -> None:
        """Raises `PastLimitError`: the tokens of an answer count at once."""
        path, action = self.frame.prefix + self.state.name, self.state.action
        self.services.tell(
            AttemptFailed(
                visit=self.number,
                path=path,
                error=RunError.of(error, path, action.place if action else None),
                figures=figures,
                wait_s=wait_s,
                time_s=self.services.time_s(),
            )
        )
        if figures is not None:
            self.failed.append(figures)
            self.frame.spending.spend(tokens=figures.tokens.generated, cost=figures.cost)

    @property
    def _own_session(self) -> str:
        return f"\0{self.number}"  # a name that nobody can write

    async def forget(self) -> None:
        await forget(self.services.connection, self._own_session)

    async def ask(self, request: PromptRequest) -> PromptReply:
        if request.is_own:
            request = replace(request, session=self._own_session)
        self._claim(request.session, continues=True)
        self._claim(request.fork, continues=False)
        messages = tuple(self._marked(message) for message in request.messages)
        said = self.services.conversations
        history = said.take(request.session) if request.fork is None else said.of(request.fork)
        request = replace(
            request, messages=messages, history=history, run=self.services.run, visit=self.number
        )
        request = permitted(request, self.ask_user, allows_effects=self.services.allows_effects)
        connection = self.services.connection
        reply = await self._effect(AsksModel(request=request, connection=connection, on_event=self._pass_on))
        if self.services.journal is not None:
            parts = reply.parts or (MessagePart(text=reply.text),)
            answer = replace(Message.of_parts("assistant", parts), calls=reply.calls)
            self.exchanges.append(
                Exchange(session=request.session, fork=request.fork, messages=messages, answer=answer)
            )
        return reply

    async def ask_aside(self, request: PromptRequest) -> PromptReply:
        """Raises `PastLimitError`. Whoever answers does nothing itself."""
        messages = tuple(self._marked(message) for message in request.messages)
        request = replace(
            request, messages=messages, run=self.services.run, visit=self.number, allows_effects=False
        )
        connection = self.services.connection
        reply = await self._effect(AsksModel(request=request, connection=connection, on_event=nobody))
        self.aside.append(reply)
        self.frame.spending.spend(tokens=reply.tokens.generated, cost=reply.cost)
        return reply

    def _marked(self, message: Message) -> Message:
        """A message with a secret value in it, or with what an action made of one, says so."""
        action = self.state.action
        is_secret = action is not None and not self.frame.secret_names.isdisjoint(action.names)
        is_secret = is_secret or self.services.secrets.is_in(message.content)
        return replace(message, secret=True) if is_secret else message

    def _claim(self, session: str | None, *, continues: bool) -> None:
        """Raises `ActionError` if another branch has to do with the conversation."""
        frame = self.frame
        if session is None or frame.claims is None or frame.branch is None:
            return
        other = frame.claims.claim(session, frame.branch, continues=continues)
        if other is not None:
            name = session.removeprefix(frame.defaults.session_scope)
            raise ActionError(
                f"The branch {other!r} uses the session {name!r} too: give each branch its own session, as "
                "a copy with fork=…"
            )

    async def run_workflow(
        self, name: str, given: Mapping[str, object], *, timeout_s: float | None, place: Place
    ) -> object:
        child = Child(name=name, given=given, timeout_s=timeout_s, place=place)
        return await self.run_child(self, child)

    async def run_items(self, items: Items) -> list[object]:
        return await self.do_items(self, items)

    def _pass_on(self, event: PromptEvent) -> None:
        if isinstance(event, ExecutorFailed):
            self.warn(f"{event.next!r} was asked in place of {event.executor!r}: {event.why}")
            return
        self.services.tell(replace(event, visit=self.number))


RunChild = Callable[[VisitContext, Child], Awaitable[object]]
"""Drives a sub-workflow and gives what it returns: without `returns`, its variables.

Raises `ActionError` if it does not complete.
"""
DoItems = Callable[[VisitContext, Items], Awaitable[list[object]]]
"""See `actions.base.RunItems`."""
