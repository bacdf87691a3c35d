"""Workflows of prompts, as Markdown, on a local model that is loaded once.

For programs: `samovar.open()`, or `samovar.open_blocking()` without an event loop (docs/python.md). Nothing
is imported before it is used.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` itself is not imported either
if TYPE_CHECKING:
    from typing import Any

    from samovar.errors import (
        BudgetError,
        ClosedError,
        ContextError,
        CutOffError,
        FaultsError,
        ModelError,
        NotFoundError,
        SamovarError,
        UntrustedError,
        UsageError,
    )
    from samovar.generation import FinishReason, Message, MessagePart, TokenCounts
    from samovar.language.workflow import Workflow
    from samovar.python.answers import AnswerOptions
    from samovar.python.api import Samovar
    from samovar.python.blocking import BlockingSamovar, BlockingSession, BlockingStream, open_blocking
    from samovar.python.figures import Statistics
    from samovar.python.open_settings import OpenSettings
    from samovar.python.opening import open
    from samovar.python.run_options import RunLimits, RunOptions
    from samovar.python.runs import Run, RunHandle
    from samovar.python.sessions import Session
    from samovar.serving.turn import AnswerStream, Turn

__version__ = "0.1.0"

_HOMES = {
    "samovar.python.answers": ("AnswerOptions",),
    "samovar.python.api": ("Samovar",),
    "samovar.python.figures": ("Statistics",),
    "samovar.python.open_settings": ("OpenSettings",),
    "samovar.python.opening": ("open",),
    "samovar.python.run_options": ("RunLimits", "RunOptions"),
    "samovar.python.runs": ("Run", "RunHandle"),
    "samovar.python.sessions": ("Session",),
    "samovar.python.blocking": ("BlockingSamovar", "BlockingSession", "BlockingStream", "open_blocking"),
    "samovar.errors": (
        "BudgetError",
        "ClosedError",
        "ContextError",
        "CutOffError",
        "FaultsError",
        "ModelError",
        "NotFoundError",
        "SamovarError",
        "UntrustedError",
        "UsageError",
    ),
    "samovar.generation": ("FinishReason", "Message", "MessagePart", "TokenCounts"),
    "samovar.language.workflow": ("Workflow",),
    "samovar.serving.turn": ("AnswerStream", "Turn"),
}
"""Where each public name is; imported with its first use."""

__all__ = [
    "AnswerOptions",
    "AnswerStream",
    "BlockingSamovar",
    "BlockingSession",
    "BlockingStream",
    "BudgetError",
    "ClosedError",
    "ContextError",
    "CutOffError",
    "FaultsError",
    "FinishReason",
    "Message",
    "MessagePart",
    "ModelError",
    "NotFoundError",
    "OpenSettings",
    "Run",
    "RunHandle",
    "RunLimits",
    "RunOptions",
    "Samovar",
    "SamovarError",
    "Session",
    "Statistics",
    "TokenCounts",
    "Turn",
    "UntrustedError",
    "UsageError",
    "Workflow",
    "__version__",
    "open",
    "open_blocking",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(module), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
