"""One workflow while it is driven: its variables, and what an action leaves behind in them.

Above: the runner, whose loop is the only one that changes a level. Below: the records of actions and
workflows. The run's own workflow is a level; each sub-workflow is one more, below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from samovar.actions.base import NOTHING, Outcome, PromptDefaults
from samovar.allowance import Allowance
from samovar.events import RunError
from samovar.routing import states_that_only_choose
from samovar.workflow import State, Workflow


@dataclass(slots=True, kw_only=True)
class Level:
    """One workflow being driven: the run's own, or a sub-workflow. Changed by the loop only."""

    workflow: Workflow
    variables: dict[str, object]
    allowance: Allowance
    defaults: PromptDefaults
    prefix: str
    """Of the paths of its states."""
    chain: tuple[Workflow, ...]
    """The workflows above it, and its own."""
    passive: frozenset[str]
    """States whose actions are not performed."""
    failed: bool = False
    """The last action failed."""
    is_result_named: bool = False
    """`result` was set by name."""

    @classmethod
    def begin(
        cls,
        workflow: Workflow,
        bound: Mapping[str, object],
        allowance: Allowance,
        *,
        defaults: PromptDefaults,
        chain: tuple[Workflow, ...] = (),
    ) -> Level:
        """A workflow with nothing done yet."""
        variables: dict[str, object] = {
            "result": "",
            "success": True,
            "failure": False,
            "is_error": False,
            "error": None,
            **bound,
        }
        return cls(
            workflow=workflow,
            variables=variables,
            allowance=allowance,
            defaults=defaults,
            prefix="",
            chain=(*chain, workflow),
            passive=frozenset() if workflow.choice_states_act else states_that_only_choose(workflow.states),
            is_result_named="result" in bound,
        )

    def leave_behind(self, state: State, outcome: Outcome, error: RunError | None) -> None:
        """What an action leaves behind in the variables."""
        variables = self.variables
        variables.update(outcome.sets)
        if "result" in outcome.sets:
            self.is_result_named = True
        elif outcome.value is not NOTHING:
            if outcome.is_new or not self.is_result_named:
                variables["result"] = outcome.value
                self.is_result_named = False
        elif error is not None:
            variables["result"] = error.message
            self.is_result_named = False
        self.failed = error is not None
        variables["success"], variables["failure"] = not self.failed, self.failed
        if error is not None:
            variables["is_error"] = True
            variables["error"] = {"message": error.message, "state": state.name, "kind": error.code}
