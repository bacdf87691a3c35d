"""Runs one command in its own process group, and ends the whole group unless the command ended itself.

Above: `launching.py`. Below: `process_groups.py`, anyio. The output is read to its end, unless it becomes too
large. It knows nothing of templates or workflows.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import anyio.to_thread
from anyio.abc import ByteReceiveStream, Process

from samovar.errors import ShellError
from samovar.processes.process_groups import ProcessGroups, end_group
from samovar.values import MOST_VALUE_BYTES

LINGER_S = 1.0
"""How long output is still read when the command is done but something it started holds the stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    text: str
    """How it is shown: what a shell is given, or its words as a shell would be given them."""
    words: tuple[str, ...]
    """What is started: the program and its arguments, each as it is."""
    environment: Mapping[str, str] = field(repr=False)
    """The whole of it."""
    folder: Path
    stdin: str | None = None
    """What it reads from its standard input; None: nothing."""
    timeout_s: float | None = None
    detach: bool = False
    """What it leaves running may outlive the run."""
    is_guarded: bool = False
    """It ends with this process, however that ends, with all that it has started."""
    shown: str = ""
    """What is run, for people: as written, with its values in it."""
    adds: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables that the state itself adds to the environment."""
    most_bytes: int = MOST_VALUE_BYTES
    """That it may write to each of its streams; one that writes more is ended."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Texts that it finds in files of its own while it runs, by the variable that has the file's path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """What a command left."""

    stdout: str
    stderr: str
    exit_code: int
    """128 and the signal's number if a signal ended it."""
    duration_s: float
    timed_out: bool
    is_cut: bool
    """It wrote more than it may, and was ended for that."""


@dataclass(slots=True)
class _Kept:
    """The output so far; grows as read."""

    most_bytes: int
    data: bytearray = field(default_factory=bytearray)
    is_cut: bool = False

    async def read(self, stream: ByteReceiveStream, reading: anyio.CancelScope) -> None:
        """Reads to the end, or until there is too much, which ends all `reading`."""
        try:
            async for chunk in stream:
                room = self.most_bytes - len(self.data)
                self.data += chunk[:room]
                if len(chunk) > room:
                    self.is_cut = True
                    reading.cancel()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return

    def text(self) -> str:
        return self.data.decode("utf-8", errors="replace")


async def _not_watched(group: int) -> None:
    return


async def run(
    command: Command,
    groups: ProcessGroups | None = None,
    owner: str = "",
    watch: Callable[[int], Awaitable[None]] = _not_watched,
) -> CommandResult:
    """Runs a command. `owner` is the id of the run. `watch` is told its group as soon as there is one.

    On a timeout, with too much output and on cancellation the whole process group is ended, and waited for,
    before this returns or the cancellation continues. What a command that is done left behind is for `groups`
    to end.

    Raises `ShellError` when it cannot be started.
    """
    if not command.folder.is_dir():
        raise ShellError(f"There is no folder {str(command.folder)!r} to run the command in.")
    async with _with_files(command) as ready:
        return await _run(ready, groups or ProcessGroups(), owner, watch)


@asynccontextmanager
async def _with_files(command: Command) -> AsyncIterator[Command]:
    """The command with its files written, which are gone afterwards. Nobody else can read them."""
    if not command.files:
        yield command
        return
    try:
        folder = TemporaryDirectory(prefix="samovar-", ignore_cleanup_errors=True)
    except OSError as error:
        raise _unwritten(error) from error
    with folder as path:
        environment = dict(command.environment)
        for name, text in command.files.items():
            file = Path(path, name.lower().removesuffix("_file") + ".txt")
            try:
                await anyio.to_thread.run_sync(file.write_bytes, text.encode("utf-8", "surrogateescape"))
            except OSError as error:
                raise _unwritten(error) from error
            environment[name] = str(file)
        yield replace(command, environment=environment)


def _unwritten(error: OSError) -> ShellError:
    return ShellError(f"The file for the command could not be written: {error.strerror or error}.")


async def _run(
    command: Command, groups: ProcessGroups, owner: str, watch: Callable[[int], Awaitable[None]]
) -> CommandResult:
    started = time.monotonic()
    # Cancelled in the middle of starting, the shell would be killed and what it has started would continue.
    groups.expect(owner)
    with anyio.CancelScope(shield=True):
        process = await _start(command)
        groups.begin(process.pid, owner)
        await watch(process.pid)
    stdout, stderr = _Kept(command.most_bytes), _Kept(command.most_bytes)
    timed_out = False
    try:
        with anyio.move_on_after(command.timeout_s) as scope:
            await _read(process, command.stdin, stdout, stderr)
        timed_out = scope.cancelled_caught
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                await _end(process)
            await process.aclose()
            groups.finish(process.pid, detach=command.detach)
    code = process.returncode or 0
    return CommandResult(
        stdout=stdout.text(),
        stderr=stderr.text(),
        exit_code=code if code >= 0 else 128 - code,
        duration_s=time.monotonic() - started,
        timed_out=timed_out,
        is_cut=stdout.is_cut or stderr.is_cut,
    )


async def _start(command: Command) -> Process:
    try:
        return await anyio.open_process(
            command.words,
            stdin=subprocess.DEVNULL if command.stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=command.folder,
            env=dict(command.environment),
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise ShellError(f"There is no program {command.words[0]!r} on this machine.") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ShellError(f"The command could not be started: {reason}.") from error


async def _read(process: Process, stdin: str | None, stdout: _Kept, stderr: _Kept) -> None:
    assert process.stdout is not None
    assert process.stderr is not None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stdout.read, process.stdout, tasks.cancel_scope, name="shell stdout")
        tasks.start_soon(stderr.read, process.stderr, tasks.cancel_scope, name="shell stderr")
        if stdin is not None:
            tasks.start_soon(_write, process, stdin, name="shell stdin")
        await process.wait()
        tasks.cancel_scope.deadline = anyio.current_time() + LINGER_S


async def _write(process: Process, text: str) -> None:
    """Writes what the command reads; one that reads no more of it has had enough."""
    assert process.stdin is not None
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        await process.stdin.send(text.encode("utf-8", errors="surrogateescape"))
    with suppress(anyio.BrokenResourceError, OSError):
        await process.stdin.aclose()


async def _end(process: Process) -> None:
    """Ends the group of a command that still runs; its shell is waited for, so that no dead one is left."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(end_group, process.pid, name="end group")
        await process.wait()
