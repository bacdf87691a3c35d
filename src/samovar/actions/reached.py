"""What a run reaches beside itself, as contracts: commands, files, a person, time, servers of tools.

Above: `outside.py`, which has them together, and whoever stands in their place (a case, a recording); the
effects of a run. Below: plain values, with the run and the visit they are for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from samovar.actions.asked_back import AnswersServer, NobodyAnswers
from samovar.actions.file_places import Search, Target
from samovar.actions.file_system import Change
from samovar.actions.process import Command, CommandResult
from samovar.actions.question import Question, Reply
from samovar.actions.tools import ToolResult
from samovar.config.declared import DeclaredServer
from samovar.errors import ToolError
from samovar.generation import ToolDefinition

FileState = tuple[int, int, int, int]
"""What tells a file from another one that is written there later: inode, bytes, and two times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitOf:
    """One visit of one run."""

    run: str
    """The id of the run."""
    number: int
    """Of the visit in the run, from 1."""
    path: str = ""
    """Path of its state."""


class Commands(Protocol):
    """Runs commands."""

    async def run_command(self, command: Command, at: VisitOf) -> CommandResult:
        """Runs a command to its end, as `process.run` does."""
        ...

    async def end(self, run: str) -> None:
        """The run with this id is over: what its commands have left behind ends."""
        ...


class Files(Protocol):
    """Files that a run reads, writes and looks for, beside workflows and prompts, which are the library's."""

    async def read_file(self, target: Target, most_bytes: int, at: VisitOf) -> bytes:
        """As `file_system.read`."""
        ...

    async def write_file(self, target: Target, change: Change, at: VisitOf) -> None:
        """As `file_system.write`."""
        ...

    async def find_files(self, search: Search, at: VisitOf) -> list[str]:
        """As `file_system.find`."""
        ...

    def state_of(self, file: Path) -> FileState | None:
        """None if there is no such file."""
        ...

    def read_text(self, file: Path) -> str:
        """Raises `OSError`, and `UnicodeDecodeError` for what is not UTF-8."""
        ...

    def delete(self, file: Path) -> None:
        """Raises `OSError`."""
        ...


class User(Protocol):
    """The person whose run it is."""

    async def ask_user(self, question: Question) -> Reply | None:
        """Asks. None: there is nobody who could answer."""
        ...

    def answered(self, question: Question, reply: Reply) -> None:
        """Hears of a question that was answered before the run, and so is not asked."""
        ...


class Waits(Protocol):
    """Lets visits wait, by the clock."""

    async def sleep(self, duration_s: float, at: VisitOf) -> None:
        """Returns when so many seconds have passed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTools:
    """What a server has."""

    definitions: tuple[ToolDefinition, ...]
    """By their own names, in order."""
    changed: tuple[str, ...] = ()
    """Those that are not as they were when the server was used before."""
    before: Mapping[str, ToolDefinition] = field(default_factory=dict)
    """What those of them were like that there were then, as far as that is known."""
    left_out: tuple[str, ...] = ()
    """Names of others, which no model could call."""
    has_more: bool = False
    """There is any other tool that is named, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCall:
    """A tool of a server is to be used."""

    server: DeclaredServer
    tool: str
    """Its own name, without that of the server."""
    arguments: Mapping[str, Any]
    answers: AnswersServer = field(default_factory=NobodyAnswers, repr=False, compare=False)
    """What the server may ask meanwhile is answered by this."""

    @property
    def name(self) -> str:
        """The server's name and the tool's."""
        return f"{self.server.name}.{self.tool}"


class Servers(Protocol):
    """Servers of tools, and pages of the web. A server is started when it is first asked for something."""

    def stand_in(self, name: str) -> DeclaredServer | None:
        """What is used for a server that nobody has declared; None: there is none."""
        ...

    async def list_tools(self, server: DeclaredServer, at: VisitOf) -> ListedTools:
        """All that it has. Raises `ToolError`."""
        ...

    async def accept(self, server: DeclaredServer, listed: ListedTools, at: VisitOf) -> None:
        """What has changed is known as it is from now on."""
        ...

    async def call_tool(self, call: ServerCall, at: VisitOf) -> ToolResult:
        """Has it use one of them. Raises `ToolError` if it cannot be spoken to."""
        ...

    async def fetch(self, url: str, hosts: tuple[str, ...], at: VisitOf) -> ToolResult:
        """A page. A result that is refused if its host, or one on the way to it, is not among these."""
        ...


class NoServers:
    """See `Servers`: there are none."""

    def stand_in(self, name: str) -> DeclaredServer | None:
        return None

    async def accept(self, server: DeclaredServer, listed: ListedTools, at: VisitOf) -> None:
        """There is nothing to accept."""

    async def list_tools(self, server: DeclaredServer, at: VisitOf) -> ListedTools:
        raise ToolError(f"The server {server.name!r} cannot be started here.", tool=server.name)

    async def call_tool(self, call: ServerCall, at: VisitOf) -> ToolResult:
        raise ToolError(f"The server {call.server.name!r} cannot be started here.", tool=call.name)

    async def fetch(self, url: str, hosts: tuple[str, ...], at: VisitOf) -> ToolResult:
        raise ToolError("No page can be fetched here.", tool="web.fetch")


class Reached(Protocol):
    """All of them."""

    @property
    def commands(self) -> Commands: ...
    @property
    def files(self) -> Files: ...
    @property
    def user(self) -> User: ...
    @property
    def waits(self) -> Waits: ...
    @property
    def servers(self) -> Servers: ...
