"""What must be known before a run that may use tools, or that may cost only so much.

Above: `prepare.py`. Below: the settings, which declare servers and prices; the table of executors. An unknown
price is not zero: with a limit of the cost, whoever answers must have one.
"""

from __future__ import annotations

from collections.abc import Iterator

from samovar.actions.prompt import ExecutePrompt
from samovar.config import Settings
from samovar.errors import NotFoundError, UsageError
from samovar.executors.table import LOCAL, declared_executor, names_of
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
    tree = tuple(library.tree(workflow))
    if any(one.limits.cost is not None for one in tree):
        texts = (prompt.executor(settings) for prompt in asked(workflow, library, run))
        for name in dict.fromkeys(name for text in texts if text for name in names_of(text)):
            declared = declared_executor(name, settings)
            if declared.kind != LOCAL and None in (declared.input_price, declared.output_price):
                raise UsageError(
                    f"{workflow.name} may cost only so much (limits: cost), and what the executor {name!r} "
                    f"costs is not known. Give [executors.{name}] an input_price and an output_price, or "
                    "take the limit away."
                )
    sources = [*_sources(tree)]
    if sources:
        check_rules(settings.allow)
        check_servers(settings)
    for source in sources:
        if source not in source_names(settings):
            raise NotFoundError("source of tools", source, source_names(settings))


def _sources(tree: tuple[Workflow, ...]) -> Iterator[str]:
    """Of the tools that prompts name, as far as that is written."""
    for one in tree:
        for _, action in one.actions():
            value = action.using.of("tools") if isinstance(action, ExecutePrompt) else None
            if value is not None and value.is_literal:
                yield from (pattern.partition(".")[0] for pattern in read_tools(value.given))
