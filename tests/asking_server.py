"""A server of tools that asks the person and the model, for tests; with `--legacy` in the older era."""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Annotated, Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.resolve import Elicit, Resolve, Sample
from mcp.shared.exceptions import MCPError
from mcp_types import SamplingMessage, TextContent
from pydantic import BaseModel

server = MCPServer("asking")


class Form(BaseModel):
    """What is to be filled in."""

    name: str
    count: int
    sure: bool = False


def form(context: Context) -> Elicit[Form]:
    return Elicit("Who are \x1b[31myou?", Form)


def text(context: Context) -> Sample:
    message = SamplingMessage(role="user", content=TextContent(type="text", text="Write about tea."))
    return Sample([message], max_tokens=5000, system_prompt="Be brief.", stop_sequences=["STOP"])


@server.tool()
async def fills(filled: Annotated[Form, Resolve(form)]) -> str:
    """Asks the person."""
    return f"{filled.name} {filled.count} {filled.sure}"


@server.tool()
async def writes(written: Annotated[Any, Resolve(text)]) -> str:
    """Asks the model."""
    return f"{written.content.text} ({written.stop_reason}, {written.model})"


@server.tool()
async def writes_often(context: Context, times: int) -> str:
    """Asks the model again and again, and says what it heard."""
    heard: list[str] = []
    message = SamplingMessage(role="user", content=TextContent(type="text", text="More."))
    for _ in range(times):
        try:
            said = await context.session.create_message([message], max_tokens=9)
            heard.append(said.content.text)
        except MCPError as error:
            heard.append(f"{error.error.code}: {error.error.message}")
    return "; ".join(heard)


@server.tool()
async def asks_once(context: Context) -> str:
    """Asks the person, and says what it heard."""
    try:
        return str(await context.elicit("Your name?", Form))
    except MCPError as error:
        return f"{error.error.code}: {error.error.message}"


def only_older() -> None:
    """What asks for the newer era is refused before the server sees it, as servers of the older era do."""
    ours, theirs = os.pipe()
    lines = sys.stdin.buffer

    def pass_on() -> None:
        with os.fdopen(theirs, "wb", buffering=0) as server_input:
            for line in lines:
                request = json.loads(line)
                if request.get("method") == "server/discover":
                    error = {"code": -32601, "message": "Method not found"}
                    answer = {"jsonrpc": "2.0", "id": request["id"], "error": error}
                    os.write(1, json.dumps(answer).encode() + b"\n")
                else:
                    server_input.write(line)

    threading.Thread(target=pass_on, daemon=True).start()
    sys.stdin = os.fdopen(ours, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--legacy"]:
        only_older()
    server.run()
