"""One visit of a run, as seen by its action: what it may use, and where its output goes.

Above: the runner, which makes one for each visit that acts. Below: the contract of actions and the waist.
What happens while a prompt is answered is reported as events of the run from here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count

from samovar.actions.attempts import nobody
from samovar.actions.base import ActionContext
from samovar.actions.defaults import PromptDefaults
from samovar.actions.effects import (
    AsksModel,
)
from samovar.actions.list_items import Items
from samovar.errors import ActionError, Place, SamovarError
from samovar.events import AttemptFailed, Logged, PromptFigures, RunError, Warned
from samovar.executors.base import PromptReply, PromptRequest, forget
from samovar.generation import (
    KEEP_EVERY_S,
    ExecutorFailed,
    GoingOn,
    Message,
    ModelLoading,
    PromptEvent,
    TextGenerated,
    ToolCalled,
    ToolFinished,
)
from samovar.journal.base import Exchange, LoadWait, Performed
from samovar.journal.inputs import digest_of
from samovar.journal.kill_points import KillPoint, reach
from samovar.running.conversations import answered
from samovar.running.spending import Spending
from samovar.running.visit_effects import VisitEffects
from samovar.running.wishes import permitted


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
    call: int = 1
    """Which one it is of those that the visit's model calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitContext(VisitEffects):
    """One visit."""

    defaults: PromptDefaults
    """What its prompt uses if it says nothing itself."""
    run_child: RunChild
    """Drives a sub-workflow."""
    do_items: DoItems
    """Goes through a list."""
    spending: Spending
    """What it uses of the limits, with all within it."""
    exchanges: list[Exchange] = field(default_factory=list)
    """What was asked of models and answered, for the journal."""
    failed: list[PromptFigures] = field(default_factory=list)
    """Of attempts that were followed by another, for the journal."""
    aside: list[PromptReply] = field(default_factory=list)
    """What servers had the model write, for the journal."""
    prompts: Iterator[int] = field(default_factory=lambda: count(1))
    """Numbers of what it asks, for the journal."""
    calls: Iterator[int] = field(default_factory=lambda: count(1))
    """Numbers of the workflows that its model calls as tools."""
    loads: dict[str, list[float]] = field(default_factory=dict)
    """When a model that the visit waits for was first and last said to be loading, for the journal."""

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
            gone_s=self._gone_s,
            spent_so_far=self.spent_so_far,
            tools=services.make_tools(services.outside, self._at),
        )

    def log(self, level: str, text: str) -> None:
        if self.deciding.only_asks:
            return
        self.services.tell(Logged(visit=self.number, level=level, text=text))

    def warn(self, message: str) -> None:
        if self.deciding.only_asks:
            return
        place = self.state.action.place if self.state.action else self.state.place
        self.services.tell(Warned(visit=self.number, message=message, place=place))

    def tell(self, event: ToolCalled | ToolFinished) -> None:
        """Raises `PastLimitError`: a call counts before it is done."""
        self.services.tell(replace(event, visit=self.number))
        if isinstance(event, ToolCalled):
            self.spending.spend(tool_calls=1)

    def spent_so_far(self, reply: PromptReply) -> None:
        """Raises `PastLimitError`."""
        self.spending.foresee(tokens=reply.tokens.generated, cost=reply.cost)

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
            self.spending.spend(tokens=figures.tokens.generated, cost=figures.cost)

    @property
    def stamp(self) -> str:
        """Names this one time that the visit is performed."""
        return digest_of((self.services.run, self.key))

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
        before = "" if request.is_own else said.chain(request.session, request.fork)
        self.deciding.of_prompt(replace(request, messages=messages), before)
        history = said.take(request.session) if request.fork is None else said.of(request.fork)
        request = replace(
            request,
            messages=messages,
            history=history,
            run=self.services.run,
            visit=self.number,
            going_on=self._going_on(),
        )
        request = permitted(request, self.ask_user, self.services)
        connection = self.services.connection
        asks = AsksModel(request=request, connection=connection, on_event=self._pass_on)
        asked = Exchange(session=request.session, fork=request.fork, messages=messages, answer=None)
        try:
            reply = await self._effect(asks)
        except SamovarError:
            self.exchanges.append(asked)
            raise
        if self.services.journal is not None:
            said.has_said(request.session, request.fork, self.stamp)
            self.exchanges.append(answered(asked, reply))
        return reply

    def _going_on(self) -> GoingOn | None:
        """How the answer to the visit's next prompt outlives this process; None: it does not."""
        journal, number = self.services.journal, next(self.prompts)
        if journal is None or journal.head.is_outline or self.deciding.only_asks:
            return None
        keep = partial(journal.keep_begun, self.key, number)
        return GoingOn(begun=tuple(journal.begun(self.key)), keep=keep, every_s=KEEP_EVERY_S)

    async def ask_aside(self, request: PromptRequest) -> PromptReply:
        """Raises `PastLimitError`. Whoever answers does nothing itself."""
        messages = tuple(self._marked(message) for message in request.messages)
        request = replace(
            request, messages=messages, run=self.services.run, visit=self.number, allows_effects=False
        )
        connection = self.services.connection
        reply = await self._effect(AsksModel(request=request, connection=connection, on_event=nobody))
        self.aside.append(reply)
        self.spending.spend(tokens=reply.tokens.generated, cost=reply.cost)
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
        self,
        name: str,
        given: Mapping[str, object],
        *,
        timeout_s: float | None,
        place: Place,
        is_tool: bool = False,
    ) -> object:
        call = next(self.calls) if is_tool else 1
        child = Child(name=name, given=given, timeout_s=timeout_s, place=place, call=call)
        return await self.run_child(self, child)

    async def run_items(self, items: Items) -> list[object]:
        return await self.do_items(self, items)

    def _pass_on(self, event: PromptEvent) -> None:
        if isinstance(event, ExecutorFailed):
            self.warn(f"{event.next!r} was asked in place of {event.executor!r}: {event.why}")
            return
        if isinstance(event, ModelLoading):
            now_s = self.services.time_s()
            self.loads.setdefault(event.model, [now_s, now_s])[1] = now_s
        if isinstance(event, ToolCalled) and self._is_noted:  # by a program that answers, and uses its own
            self.performed.append(Performed(kind="call", what=event.name, text=event.arguments))
        if isinstance(event, TextGenerated):
            reach(KillPoint.MID_GENERATION)
        self.services.tell(replace(event, visit=self.number))

    @property
    def load_waits(self) -> tuple[LoadWait, ...]:
        """The models that the visit waited for while they were loaded, for the journal."""
        return tuple(
            LoadWait(model=model, duration_s=end_s - begin_s)
            for model, (begin_s, end_s) in self.loads.items()
        )


RunChild = Callable[[VisitContext, Child], Awaitable[object]]
"""Drives a sub-workflow and gives what it returns: without `returns`, its variables.

Raises `ActionError` if it does not complete.
"""
DoItems = Callable[[VisitContext, Items], Awaitable[list[object]]]
"""See `actions.base.RunItems`."""
