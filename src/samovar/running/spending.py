"""What a run has used of its limits: transitions and tokens, for the whole of it and for each sub-workflow.

Above: the runner. Below: nothing. What a sub-workflow spends is spent by everything above it too. Mutable:
`spend` is the only thing that changes it.
"""

from __future__ import annotations

from samovar.errors import LimitError
from samovar.language.workflow import Limits, Workflow


class PastLimitError(LimitError):
    """`spending` is the one that was exceeded: of the run, or of one sub-workflow."""

    def __init__(self, limit: str, message: str, spending: Spending) -> None:
        super().__init__(limit, message)
        self.spending = spending


class Spending:
    """What one workflow and all below it have used of its limits."""

    def __init__(self, limits: Limits, above: Spending | None = None) -> None:
        self.limits, self.above = limits, above
        self.transitions = self.tokens = 0

    @property
    def outermost(self) -> Spending:
        """That of the whole run."""
        return self if self.above is None else self.above.outermost

    def spend(self, *, transitions: int = 0, tokens: int = 0) -> None:
        """Raises `PastLimitError` for the outermost spending that is exceeded."""
        exceeded: PastLimitError | None = None
        spending: Spending | None = self
        while spending is not None:
            spending.transitions += transitions
            spending.tokens += tokens
            exceeded = spending._exceeded() or exceeded
            spending = spending.above
        if exceeded is not None:
            raise exceeded

    def _exceeded(self) -> PastLimitError | None:
        limits = self.limits
        if self.transitions > limits.transitions:
            message = (
                f"The run made more than {limits.transitions} transitions. Where that is meant: "
                "limits: {transitions: …} in the front matter, or --limit-transitions."
            )
            return PastLimitError("transitions", message, self)
        if limits.tokens is not None and self.tokens > limits.tokens:
            message = f"The run generated {self.tokens} tokens, of {limits.tokens} (limits: tokens)."
            return PastLimitError("tokens", message, self)
        return None


def own_limits(workflow: Workflow, run: Limits) -> Limits:
    """The limits that a sub-workflow sets for itself; the rest is the run's.

    A limit that has its default value counts as not set.
    """
    own, default = workflow.limits, Limits()
    return Limits(
        transitions=own.transitions if own.transitions != default.transitions else run.transitions,
        duration_s=own.duration_s,
        tokens=own.tokens,
        depth=run.depth,
        prompt_timeout_s=own.prompt_timeout_s if own.prompt_timeout_s is not None else run.prompt_timeout_s,
    )
