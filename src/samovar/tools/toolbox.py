"""The tools of one visit of a run: finds those that patterns name, in their sources, and has them used.

Above: the contexts of visits. Below: the table and its members.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import anyio

from samovar.actions.base import ActionContext
from samovar.actions.outside import Outside
from samovar.actions.reached import VisitOf
from samovar.actions.tools import OfferedTool, Toolbox, ToolResult, failed
from samovar.config.declared import DeclaredServer
from samovar.errors import NotFoundError, ToolError
from samovar.errors.counting import counted
from samovar.errors.durations import lasting
from samovar.tools.base import Here
from samovar.tools.permission import check_rules
from samovar.tools.table import source_names, sources

MOST_TOOLS = 128
"""That one prompt may offer."""
MOST_DEFINITIONS_CHARS = 400_000
"""Of all that a prompt offers."""
LONGEST_CALL_S = 600.0
"""How long one call may take, whatever it does; sources may have shorter limits of their own."""

MakeToolbox = Callable[[Outside, VisitOf], Toolbox[ActionContext]]


class ToolsOfVisit:
    """See `actions.tools.Toolbox`."""

    def __init__(self, outside: Outside, at: VisitOf) -> None:
        self._outside, self._at = outside, at

    async def offered(self, patterns: Sequence[str], context: ActionContext) -> tuple[OfferedTool, ...]:
        here = self._here(context)
        check_rules(context.settings.allow)
        known = sources(context.settings, self._stand_ins(patterns, context))
        for pattern in patterns:
            if pattern.partition(".")[0] not in known:
                near = [f"{name}.*" for name in known]
                raise NotFoundError("tool", pattern, near, place=here.place)
        found: list[OfferedTool] = []
        for name, source in known.items():
            own = [one for one in patterns if one.partition(".")[0] == name]
            if own:
                found += _matching(own, await source.tools(own, here))
        _check_size(found, here)
        return tuple(found)

    def _here(self, context: ActionContext) -> Here:
        return Here(context=context, outside=self._outside, at=self._at)

    def _stand_ins(self, patterns: Sequence[str], context: ActionContext) -> list[DeclaredServer]:
        known = source_names(context.settings)
        names = dict.fromkeys(one.partition(".")[0] for one in patterns)
        found = (self._outside.servers.stand_in(name) for name in names if name not in known)
        return [one for one in found if one is not None]

    async def call(
        self, tool: OfferedTool, arguments: Mapping[str, Any], context: ActionContext
    ) -> ToolResult:
        source, _, name = tool.name.partition(".")
        member = sources(context.settings, self._stand_ins([tool.name], context))[source]
        with anyio.move_on_after(LONGEST_CALL_S) as limit:
            result = await member.call(name, arguments, self._here(context))
        if limit.cancelled_caught:
            return failed(f"It took longer than {lasting(LONGEST_CALL_S)}, and was given up.")
        return result


def _check_size(found: Sequence[OfferedTool], here: Here) -> None:
    chars = sum(
        len(one.definition.description) + len(one.definition.parameters) + len(one.name) for one in found
    )
    if len(found) > MOST_TOOLS or chars > MOST_DEFINITIONS_CHARS:
        raise ToolError(
            f"The prompt would offer {counted(len(found), 'tool')} with {chars:,} characters; the most is "
            f"{MOST_TOOLS} with {MOST_DEFINITIONS_CHARS:,}. Name those it needs.",
            tool=found[0].name,
            place=here.place,
        )


def _matching(patterns: Sequence[str], tools: Sequence[OfferedTool]) -> list[OfferedTool]:
    """Those of a source that its patterns name. Raises `NotFoundError` for one that names none."""
    for pattern in patterns:
        if not any(fnmatchcase(one.name, pattern) for one in tools):
            raise NotFoundError("tool", pattern, [one.name for one in tools])
    return [one for one in tools if any(fnmatchcase(one.name, pattern) for pattern in patterns)]
