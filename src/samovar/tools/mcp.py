"""Speaks with one server of tools by the Model Context Protocol, through the official package `mcp`.

Above: `servers.py`, which keeps it open for a run. Below: programs (`processes/`), and the package, which is
imported when the first server is used. What a server says is bounded and not believed: a definition or a
result beyond the bounds is refused or cut; it may ask the model or the person only if the settings say so.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from samovar.actions.reached import ListedTools, ServerCall
from samovar.actions.tools import ToolResult, failed
from samovar.config.declared import DeclaredServer
from samovar.config.keys import NoKeyError, read_key
from samovar.errors import ToolError
from samovar.errors.durations import lasting
from samovar.errors.installing import install_command
from samovar.generation import ToolDefinition
from samovar.processes.children import ChildProgram, ChildProgramError, ChildPrograms, ProgramToStart
from samovar.processes.given_variables import allowed
from samovar.tools import pinned
from samovar.tools.mcp_asking import AsksBack

if TYPE_CHECKING:
    from mcp import Client

NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
MOST_PAGES = 20
MOST_LISTED = 1000
"""Tools of one server."""
MOST_DESCRIPTION_CHARS = 8_000
MOST_PARAMETERS_CHARS = 64_000
MOST_RESULT_CHARS = 2_000_000
CLOSED = -32000
"""What the package says of a connection that is closed."""
CONNECT_S = 60.0
"""How long a server may take to start, and to say what it has."""


@dataclass(slots=True)
class Served:
    """A server that is spoken to. Changed by nobody."""

    server: DeclaredServer
    client: Client
    child: ChildProgram | None
    """The program; None for one that is reached by a URL."""
    is_gone: anyio.Event
    """Set when the program says nothing any more."""
    back: AsksBack
    """What it asks while it is called."""

    async def list_tools(self) -> ListedTools:
        """All that it has. Raises `ToolError`."""
        found: dict[str, ToolDefinition] = {}
        left_out: list[str] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            page = await self.client.list_tools(cursor=cursor)
            for one in page.tools:
                if not NAME.fullmatch(one.name) or len(found) >= MOST_LISTED or one.name in found:
                    left_out.append(one.name[:200])
                    continue
                found[one.name] = self._definition(one.name, one.description or "", one.input_schema)
            cursor = page.next_cursor
            if not cursor:
                break
        definitions = tuple(found[name] for name in sorted(found))
        changed = pinned.changed(self.server, definitions)
        if not changed:
            pinned.keep(self.server, definitions)
        known = pinned.before(self.server) if changed else {}
        before = {name: known[name] for name in changed if name in known}
        return ListedTools(definitions=definitions, changed=changed, before=before, left_out=tuple(left_out))

    def _definition(self, name: str, description: str, schema: object) -> ToolDefinition:
        parameters = json.dumps(schema, ensure_ascii=False)
        if len(parameters) > MOST_PARAMETERS_CHARS:
            raise ToolError(
                f"The tool {name!r} of the server {self.server.name!r} has a schema of {len(parameters):,} "
                f"characters; the most is {MOST_PARAMETERS_CHARS:,}.",
                tool=f"{self.server.name}.{name}",
            )
        if len(description) > MOST_DESCRIPTION_CHARS:
            description = description[:MOST_DESCRIPTION_CHARS] + " […]"
        return ToolDefinition(name=name, description=description, parameters=parameters)

    async def call(self, call: ServerCall) -> ToolResult:
        """Has it use a tool. What takes too long is given up. Raises `ToolError`, what ends the run, and as
        the package does."""
        from mcp.shared.exceptions import MCPError

        timeout_s, may_ask = self.server.timeout_s, self.server.sampling or self.server.elicitation
        with anyio.move_on_after(timeout_s) as limit:
            try:
                async with self.back.answered(call.answers, limit, timeout_s) if may_ask else nullcontext():
                    result = await self.client.call_tool(call.tool, dict(call.arguments))
            except MCPError as error:
                if self.is_gone.is_set() or error.error.code == CLOSED:
                    raise
                return failed(f"The server says: {error}")
        if limit.cancelled_caught:
            return failed(f"It took longer than {lasting(timeout_s)}, and was given up.")
        text = _text_of(result.content)
        value = result.structured_content
        if value is not None and not text:
            text = json.dumps(value, ensure_ascii=False)
        if len(text) > MOST_RESULT_CHARS:
            text = f"{text[:MOST_RESULT_CHARS]}\n[… the result is longer; the rest is left out …]"
        return ToolResult(text=text or "It gave nothing back.", value=value, is_error=bool(result.is_error))


def _text_of(content: Sequence[Any]) -> str:
    """What a result says as text; what is not text is named and measured."""
    pieces: list[str] = []
    left = MOST_RESULT_CHARS
    for one in content:
        if left <= 0:
            break
        kind = getattr(one, "type", "")
        if kind == "text":
            piece = str(one.text)
        elif kind in ("image", "audio"):
            piece = f"[{kind} {one.mime_type}, {len(one.data):,} characters of base64: not shown]"
        elif kind == "resource_link":
            piece = f"[resource {one.uri}]"
        else:
            resource = getattr(one, "resource", None)
            text = getattr(resource, "text", None)
            piece = f"[resource {getattr(resource, 'uri', '')}: not text]" if text is None else str(text)
        pieces.append(piece)
        left -= len(piece)
    return "\n".join(pieces)


@asynccontextmanager
async def connected(server: DeclaredServer, run: str, folder: Path) -> AsyncIterator[Served]:
    """A server, started if it is a program, and greeted. Raises `ToolError`."""
    try:
        from mcp import Client
    except ImportError as error:
        message = f"The server {server.name!r} needs the package `mcp`: {install_command('samovar[mcp]')}"
        raise ToolError(message, tool=server.name) from error
    logging.getLogger("mcp").setLevel(logging.CRITICAL)  # what a server does wrong is said in our errors
    if bool(server.command) == bool(server.url):
        message = f"{server.table} needs a `command` or a `url`, and not both."
        raise ToolError(message, tool=server.name)
    back = AsksBack()
    with anyio.move_on_after(CONNECT_S) as limit:  # around the client, whose scopes end before it
        is_gone = anyio.Event()
        async with _transport(server, run, folder, is_gone) as (transport, child):
            try:
                async with Client(
                    transport,
                    cache=None,
                    sampling_callback=back.asked if server.sampling else None,
                    elicitation_callback=back.asked if server.elicitation else None,
                ) as client:
                    limit.deadline = float("inf")
                    yield Served(server=server, client=client, child=child, is_gone=is_gone, back=back)
                    return
            except Exception as error:
                if limit.deadline == float("inf") or child is None:
                    raise
                last = await child.last_words()  # of a program that is no server
                raise ToolError(f"The server {server.name!r} is gone ({last}).", tool=server.name) from error
    if limit.cancelled_caught:
        message = f"The server {server.name!r} did not greet within {lasting(CONNECT_S)}."
        raise ToolError(message, tool=server.name)


@asynccontextmanager
async def _transport(
    server: DeclaredServer, run: str, folder: Path, is_gone: anyio.Event
) -> AsyncIterator[tuple[Any, ChildProgram | None]]:
    if server.url:
        async with _http(server) as transport:
            yield transport, None
        return
    async with ChildPrograms.open(run) as children:
        started = await children.start(
            ProgramToStart(
                words=server.command,
                environment=allowed(server.environment),
                folder=folder / server.folder if server.folder else folder,
            )
        )
        yield _lines(started, is_gone), started


@asynccontextmanager
async def _http(server: DeclaredServer) -> AsyncIterator[Any]:
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    headers = {name: _secret(server, name, where) for name, where in server.headers.items()}
    asks = server.sampling or server.elicitation  # then it is silent for as long as a person or a model takes
    timeout = httpx2.Timeout(CONNECT_S, read=None if asks else max(CONNECT_S, server.timeout_s))
    async with httpx2.AsyncClient(headers=headers, timeout=timeout) as client:
        yield streamable_http_client(str(server.url), http_client=client)


def _secret(server: DeclaredServer, name: str, where: str) -> str:
    """What a header is, of where the settings say that it is. Raises `ToolError`, without the value."""
    try:
        return read_key(where)
    except NoKeyError as error:
        message = f"The header {name} of {server.table}: {error}."
        raise ToolError(message, tool=server.name) from None


@asynccontextmanager
async def _lines(child: ChildProgram, is_gone: anyio.Event) -> AsyncIterator[tuple[Any, Any]]:
    """A program as the package's transport: messages as lines of JSON, none longer than `children` allows."""
    from mcp.shared.message import SessionMessage
    from mcp_types import jsonrpc_message_adapter

    into, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, out = anyio.create_memory_object_stream[SessionMessage](0)

    async def receive() -> None:
        async with into:
            try:
                while (line := await child.receive()) is not None:
                    try:
                        message = jsonrpc_message_adapter.validate_python(line, by_name=False)
                    except ValueError:  # no message of the protocol
                        continue
                    await into.send(SessionMessage(message))
            except (ChildProgramError, anyio.ClosedResourceError, anyio.BrokenResourceError):
                return  # whoever waits for an answer hears that there is nobody any more
            finally:
                is_gone.set()

    async def send() -> None:
        async with out:
            try:
                async for one in out:
                    await child.send(one.message.model_dump(by_alias=True, exclude_unset=True, mode="json"))
            except (ChildProgramError, anyio.ClosedResourceError, anyio.BrokenResourceError):
                await into.aclose()

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(receive)
            tasks.start_soon(send)
            try:
                yield read, write
            finally:
                tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            for stream in (read, write, into, out):
                await stream.aclose()
            await child.end()
