"""What must be known before a run that may use tools, or that may cost only so much.

Above: `prepare.py`. Below: the settings, which declare servers and prices; the table of executors. An unknown
price is not zero: with a limit of the cost, whoever answers must have one.
"""

from __future__ import annotations

from collections.abc import Iterator

from samovar.actions.prompt import ExecutePrompt
from samovar.config import Settings
from samovar.config.declared import DeclaredExecutor
from samovar.errors import NotFoundError, Place, SamovarError, UsageError
from samovar.executors.table import LOCAL, declared_executor, member, names_of
from samovar.language.tool_names import read_tools
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.preflight.asked import asked
from samovar.running.runner import RunnerSettings
from samovar.tools.permission import check_rules
from samovar.tools.table import check_servers, source_names


def check_limits(workflow: Workflow, library: Library, settings: Settings, run: RunnerSettings) -> None:
    """Raises `UsageError` for a price that is not known where it matters, and `NotFoundError` for a source
    of tools that nobody has declared."""
    for error, place in unknown_costs(workflow, library, settings, run):
        error.place, error.exit_status = place, 2  # nothing was run
        raise error
    sources = [*_sources(tuple(library.tree(workflow)))]
    if sources:
        check_rules(settings.allow)
        check_servers(settings)
    for source in sources:
        if source not in source_names(settings):
            raise NotFoundError("source of tools", source, source_names(settings))


def unknown_costs(
    workflow: Workflow, library: Library, settings: Settings, run: RunnerSettings
) -> Iterator[tuple[SamovarError, Place]]:
    """Executors that are sure to be asked below a limit of the cost, and whose cost nobody knows."""
    limited = [one for one in library.tree(workflow) if one.limits.cost is not None]
    below = {each.identity for one in limited for each in library.tree(one)}
    seen: set[str] = set()
    for prompt in asked(workflow, library, run) if limited else ():
        text = prompt.executor(settings)
        if text is None or prompt.workflow.identity not in below:
            continue
        for name in names_of(text):
            try:
                way = _way_to_know(declared_executor(name, settings), settings)
            except (NotFoundError, UsageError):  # which is said elsewhere
                continue
            if way is not None and name not in seen:
                seen.add(name)
                message = (
                    f"{limited[0].name} may cost only so much (limits: cost), and what the executor {name!r} "
                    f"costs is not known. {way}, or take the limit away."
                )
                yield UsageError(message), prompt.place_of_executor


def _way_to_know(declared: DeclaredExecutor, settings: Settings) -> str | None:
    """How its cost would be known; None if it is."""
    kind = member(declared.name, settings)
    if declared.kind == LOCAL or kind.abilities.cost:
        return None
    if "input_price" not in kind.takes:
        return f"Let another one answer: those of kind {declared.kind} tell nobody"
    missing = [one for one in ("input_price", "output_price") if getattr(declared, one) is None]
    return f"Give {declared.table} an {' and an '.join(missing)}" if missing else None


def _sources(tree: tuple[Workflow, ...]) -> Iterator[str]:
    """Of the tools that prompts name, as far as that is written."""
    for one in tree:
        for _, action in one.actions():
            value = action.using.of("tools") if isinstance(action, ExecutePrompt) else None
            if value is not None and value.is_literal:
                yield from (pattern.partition(".")[0] for pattern in read_tools(value.given))
