"""Servers of tools, and pages, of which a case tells what they give back: none of them is there.

Above: `stage.py`, which says what is told next. Below: the case. Which tools a server has is what the case's
answers call; their arguments have any form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from samovar.actions.reached import ListedTools, ServerCall, VisitOf
from samovar.actions.tools import ToolResult
from samovar.config.declared import DeclaredServer
from samovar.generation import ToolDefinition
from samovar.testing.cases import Answer, Case

ANY_ARGUMENTS = '{"type": "object"}'


@dataclass(frozen=True, slots=True)
class ToldServers:
    """See `actions.reached.Servers`."""

    case: Case
    next: Callable[[str], ToolResult]
    """What the case tells of the next call, which is of this tool."""

    def stand_in(self, name: str) -> DeclaredServer | None:
        return DeclaredServer(name=name, command=("told",))

    async def list_tools(self, server: DeclaredServer, at: VisitOf) -> ListedTools:
        answers = (answer for told in self.case.answers.values() for answer in told.values)
        calls = (call.name for answer in answers if isinstance(answer, Answer) for call in answer.calls)
        names = {name.partition(".")[2] for name in calls if name.partition(".")[0] == server.name}
        definitions = tuple(
            ToolDefinition(name=name, description="", parameters=ANY_ARGUMENTS) for name in sorted(names)
        )
        return ListedTools(definitions=definitions, has_more=True)

    async def accept(self, server: DeclaredServer, listed: ListedTools, at: VisitOf) -> None:
        """Nothing changes."""

    async def call_tool(self, call: ServerCall, at: VisitOf) -> ToolResult:
        return self.next(call.name)

    async def fetch(self, url: str, hosts: tuple[str, ...], at: VisitOf) -> ToolResult:
        return self.next("web.fetch")
