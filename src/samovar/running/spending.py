"""What a run has used of its limits: transitions, tokens, calls, money; of the whole, of each sub-workflow.

Above: the runner. Below: nothing. What a sub-workflow spends is spent by everything above it too. Mutable:
`spend` is the only thing that changes it.
"""

from __future__ import annotations

from samovar.errors import LimitError
from samovar.errors.counting import counted
from samovar.language.workflow import MOST_TRANSITIONS, Limits, Workflow

NEAR = 0.8
"""Share of the default limit of transitions: from here on a warning says that they run out."""


HOW_TO_RAISE = (
    "If it should continue: `limits: {transitions: 10000}` in the front matter, or --limit-transitions."
)


class PastLimitError(LimitError):
    """`spending` is the one that was exceeded: of the run, or of one sub-workflow."""

    def __init__(self, limit: str, message: str, spending: Spending) -> None:
        super().__init__(limit, message)
        self.spending = spending


class Spending:
    """What one workflow and all below it have used of its limits."""

    def __init__(
        self,
        limits: Limits,
        above: Spending | None = None,
        *,
        name: str | None = None,
        is_of_item: bool = False,
    ) -> None:
        """`name`: of the sub-workflow whose limits they are, or of an item; None for those of the run.

        `is_of_item`: its transitions are not those of what is above it.
        """
        self.limits, self.above, self.name, self.is_of_item = limits, above, name, is_of_item
        self.transitions = self.tokens = self.tool_calls = 0
        self.cost: float = 0.0

    @property
    def most_transitions(self) -> int | None:
        """None: as many as what is above it may make."""
        given = self.limits.transitions
        return MOST_TRANSITIONS if given is None and self.above is None else given

    def of_item(self, name: str) -> Spending:
        """That of one item of a list, which may make as many transitions as there were before any."""
        most: int | None = None
        spending: Spending | None = self
        while spending is not None:
            here = spending.most_transitions
            most = here if most is None else min(most, here or most)
            spending = None if spending.is_of_item else spending.above
        return Spending(Limits(transitions=most), self, name=name, is_of_item=True)

    @property
    def is_in_item(self) -> bool:
        """It is of an item of a list, or below one."""
        return self.is_of_item or (self.above is not None and self.above.is_in_item)

    @property
    def ends_soon(self) -> bool:
        """The run has just come near to the end of the transitions that it may make if nobody says so."""
        top = self.outermost
        return (
            not self.is_in_item
            and top.limits.transitions is None
            and top.transitions == int(MOST_TRANSITIONS * NEAR)
        )

    @property
    def outermost(self) -> Spending:
        """That of the whole run."""
        return self if self.above is None else self.above.outermost

    def spend(
        self, *, transitions: int = 0, tokens: int = 0, tool_calls: int = 0, cost: float | None = 0.0
    ) -> None:
        """Raises `PastLimitError` for the outermost spending that is exceeded.

        `cost`: None if it is not known, which no limit of the cost lets through.
        """
        exceeded: PastLimitError | None = None
        spending: Spending | None = self
        while spending is not None:
            spending.transitions += transitions
            spending.tokens += tokens
            spending.tool_calls += tool_calls
            spending.cost += cost or 0.0
            exceeded = spending._exceeded(is_known=cost is not None) or exceeded
            transitions = 0 if spending.is_of_item else transitions
            spending = spending.above
        if exceeded is not None:
            raise exceeded

    def foresee(self, *, tokens: int, cost: float | None) -> None:
        """As if so much were spent now, which is counted later. Raises as `spend` does."""
        exceeded: PastLimitError | None = None
        spending: Spending | None = self
        while spending is not None:
            spending.tokens, spending.cost = spending.tokens + tokens, spending.cost + (cost or 0.0)
            exceeded = spending._exceeded(is_known=cost is not None) or exceeded
            spending.tokens, spending.cost = spending.tokens - tokens, spending.cost - (cost or 0.0)
            spending = spending.above
        if exceeded is not None:
            raise exceeded

    def _exceeded(self, *, is_known: bool) -> PastLimitError | None:
        limits, most = self.limits, self.most_transitions
        who = "The run" if self.name is None else f"The workflow {self.name!r}"
        who = f"The item {self.name}" if self.is_of_item else who
        if most is not None and self.transitions > most:
            default = ", the default limit of a run" if limits.transitions is None else ""
            message = f"{who} made more than {counted(most, 'transition')}{default}. {HOW_TO_RAISE}"
            return PastLimitError("transitions", message, self)
        if limits.tokens is not None and self.tokens > limits.tokens:
            message = f"{who} generated {counted(self.tokens, 'token')}, of {limits.tokens} (limits: tokens)."
            return PastLimitError("tokens", message, self)
        if limits.tool_calls is not None and self.tool_calls > limits.tool_calls:
            message = (
                f"{who} called tools more than {counted(limits.tool_calls, 'time')} (limits: tool_calls)."
            )
            return PastLimitError("tool_calls", message, self)
        if limits.cost is not None and not is_known:
            message = f"{who} may cost {limits.cost:g}, and what an answer cost is not known (limits: cost)."
            return PastLimitError("cost", message, self)
        if limits.cost is not None and self.cost > limits.cost:
            message = f"{who} cost {self.cost:.6g}, of {limits.cost:g} (limits: cost)."
            return PastLimitError("cost", message, self)
        return None


def own_limits(workflow: Workflow, run: Limits) -> Limits:
    """The limits that a sub-workflow sets for itself; the rest is the run's."""
    own = workflow.limits
    return Limits(
        transitions=own.transitions,
        duration_s=own.duration_s,
        tokens=own.tokens,
        depth=run.depth,
        items=own.items if own.items is not None else run.items,
        prompt_timeout_s=own.prompt_timeout_s if own.prompt_timeout_s is not None else run.prompt_timeout_s,
        tool_rounds=own.tool_rounds if own.tool_rounds is not None else run.tool_rounds,
        tool_calls=own.tool_calls,
        cost=own.cost,
    )
