"""The tools of a server that the settings declare, as `SERVER.TOOL`.

Above: the table. Below: the servers of a run. Each call is asked about, unless a rule `tool:SERVER.TOOL`
allows it: what a server says of its own tools, as that one only reads, is not believed. A definition that is
not as it was when the server was used before is asked about too, before a model reads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import unified_diff
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

from samovar.actions.base import brief
from samovar.actions.effects import AcceptsTools, CallsTool, ListsTools
from samovar.actions.question import Asking, Filled
from samovar.actions.reached import ListedTools, ServerCall
from samovar.actions.tools import OfferedTool, ToolResult
from samovar.config.declared import DeclaredServer
from samovar.errors import ToolError
from samovar.generation import ToolDefinition
from samovar.tools.answering import AnsweringServer
from samovar.tools.base import Here
from samovar.tools.permission import ask, may_call

ACCEPT, REFUSE = "accept", "refuse"
SHOWN = 10
"""Changed tools that are shown."""
SHOWN_LINES = 30
"""Of the changes of each."""
LINE_CHARS = 200


class ServerTools:
    """See `base.Source`."""

    def __init__(self, server: DeclaredServer) -> None:
        self._server = server

    async def tools(self, patterns: Sequence[str], here: Here) -> Sequence[OfferedTool]:
        listed = await here.effect(ListsTools(server=self._server))
        if listed.left_out:
            names = ", ".join(brief(name, 40) for name in listed.left_out[:SHOWN])
            here.context.warn(f"The server {self._server.name!r} has tools that no model can call: {names}.")
        if listed.changed:
            await self._ask_about(listed, here)
        found = [
            OfferedTool(definition=replace(one, name=f"{self._server.name}.{one.name}"))
            for one in sorted(listed.definitions, key=lambda one: one.name)
        ]
        return found + list(_more(patterns, found)) if listed.has_more else found

    async def _ask_about(self, listed: ListedTools, here: Here) -> None:
        """Raises `ToolError` unless what has changed is accepted. `--yes` does not: it is about trust.

        What has changed is shown, but it is in no error, which a prompt may read.
        """
        name, lines = self._server.name, changes(listed)
        parts: list[str | Filled] = [f"The server {name!r} has tools that are not as they were:"]
        for line in lines:
            parts += ["\n  ", Filled(line)]
        parts.append("\nA model reads what they say of themselves. ")
        reply = await here.context.ask_user(
            Asking(kind="choice", parts=tuple(parts), choices=(ACCEPT, REFUSE))
        )
        if reply is None or reply.text != ACCEPT:
            how = f"To accept them: {here.answer(ACCEPT)}"
            if reply is None:
                said = "\n  ".join(lines)
                here.context.warn(
                    f"The server {name!r} has tools that are not as they were:\n  {said}\n{how}"
                )
            why = "nobody can be asked" if reply is None else "they were refused"
            shown = ", ".join(listed.changed[:SHOWN])
            raise ToolError(
                f"Tools of the server {name!r} are not as they were, and {why}: {shown}. {how}",
                tool=f"{name}.{listed.changed[0]}",
                place=here.place,
            )
        await here.effect(AcceptsTools(server=self._server, listed=listed))

    async def call(self, name: str, arguments: Mapping[str, Any], here: Here) -> ToolResult:
        whole = f"{self._server.name}.{name}"
        if not may_call(here.context.settings.allow, whole):
            given = json.dumps(arguments, ensure_ascii=False)
            no = await ask(here, f"call {whole}", given, f"tool:{whole}")
            if no is not None:
                return no
        answers = AnsweringServer(self._server, here)
        call = ServerCall(server=self._server, tool=name, arguments=arguments, answers=answers)
        return await here.effect(CallsTool(call=call))


def changes(listed: ListedTools) -> list[str]:
    """What has changed, line by line: of each tool what it was, with `-`, and what it is, with `+`."""
    new = {one.name: one for one in listed.definitions}
    lines: list[str] = []
    for name in listed.changed[:SHOWN]:
        was = listed.before.get(name)
        lines.append(f"{name} is new:" if was is None else f"{name} has changed:")
        old = [] if was is None else _lines_of(was)
        found = [
            line if len(line) <= LINE_CHARS else f"{line[: LINE_CHARS - 1]}…"
            for line in islice(unified_diff(old, _lines_of(new[name]), n=1, lineterm=""), 2, None)
            if not line.startswith("@@")  # what is in a definition has a sign or a blank before it
        ]
        lines += found[:SHOWN_LINES]
        if len(found) > SHOWN_LINES:
            lines.append(f"… {len(found) - SHOWN_LINES} more lines")
    if len(listed.changed) > SHOWN:
        lines.append(f"and {len(listed.changed) - SHOWN} more tools")
    return lines


def _lines_of(definition: ToolDefinition) -> list[str]:
    """A definition as a person reads it."""
    try:
        schema = json.dumps(json.loads(definition.parameters), ensure_ascii=False, indent=1)
    except (ValueError, RecursionError):
        schema = definition.parameters
    return [*definition.description.splitlines(), *schema.splitlines()]


def _more(patterns: Sequence[str], found: Sequence[OfferedTool]) -> Iterator[OfferedTool]:
    """One for each pattern that names none of those found."""
    for pattern in patterns:
        if not any(fnmatchcase(one.name, pattern) for one in found):
            name = pattern.replace("*", "any").replace("?", "x")
            yield OfferedTool(
                definition=ToolDefinition(name=name, description="", parameters='{"type": "object"}')
            )
