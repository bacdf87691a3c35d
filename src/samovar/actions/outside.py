"""Everything that a run uses outside itself: executors, commands, files, a person, and time.

Above: the runner, which takes one `Outside` and lets nothing past it, so that anyone who is in its place (a
case, a recording) hears and says everything. Below: processes and questions; `executors/base.py`. What is
asked and what is answered are plain values, with the run and the visit they are for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from samovar.actions import file_system
from samovar.actions.clock import Clock, MachineClock
from samovar.actions.file_places import Search, Target
from samovar.actions.file_system import Change
from samovar.actions.process import Command, CommandResult, run
from samovar.actions.question import Ask, Question, Reply
from samovar.executors.base import Executor
from samovar.processes.process_groups import ProcessGroups
from samovar.projects.lineage import DETACHED_VARIABLE, RUN_VARIABLE

FileState = tuple[int, int, int, int]
"""What distinguishes a file from another one that is written there later: inode, bytes, and two times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisitOf:
    """One visit of one run."""

    run: str
    """The id of the run."""
    number: int
    """Number of the visit in the run, from 1."""


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
        """Returns when this many seconds have passed."""
        ...


class World(Commands, Files, User, Waits, Protocol):
    """All but the executor, in one: that of this machine, or what is in its place."""

    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """All that a run reaches beside itself."""

    executor: Executor
    """Answers its prompts."""
    commands: Commands
    files: Files
    user: User
    clock: Clock
    waits: Waits

    @classmethod
    def of(cls, executor: Executor, world: World) -> Outside:
        """An executor, and one world for all the rest."""
        return cls(executor=executor, commands=world, files=world, user=world, clock=world.clock, waits=world)


class ThisMachine:
    """See `World`: this machine, its time, who can be asked at it. Commands know that a run has them."""

    def __init__(self, ask: Ask | None = None) -> None:
        """`ask`: None if there is nobody."""
        self.clock: Clock = MachineClock()
        self.groups = ProcessGroups()
        self._ask = ask

    async def run_command(self, command: Command, at: VisitOf) -> CommandResult:
        marked = {**command.environment, RUN_VARIABLE: at.run}
        if command.detach:
            marked[DETACHED_VARIABLE] = at.run
        return await run(replace(command, environment=marked), self.groups, at.run)

    async def end(self, run: str) -> None:
        await self.groups.end(run)

    async def read_file(self, target: Target, most_bytes: int, at: VisitOf) -> bytes:
        return await file_system.read_file(target, most_bytes)

    async def write_file(self, target: Target, change: Change, at: VisitOf) -> None:
        await file_system.write_file(target, change)

    async def find_files(self, search: Search, at: VisitOf) -> list[str]:
        return await file_system.find_files(search)

    def state_of(self, file: Path) -> FileState | None:
        try:
            stat = file.stat()
        except (OSError, ValueError):
            return None
        return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns

    def read_text(self, file: Path) -> str:
        return file.read_text(encoding="utf-8")

    def delete(self, file: Path) -> None:
        file.unlink()

    async def ask_user(self, question: Question) -> Reply | None:
        return await self._ask(question) if self._ask else None

    def answered(self, question: Question, reply: Reply) -> None:
        pass

    async def sleep(self, duration_s: float, at: VisitOf) -> None:
        await self.clock.sleep(duration_s)
