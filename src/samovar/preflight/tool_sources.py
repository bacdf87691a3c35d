"""What `samovar check` says of tools beside the settings: undeclared servers, rules that allow nothing.

Above: `samovar check`. Below: the table of tools, rules. What only this machine lacks is a warning: a file
may be checked where its servers are not declared.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from samovar.actions.prompt import ExecutePrompt
from samovar.config import Settings, source_of
from samovar.errors import Fault, Place, SamovarError, nearest
from samovar.files import read_text
from samovar.language.tool_names import read_tools
from samovar.language.workflow import Workflow
from samovar.tools.rules import why_never
from samovar.tools.table import source_names


def names_tools(workflow: Workflow) -> bool:
    """Whether any of its prompts may call some."""
    return any(isinstance(one, ExecutePrompt) and one.using.has_tools for _, one in workflow.actions())


def undeclared_servers(workflow: Workflow, settings: Settings) -> Iterator[Fault]:
    """Tools of servers that the settings do not declare, as far as it is written which tools there are."""
    known = source_names(settings)
    for _, action in workflow.actions():
        value = action.using.of("tools") if isinstance(action, ExecutePrompt) else None
        if value is None or not value.is_literal:
            continue
        try:
            patterns = read_tools(value.given)
        except ValueError:  # which is a fault of the line
            continue
        for source in dict.fromkeys(pattern.partition(".")[0] for pattern in patterns):
            if source not in known:
                message = (
                    f"The settings declare no server {source!r}.{nearest(source, known)} A table "
                    f"[servers.{source}] in your config.toml declares one."
                )
                yield Fault(code="unknown-server", message=message, place=value.place, severity="warning")


def idle_rules(settings: Settings) -> tuple[Fault, ...]:
    """Rules in `allow` that can never allow anything, where they are written."""
    found = ((rule, why_never(rule, settings)) for rule in settings.allow)
    return tuple(
        Fault(
            code="idle-rule",
            message=f"The rule {rule!r} in `allow` allows nothing. {why}",
            place=_place_of(rule),
            severity="warning",
        )
        for rule, why in found
        if why is not None
    )


def _place_of(rule: str) -> Place:
    """Where a rule is written: in the file of settings that counts, or in the variable."""
    source = source_of("allow", {}) or "allow"
    path = Path(source)
    try:
        lines = read_text(path).splitlines()
    except SamovarError:
        return Place(path=path, line=1)
    for number, line in enumerate(lines, start=1):
        for quote in "\"'":
            if (at := line.find(f"{quote}{rule}{quote}")) >= 0:
                return Place(path=path, line=number, column=at + 1)
    return Place(path=path, line=1)
