"""What a run does outside of itself: one value for each thing it may want, which knows what does it.

Above: the context of a visit, which wants it, and `Outside.effect`, the one place through which all of it
goes. Below: what does it: commands, files, persons, executors, servers of tools. Whoever keeps or repeats
what a run did stands in that one place, and gets values there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from samovar.actions.file_places import Search, Target
from samovar.actions.file_system import Change
from samovar.actions.process import Command, CommandResult
from samovar.actions.question import Question, Reply
from samovar.actions.tools import ToolResult
from samovar.config.declared import DeclaredServer
from samovar.executors.base import Connection, OnPromptEvent, PromptReply, PromptRequest

if TYPE_CHECKING:
    from samovar.actions.reached import ListedTools, Reached, ServerCall, VisitOf

T = TypeVar("T", covariant=True)


class OutsideIntent(Protocol[T]):
    """Something that a visit of a run wants of what is outside."""

    async def done_by(self, reached: Reached, at: VisitOf) -> T:
        """Has it done. Raises as that does."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsCommand:
    command: Command

    async def done_by(self, reached: Reached, at: VisitOf) -> CommandResult:
        return await reached.commands.run_command(self.command, at)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadsFile:
    target: Target
    most_bytes: int

    async def done_by(self, reached: Reached, at: VisitOf) -> bytes:
        return await reached.files.read_file(self.target, self.most_bytes, at)


@dataclass(frozen=True, slots=True, kw_only=True)
class WritesFile:
    target: Target
    change: Change

    async def done_by(self, reached: Reached, at: VisitOf) -> None:
        await reached.files.write_file(self.target, self.change, at)


@dataclass(frozen=True, slots=True, kw_only=True)
class FindsFiles:
    search: Search

    async def done_by(self, reached: Reached, at: VisitOf) -> list[str]:
        return await reached.files.find_files(self.search, at)


@dataclass(frozen=True, slots=True, kw_only=True)
class AsksUser:
    question: Question

    async def done_by(self, reached: Reached, at: VisitOf) -> Reply | None:
        return await reached.user.ask_user(self.question)


@dataclass(frozen=True, slots=True, kw_only=True)
class LetsTimePass:
    duration_s: float

    async def done_by(self, reached: Reached, at: VisitOf) -> None:
        await reached.waits.sleep(self.duration_s, at)


@dataclass(frozen=True, slots=True, kw_only=True)
class AsksModel:
    request: PromptRequest
    connection: Connection = field(repr=False, compare=False)
    """Of the run."""
    on_event: OnPromptEvent = field(repr=False, compare=False)

    async def done_by(self, reached: Reached, at: VisitOf) -> PromptReply:
        return await self.connection.ask(self.request, self.on_event)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListsTools:
    server: DeclaredServer

    async def done_by(self, reached: Reached, at: VisitOf) -> ListedTools:
        return await reached.servers.list_tools(self.server, at)


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptsTools:
    server: DeclaredServer
    listed: ListedTools

    async def done_by(self, reached: Reached, at: VisitOf) -> None:
        await reached.servers.accept(self.server, self.listed, at)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsTool:
    call: ServerCall

    async def done_by(self, reached: Reached, at: VisitOf) -> ToolResult:
        return await reached.servers.call_tool(self.call, at)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchesPage:
    url: str
    hosts: tuple[str, ...]
    """That it may lead to, also on the way."""

    async def done_by(self, reached: Reached, at: VisitOf) -> ToolResult:
        return await reached.servers.fetch(self.url, self.hosts, at)
