"""Programs that we speak to by lines of JSON, each the head of a process group that never outlives us.

Above: executors that are programs; whatever else is spoken to so. Below: `guard.py`, for when we are killed;
`process_groups.py`; anyio. A program gets an allow-listed environment, a temporary folder of its own, and a
mark by which all that it starts is found at the end. It knows nothing of what is said.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import anyio.to_thread
from anyio.abc import ByteReceiveStream, Process, TaskGroup
from anyio.streams.buffered import BufferedByteReceiveStream

from samovar.processes.given_variables import TEMPORARY, keys_in
from samovar.processes.guard import Guard
from samovar.processes.left_processes import end_left
from samovar.processes.process_groups import DYING_S, GRACE_S, end_group, send
from samovar.projects.lineage import CHILDREN_VARIABLE, RUN_VARIABLE
from samovar.values.secrecy import Secrets

MOST_LINE_BYTES = 16 * 1024 * 1024
"""Of one line that a program says; one that says more is not understood."""
MOST_SAID_CHARS = 500
"""Of what a program says of a failure, so much is shown."""
KEPT_BYTES = 4096
"""Of the end of what a program writes to its standard error."""
EXIT_S = 2.0
"""How long a program may take to end by itself, when nothing more is said to it."""


class ChildProgramError(Exception):
    """A program that cannot be started, spoken to or understood; the text is a sentence about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramToStart:
    """What is started."""

    words: tuple[str, ...]
    """The program and its arguments, which everybody on the machine can read: no secret is among them."""
    environment: Mapping[str, str] = field(repr=False)
    """The whole of it, besides the temporary folder and the marks. What is a key in it, by its name, is in
    no message about the program."""
    folder: Path
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Texts that it finds in files of its own, which nobody else can read, by the name that stands in
    `words` as `{name}`."""


class ChildPrograms:
    """The programs of one connection. `async with` ends them all. Mutable: those that live."""

    def __init__(self, run: str, tasks: TaskGroup) -> None:
        """`run`: the id of the run that they are for."""
        self._run, self._tasks, self._mark = run, tasks, uuid4().hex
        self._guard = Guard()
        self._alive: set[ChildProgram] = set()
        self._is_marked = False

    @classmethod
    @asynccontextmanager
    async def open(cls, run: str) -> AsyncIterator[ChildPrograms]:
        """The programs that the body starts, which all end with it."""
        errors: list[BaseException] = []
        async with anyio.create_task_group() as tasks:
            children = cls(run, tasks)
            try:
                yield children
            except BaseException as error:  # handed on: it is raised below, in no group
                errors.append(error)
            finally:
                with anyio.CancelScope(shield=True):
                    await children._close()
                tasks.cancel_scope.cancel()
        if errors:
            raise errors[0]

    @property
    def alive(self) -> int:
        """How many live."""
        return len(self._alive)

    async def start(self, program: ProgramToStart) -> ChildProgram:
        """Starts one. Raises `ChildProgramError`."""
        # Cancelled in the middle of starting, it would be there and nobody would know of it.
        with anyio.CancelScope(shield=True):
            try:
                if not self._is_marked:
                    await self._guard.watch("mark", f"{CHILDREN_VARIABLE}={self._mark}")
                    self._is_marked = True
                folder = await anyio.to_thread.run_sync(_made_folder, program.files)
            except OSError as error:
                raise ChildProgramError(f"could not be started: {error.strerror or error}") from error
            await self._guard.watch("folder", str(folder.name))
            try:
                process = await self._open(program, Path(folder.name))
            except BaseException:
                await self._delete(folder)
                raise
            await self._guard.watch("group", str(process.pid))
            child = ChildProgram(process, self, folder, keys_in(program.environment))
            self._alive.add(child)
            assert process.stderr is not None
            self._tasks.start_soon(child.drain, process.stderr, name=f"stderr of {process.pid}")
        return child

    async def _open(self, program: ProgramToStart, folder: Path) -> Process:
        files = {name: str(folder / name) for name in program.files}
        words = [files.get(word[1:-1], word) if word[:1] == "{" else word for word in program.words]
        marks = {RUN_VARIABLE: self._run, CHILDREN_VARIABLE: self._mark}
        try:
            return await anyio.open_process(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=program.folder,
                env={**program.environment, TEMPORARY: str(folder), **marks},
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise ChildProgramError(f"could not be started: there is no {error.filename!r}") from error
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise ChildProgramError(f"could not be started: {reason}") from error

    async def has_ended(self, child: ChildProgram) -> None:
        """Its process was waited for, and its group is gone."""
        self._alive.discard(child)
        await self._guard.forget("group", str(child.number))
        await self._delete(child.folder)

    async def _delete(self, folder: tempfile.TemporaryDirectory[str]) -> None:
        await anyio.to_thread.run_sync(folder.cleanup)
        await self._guard.forget("folder", str(folder.name))

    async def _close(self) -> None:
        # Where one of these fails, the guard is not told goodbye, and ends what is left when we are gone.
        async with anyio.create_task_group() as tasks:
            for child in tuple(self._alive):
                tasks.start_soon(child.end, name=f"end {child.number}")
        if self._is_marked:
            await end_left(self._mark, grace_s=GRACE_S, dying_s=DYING_S, variable=CHILDREN_VARIABLE)
        await self._guard.close()


class ChildProgram:
    """One program, which `ChildPrograms.start` makes. Mutable: the end of its standard error; its own end."""

    def __init__(
        self,
        process: Process,
        children: ChildPrograms,
        folder: tempfile.TemporaryDirectory[str],
        secrets: Secrets,
    ) -> None:
        """`secrets`: what no message shows of what it writes."""
        assert process.stdout is not None
        self._secrets = secrets
        self._process, self._children, self.folder = process, children, folder
        self._lines = BufferedByteReceiveStream(process.stdout)
        self._stderr = bytearray()
        self._drained = anyio.Event()
        self._ending, self._listening = anyio.Lock(), anyio.Lock()
        self._has_ended = False

    @property
    def number(self) -> int:
        """Of its process, and of the group that it is the head of."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """It has not ended, as far as is known."""
        return not self._has_ended and self._process.returncode is None

    async def send(self, message: Mapping[str, Any]) -> None:
        """Says one line to it. Raises `ChildProgramError` if it hears no more."""
        assert self._process.stdin is not None
        try:
            await self._process.stdin.send(json.dumps(message).encode() + b"\n")
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError) as error:
            raise ChildProgramError("does not hear any more") from error

    async def receive(self) -> dict[str, Any] | None:
        """The next line that is an object; what else it writes is skipped. None: nothing more comes.

        Raises `ChildProgramError` for a line that is too long. Cancelled, nothing is lost.
        """
        while True:
            try:
                async with self._listening:
                    line = await self._lines.receive_until(b"\n", MOST_LINE_BYTES)
            except (anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return None
            except anyio.DelimiterNotFound as error:
                raise ChildProgramError(f"said a line of more than {MOST_LINE_BYTES} bytes") from error
            try:
                message = json.loads(line)
            except (ValueError, RecursionError):  # what a program writes for people, or by mistake
                continue
            if isinstance(message, dict):
                return message

    async def drain(self, stream: ByteReceiveStream) -> None:
        """Reads its standard error to the end, and keeps the end of it."""
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for chunk in stream:
                self._stderr += chunk
                del self._stderr[:-KEPT_BYTES]
        self._drained.set()

    async def last_words(self) -> str:
        """How it ended and the end of what it wrote to its standard error; for a message, on one line."""
        with anyio.move_on_after(EXIT_S):
            await self._process.wait()
            await self._drained.wait()
        code = self._process.returncode
        how = "" if code is None else f"signal {-code}" if code < 0 else f"status {code}"
        text = self._stderr.decode(errors="replace")
        if len(self._stderr) == KEPT_BYTES:  # it may begin with the rest of a key
            text = f"…{text}"
        said = " ".join(self._secrets.mask(text).removeprefix("…").split())[-300:]
        return ", ".join(part for part in (how, said) if part)

    def shown(self, text: str) -> str:
        """What it says of a failure, for a message: on one line, without the keys that it was given."""
        return " ".join(self._secrets.mask(text).split())[:MOST_SAID_CHARS]

    async def end(self, wait_s: float = EXIT_S) -> None:
        """Nothing more is said to it; what is left of its group after `wait_s` is asked to end, then killed.

        Shielded from cancellation; may happen twice.
        """
        with anyio.CancelScope(shield=True):
            async with self._ending:
                if self._has_ended:
                    return
                await self._end(wait_s)
                self._has_ended = True

    async def _end(self, wait_s: float) -> None:
        assert self._process.stdin is not None
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            await self._process.stdin.aclose()
        if wait_s > 0:
            with anyio.move_on_after(wait_s):
                await self._read_to_end()
                await self._process.wait()
        if self._process.returncode is None or send(self.number, 0):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(end_group, self.number, name=f"end group {self.number}")
                await self._process.wait()
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            await self._process.aclose()
        await self._children.has_ended(self)

    async def _read_to_end(self) -> None:
        """What it still says is nobody's, but it must not have to wait for somebody to read it.

        Whoever was listening may still do so, where all of a run is cancelled at once.
        """
        if self._listening.locked():
            return
        assert self._process.stdout is not None
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async with self._listening:
                async for _ in self._process.stdout:
                    pass


def _made_folder(files: Mapping[str, str]) -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="samovar-", ignore_cleanup_errors=True)
    for name, text in files.items():
        Path(folder.name, name).write_bytes(text.encode("utf-8", "surrogateescape"))
    return folder
