"""A conversation as a run without a workflow of its own: whatever is said is a visit, which may call tools.

Above: `samovar chat`. Below: the services and contexts of visits; the loop, for workflows that are tools. The
connection, servers and the record are those of the whole conversation; limits are those of one visit. What
a model calls passes the same door, the same rules and the same one place for effects as in any other run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import pairwise

import anyio

from samovar.actions.defaults import PromptDefaults
from samovar.actions.tool_rounds import Rounds
from samovar.config.known_keys import keys_of
from samovar.errors import SamovarError
from samovar.events import Event, RunError, RunStarted, VisitStatus
from samovar.executors.base import Connection, PromptReply, PromptRequest, forget
from samovar.generation import FinishReason, Message, MessagePart, TextGenerated
from samovar.language.workflow import Limits, Workflow
from samovar.library import Library
from samovar.running.frame import Frame
from samovar.running.gate import Gate
from samovar.running.loop import Loop
from samovar.running.recorder import Recorder
from samovar.running.runner import Runner, new_id, services_of
from samovar.running.services import Services
from samovar.running.spending import Spending
from samovar.tools.servers import open_servers

STATE = "chat"
"""The state that all of it happens in: `--answer chat=yes`."""
_TEXT = f"""```mermaid
stateDiagram-v2
    [*] --> {STATE}
    {STATE} --> [*]
```

## Actions

- {STATE}: Prompt "what is said" using tools="files.*"
"""


def talk_workflow(library: Library) -> Workflow:
    """Stands in place of a workflow: one state, whose action is a prompt that may call tools."""
    return library.read(_TEXT, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TalkTurn:
    """What became of something that was said."""

    reply: PromptReply
    """The last one, with what all of them cost."""
    between: tuple[Message, ...]
    """What the model called before it answered, and what it was given back."""


@asynccontextmanager
async def open_talking(runner: Runner, gate: Gate) -> AsyncIterator[Talking]:
    """A conversation with the executor, the machine and the settings of a runner.

    `gate`: which workflows may be tools. On leaving, all is ended that was started for it.
    """
    clock = runner.outside.clock
    run = new_id(clock.now_s())
    async with (
        runner.outside.executor.open(run) as connection,
        open_servers(run, runner.settings.folder) as servers,
    ):
        workflow = talk_workflow(runner.library)
        started = RunStarted(run=run, workflow=STATE, path=None, started_at=clock.now_s(), variables={})
        recorder = Recorder(started, _for_listener(runner.on_event, lambda: talking.visit), clock)
        keys = keys_of(runner.settings.settings)
        recorder.secrets.learn(keys.values())
        outside = replace(runner.outside, servers=runner.settings.outside.in_place_of(servers))
        services = services_of(runner, recorder, outside, connection, keys)
        talking = Talking(replace(services, gate=gate), recorder, workflow)
        try:
            yield talking
        finally:
            with anyio.CancelScope(shield=True):
                await outside.commands.end(run)


def _for_listener(on_event: Callable[[Event], None], visit: Callable[[], int]) -> Callable[[Event], None]:
    """All but what is written for others: for workflows that are tools."""

    def told(event: Event) -> None:
        if not isinstance(event, TextGenerated) or event.visit == visit():
            on_event(event)

    return told


class Talking:
    """One conversation. Mutable: the number of its newest visit."""

    def __init__(self, services: Services, recorder: Recorder, workflow: Workflow) -> None:
        self._services, self._recorder, self._workflow = services, recorder, workflow
        self._loop = Loop(services, recorder, Limits())
        self.visit = 0

    @property
    def connection(self) -> Connection:
        """Who answers."""
        return self._services.connection

    async def forget(self, session: str) -> None:
        """That named conversation of the executor is over."""
        await forget(self.connection, session)

    async def ask(self, request: PromptRequest, tools: Sequence[str]) -> TalkTurn:
        """Has a prompt answered, whose model may call tools that these patterns name.

        Cancelled, it gives up the answer, or the call that is under way. Raises as executors and tools do.
        """
        state = self._workflow.states[STATE]
        defaults = PromptDefaults(model=request.model, executor=request.executor)
        frame = Frame.begin(
            self._workflow, {}, Spending(Limits()), folder=self._services.folder, defaults=defaults
        )
        entry = self._recorder.enter(frame, state, None)
        self.visit = entry.number
        context = self._loop.visit_context(frame, state, entry).context()
        heard: list[tuple[PromptRequest, PromptReply]] = []

        async def ask(one: PromptRequest) -> PromptReply:
            reply = await context.ask(one)
            heard.append((one, reply))
            return reply

        try:
            if tools:
                rounds = Rounds(patterns=tuple(tools), most=None, place=state.place)
                reply = await rounds.ask(replace(context, ask=ask), request)
            else:
                reply = await ask(request)
        except SamovarError as error:
            self._recorder.leave(entry, VisitStatus.FAILURE, error=RunError.of(error))
            raise
        except BaseException:  # a cancellation or a defect: the visit is over, and it continues
            self._recorder.leave(entry, VisitStatus.CANCELLED, quietly=True)
            raise
        self._recorder.leave(entry, VisitStatus.SUCCESS)
        return TalkTurn(reply=reply, between=_between(heard))


def _between(heard: Sequence[tuple[PromptRequest, PromptReply]]) -> tuple[Message, ...]:
    """The calls, and what was given back for them."""
    messages: list[Message] = []
    for (_, reply), (request, _) in pairwise(heard):
        if reply.finish_reason is FinishReason.CALLS:
            said = Message.of_parts("assistant", reply.parts or (MessagePart(text=reply.text),))
            messages += (replace(said, calls=reply.calls), *request.messages)
    return tuple(messages)
