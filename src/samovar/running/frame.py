"""One workflow while it is driven: its variables, and what an action leaves behind in them.

Above: the runner, whose loop is the only one that changes a frame. Below: the records of actions and
workflows. The run's own workflow is a frame; each sub-workflow is one more, below it; and so is each
branch of a fork, beside it, until the join.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from samovar.actions.base import NOTHING, Outcome
from samovar.actions.prompt_defaults import PromptDefaults
from samovar.events import RunError
from samovar.language.names import BRANCHES, FIRST, OLD_CONTEXT, first_variables
from samovar.language.workflow import State, Workflow
from samovar.running.branches import Claims, merge
from samovar.running.routing import states_that_only_choose
from samovar.running.spending import Spending
from samovar.values import within


@dataclass(slots=True, kw_only=True)
class Frame:
    """One workflow being driven: the run's own, or a sub-workflow. Changed by the loop only."""

    workflow: Workflow
    variables: dict[str, object]
    """By name, as they are now."""
    spending: Spending
    defaults: PromptDefaults
    """What its prompts use if they say nothing themselves."""
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
    is_branches_ours: bool = False
    """`branches` was set by a join, not by the workflow."""
    branch: str | None = None
    """The first state of the branch that this is; None outside of forks."""
    claims: Claims | None = None
    """What the branches of the same fork use; None outside of forks."""

    @classmethod
    def begin(
        cls,
        workflow: Workflow,
        bound: Mapping[str, object],
        spending: Spending,
        *,
        folder: Path,
        defaults: PromptDefaults,
        chain: tuple[Workflow, ...] = (),
    ) -> Frame:
        """A workflow with nothing done yet. `folder`: where its commands run."""
        context = {"cwd": str(folder), "working_directory": str(folder)}
        context["model"] = defaults.forced_model or defaults.model or "default"
        there = {name: context[name] for name in OLD_CONTEXT & workflow.old_names}
        return cls(
            workflow=workflow,
            variables=there | first_variables(bound),
            spending=spending,
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
        if BRANCHES in outcome.sets:
            self.is_branches_ours = False
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
        self._leave_old_names(outcome)
        if error is not None:
            if "error_context" in self.workflow.old_names:
                moment = datetime.now(UTC).isoformat(timespec="seconds")
                told = {"error_message": error.message, "error_state": state.name, "error_timestamp": moment}
                variables["error_context"] = told
            variables["is_error"] = True
            variables["error"] = {"message": error.message, "state": state.name, "kind": error.code}

    def _leave_old_names(self, outcome: Outcome) -> None:
        """What actions of the older system left behind, for the files that read it."""
        old = self.workflow.old_names
        if "last_action_result" in old:
            self.variables["last_action_result"] = not self.failed
        if "claude_response" in old and outcome.figures is not None:
            self.variables["claude_response"] = str(outcome.value)
        if "duration_ms" in old and "duration_s" in outcome.sets:
            self.variables["duration_ms"] = round(float(str(outcome.sets["duration_s"])) * 1000)

    @property
    def secret_values(self) -> list[object]:
        """Of secret parameters, as they are now."""
        names = (parameter.name for parameter in self.workflow.parameters if parameter.secret)
        return [self.variables.get(name) for name in names]

    def branch_off(self, first: str, claims: Claims) -> Frame:
        """The frame of a branch that begins with the state `first`: its variables are a copy."""
        return replace(self, variables=dict(self.variables), branch=first, claims=claims)

    def take_over(self, branch: Frame) -> None:
        """How the last action of a branch that failed ended; what the branch changed is given up."""
        self.failed = branch.failed
        for name in FIRST:
            self.variables[name] = branch.variables[name]
        self.is_result_named = branch.is_result_named

    def join(self, branches: Mapping[str, Frame], value_bytes: int) -> tuple[str, ...]:
        """Takes in what the branches changed, in their order. Gives what is doubtful about it, in sentences.

        Built-in names are not merged: `result` has the branches' results by first state; `success` and its
        like say whether a branch came to the join after a failure. Raises `TooLargeError` if the results, or
        what is kept, take more than a value may.
        """
        merged = merge(self.variables, {first: one.variables for first, one in branches.items()})
        variables = self.variables
        results = {first: one.variables["result"] for first, one in branches.items()}
        within(results, "The variable 'result', with the results of the branches,", value_bytes)
        variables.update(merged.changes)
        variables["result"] = results
        self.is_result_named = False
        self.failed = any(one.failed for one in branches.values())
        variables["success"], variables["failure"] = not self.failed, self.failed
        for one in branches.values():
            if one.variables["is_error"] and one.variables["error"] is not variables["error"]:
                variables["is_error"], variables["error"] = True, one.variables["error"]
                break
        before = variables.pop(BRANCHES) if self.is_branches_ours else None
        # What forks within the branches kept, under the names of their own branches.
        kept: dict[str, object] = {}
        for one in branches.values():
            inner = one.variables.get(BRANCHES)
            if one.is_branches_ours and inner is not before and isinstance(inner, dict):
                kept |= inner
        if merged.kept:
            kept |= {first: dict(merged.kept.get(first, {})) for first in branches}
        if kept:
            within(kept, f"The variable {BRANCHES!r}", value_bytes)
            variables[BRANCHES] = kept
        self.is_branches_ours = bool(kept)
        return merged.doubts
