"""The contract of this shelf: a source of tools, whose name stands before the dot of each of them.

Above: `toolbox.py`, which offers and calls; the table. Below: the contexts of actions, what a run reaches.
A source gives the same definitions in the same order each time it is asked, so that a model has to read them
only once. Whatever it does outside goes through the visit's context or `Outside.effect`. `files.py` is the
one to read first.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from samovar.actions.base import ActionContext
from samovar.actions.effects import OutsideIntent
from samovar.actions.outside import Outside
from samovar.actions.reached import VisitOf
from samovar.actions.tools import OfferedTool, ToolResult
from samovar.errors import Place
from samovar.generation import ToolDefinition

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """The visit for which tools are offered and called."""

    context: ActionContext
    outside: Outside
    at: VisitOf

    @property
    def place(self) -> Place:
        """Of the file whose prompt it is."""
        return Place(path=self.context.workflow.path, line=1)

    def answer(self, text: str) -> str:
        """The option that gives this answer to a question of the visit, before it is asked."""
        return shlex.join(("--answer", f"{self.at.path or 'STATE'}={text}"))

    async def effect(self, intent: OutsideIntent[T]) -> T:
        return await self.outside.effect(intent, self.at)


class Source(Protocol):
    """Where tools are from. Of one run, asked by several visits at once."""

    async def tools(self, patterns: Sequence[str], here: Here) -> Sequence[OfferedTool]:
        """All that patterns may name, with the source's name before their own. Raises `ToolError`."""
        ...

    async def call(self, name: str, arguments: Mapping[str, Any], here: Here) -> ToolResult:
        """Has one used. `name`: its own; the arguments have the form of its schema.

        What it cannot do is a result that says so. Raises `ToolError` if the source itself has failed, and
        other `SamovarError`s for what the model may be told.
        """
        ...


def tool(
    name: str,
    description: str,
    fields: Mapping[str, Mapping[str, Any]],
    *,
    optional: tuple[str, ...] = (),
    is_read: bool = False,
) -> OfferedTool:
    """A tool of this project. `fields`: the schema of each argument."""
    schema = {
        "type": "object",
        "properties": fields,
        "required": [one for one in fields if one not in optional],
        "additionalProperties": False,
    }
    parameters = json.dumps(schema, ensure_ascii=False)
    return OfferedTool(
        definition=ToolDefinition(name=name, description=description, parameters=parameters), is_read=is_read
    )
