"""The tools that a prompt's model may call, as actions see them: which are offered, and what a call gives.

Above: `tool_rounds.py`, which asks and calls; the shelf of tools, which knows where each is from. Below: the
values of messages. What a tool gives back is data: it can ask for nothing that was not offered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar

from samovar.generation import ToolDefinition

C = TypeVar("C", contravariant=True)

ROUNDS = 16
"""How often a prompt may ask for tools if nobody says how often."""
MOST_ROUNDS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What a call gave back."""

    text: str
    """For the model."""
    value: object = None
    """The same as data, if the tool has it so."""
    is_error: bool = False
    """The tool could not do it; the text says why."""
    is_refused: bool = False
    """Nothing was done, since it is not allowed."""


@dataclass(frozen=True, kw_only=True)
class OfferedTool:
    """A tool that is offered."""

    definition: ToolDefinition
    is_read: bool = False
    """It changes nothing, so that it may be called together with others."""

    @property
    def name(self) -> str:
        return self.definition.name

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """Of its arguments."""
        read = json.loads(self.definition.parameters)
        return read if isinstance(read, dict) else {}


class Toolbox(Protocol[C]):
    """The tools that there are for one visit of a run, given its `ActionContext`."""

    async def offered(self, patterns: Sequence[str], context: C) -> tuple[OfferedTool, ...]:
        """Those that patterns name, each once, in an order that is the same each time.

        Servers that are named are started first. Raises `NotFoundError` for a pattern that names none, and
        `ToolError` for a source that cannot be used.
        """
        ...

    async def call(self, tool: OfferedTool, arguments: Mapping[str, Any], context: C) -> ToolResult:
        """Has a tool do something; its arguments have the form of its schema.

        What fails, is refused or takes too long is a result that says so.
        """
        ...


class NoTools:
    """See `Toolbox`: there are none."""

    async def offered(self, patterns: Sequence[str], context: object) -> tuple[OfferedTool, ...]:
        return ()

    async def call(self, tool: OfferedTool, arguments: Mapping[str, Any], context: object) -> ToolResult:
        return ToolResult(text="There are no tools here.", is_error=True)


def refused(text: str) -> ToolResult:
    """What is said to a model of something that was not done."""
    return ToolResult(text=text, is_error=True, is_refused=True)


def failed(text: str) -> ToolResult:
    """What is said to a model of something that could not be done."""
    return ToolResult(text=text, is_error=True)
