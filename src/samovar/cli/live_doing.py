"""What a running state is at, in a few words: loading, evaluating, thinking, or what it says.

Above: `live.py`. Below: the events.
"""

from __future__ import annotations

from samovar.errors.counting import counted
from samovar.generation import ModelFetching, ModelLoading, PromptEvaluating, TextGenerated
from samovar.memory import in_words

THINKING = "thinking, "
"""What stands before the count of tokens while a model thinks."""


def doing_of(event: TextGenerated | PromptEvaluating | ModelLoading | ModelFetching, before: str) -> str:
    """What a running state is at."""
    if isinstance(event, TextGenerated) and event.kind == "reasoning":
        thought = int(before.removeprefix(THINKING).split()[0]) if before.startswith(THINKING) else 0
        return f"{THINKING}{counted(thought + (len(event.tokens) or 1), 'token')}"
    if isinstance(event, TextGenerated):
        said = "" if before.startswith(("loading ", "evaluating ", "fetching ", THINKING)) else before
        return " ".join((said + event.piece[-400:]).splitlines())[-400:]
    if isinstance(event, PromptEvaluating):
        left = event.total_tokens - event.reused_tokens
        return (
            f"evaluating {event.evaluated_tokens} of {counted(left, 'token')} ({event.reused_tokens} reused)"
        )
    if isinstance(event, ModelLoading):
        return f"loading {event.model} {bar(event.fraction)} {event.fraction:.0%}"
    if event.total_bytes:
        fraction = event.done_bytes / event.total_bytes
        sizes = f"{in_words(event.done_bytes)} of {in_words(event.total_bytes)}"
        return f"fetching {event.model} {bar(fraction)} {sizes}"
    return f"fetching {event.model} {in_words(event.done_bytes)}"


def bar(fraction: float, width: int = 20) -> str:
    """`━━━━────`"""
    done = round(width * min(1.0, max(0.0, fraction)))
    return "━" * done + "─" * (width - done)
