"""Everything that a run uses outside itself: executors, commands, files, a person, and time.

Above: the runner, which takes one `Outside` and lets nothing past it, so that anyone who is in its place (a
case, a recording) hears and says everything. Below: processes and questions; `executors/base.py`. What is
asked and what is answered are plain values, with the run and the visit they are for.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, TypeVar
from uuid import uuid4

from samovar.actions import file_system
from samovar.actions.clock import Clock, MachineClock
from samovar.actions.effects import OutsideIntent
from samovar.actions.file_places import Search, Target
from samovar.actions.file_system import Change
from samovar.actions.process import Command, CommandResult, run
from samovar.actions.question import Ask, Question, Reply
from samovar.actions.reached import Commands, Files, FileState, NoServers, Servers, User, VisitOf, Waits
from samovar.errors import ActionError
from samovar.executors.base import Executor
from samovar.processes.guard import Guard
from samovar.processes.process_groups import ProcessGroups, send
from samovar.projects.lineage import CHILDREN_VARIABLE, DETACHED_VARIABLE, RUN_VARIABLE

T = TypeVar("T")


class World(Commands, Files, User, Waits, Protocol):
    """All but the executor, in one: that of this machine, or what is in its place."""

    clock: Clock

    def in_place_of(self, servers: Servers) -> Servers:
        """What a run gets of the servers that there are on this machine: they, or what tells of them."""
        ...


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
    servers: Servers = field(default_factory=NoServers)
    """Those of one run."""

    async def effect(self, intent: OutsideIntent[T], at: VisitOf) -> T:
        """The one place through which a run does anything outside of itself."""
        return await intent.done_by(self, at)

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
        self._guards: dict[str, tuple[str, Guard]] = {}
        """By run: a mark, and who ends what has it if we are killed."""
        self._ask = ask

    def in_place_of(self, servers: Servers) -> Servers:
        return servers

    async def run_command(self, command: Command, at: VisitOf) -> CommandResult:
        marked = {**command.environment, RUN_VARIABLE: at.run}
        if command.detach:
            marked[DETACHED_VARIABLE] = at.run
        if not command.is_guarded:
            return await run(replace(command, environment=marked), self.groups, at.run)
        marked[CHILDREN_VARIABLE], guard = await self._guarded(at.run)
        started: list[int] = []

        async def watch(group: int) -> None:
            started.append(group)
            await guard.watch("group", str(group))  # its mark can be hidden, or taken off

        try:
            return await run(replace(command, environment=marked), self.groups, at.run, watch)
        finally:
            for group in started:
                if not send(group, 0):
                    await guard.forget("group", str(group))

    async def _guarded(self, run: str) -> tuple[str, Guard]:
        """The mark of programs that must not outlive us, and the guard of the run, which knows it.

        Raises `ActionError`.
        """
        mark, guard = self._guards.setdefault(run, (uuid4().hex, Guard()))
        try:
            await guard.watch("mark", f"{CHILDREN_VARIABLE}={mark}")
        except OSError as error:
            why = error.strerror or str(error)
            raise ActionError(f"No program can be started that watches over the others: {why}.") from error
        return mark, guard

    async def end(self, run: str) -> None:
        await self.groups.end(run)
        if run in self._guards:  # nothing is left for it
            await self._guards.pop(run)[1].close()

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
