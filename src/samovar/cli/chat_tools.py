"""The tools of a conversation: what its model may call, read and checked before anything is asked.

Above: `chatting.py`, `chat_commands.py`. Below: the table of tools, rules, the executors' table.
"""

from __future__ import annotations

from collections.abc import Sequence

from samovar.config import Settings
from samovar.errors import NotFoundError, UsageError
from samovar.executors.abilities import cannot
from samovar.executors.table import member, names_of
from samovar.language.tool_names import read_tools
from samovar.tools.permission import check_rules
from samovar.tools.table import KNOWN, check_servers, nearby, source_names


def read_patterns(text: str) -> tuple[str, ...]:
    """Names and patterns, with commas between them; none for `none`. Raises `UsageError`."""
    try:
        return read_tools(text)
    except ValueError as error:
        raise UsageError(f"The tools cannot be {text[:80]!r}: expected {error}.") from None


def check_tools(patterns: Sequence[str], executor: str | None, settings: Settings) -> None:
    """Raises `NotFoundError` for a source that there is not, `UsageError` for who cannot use tools."""
    if not patterns:
        return
    check_rules(settings.allow)
    check_servers(settings)
    for pattern in patterns:
        near = nearby(pattern, source_names(settings))
        if near is not None:
            raise NotFoundError("tool", pattern, near)
    for name in names_of(executor or settings.executor):
        if words := cannot(member(name, settings).abilities, "tools"):
            raise UsageError(f"The executor {name!r} cannot {words}.")


def what_there_is(settings: Settings) -> list[str]:
    """The tools that are always there, and a pattern for each source of others."""
    fixed = [name for names in KNOWN.values() for name in names]
    return [*fixed, *(f"{name}.*" for name in source_names(settings) if name not in KNOWN)]
