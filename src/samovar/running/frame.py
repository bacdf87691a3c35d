"""One workflow while it runs: its variables, and the effects of actions on them.

Above: the runner, whose loop is the only one that changes a frame. Below: the records of actions and
workflows. The run's own workflow is a frame; each sub-workflow is one more, below it; and so is each
branch of a fork, beside it, until the join.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC
from pathlib import Path

from samovar.actions.base import Outcome
from samovar.actions.defaults import PromptDefaults
from samovar.events import NOTHING, Ending, RunError
from samovar.language.moment import moment
from samovar.language.names import BRANCHES, FIRST, OLD_CONTEXT, first_variables
from samovar.language.workflow import Limits, State, Transition, Workflow
from samovar.running.branches import BranchEnd, Claims, left_by, merge
from samovar.running.last_failure import LastFailure, error_of
from samovar.running.routing import states_that_only_choose
from samovar.running.spending import Spending
from samovar.running.strand import Strand
from samovar.values import within


@dataclass(slots=True, kw_only=True)
class Frame:
    """One workflow being driven: the run's own, or a sub-workflow. Changed by the loop only."""

    workflow: Workflow
    variables: dict[str, object] = field(repr=False)
    """By name, as they are now."""
    spending: Spending
    defaults: PromptDefaults
    """What its prompts use if they say nothing themselves."""
    prefix: str
    """Prefix of the paths of its states."""
    chain: tuple[Workflow, ...]
    """The workflows above it, and its own."""
    passive: frozenset[str]
    """States whose actions are not performed."""
    failed: bool = False
    """The last action failed, and no edge for failures has taken that yet."""
    last_failed: bool = False
    """The last action failed, whatever was taken since."""
    told: LastFailure | None = field(default=None, repr=False)
    """The failure that `error` is about; None if there is none, or it may be read no longer."""
    changed: frozenset[str] = frozenset()
    """The variables that were set since the workflow, or the branch, began."""
    is_result_named: bool = False
    """`result` was set by name."""
    branch: str | None = None
    """The first state of the branch that this is, or the item; None outside of both."""
    strand: Strand = field(default_factory=Strand)
    """Where it is among all that runs, for the journal."""
    claims: Claims | None = None
    """What the branches of the same fork use; None outside of forks."""
    secret_items: frozenset[str] = frozenset()
    """The variables of items of lists that a secret is in."""

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

    def begin_action(self) -> None:
        """From now on `failure` and `is_error` are about the action that begins."""
        if self.failed and not self._goes_on:
            self._set_failed(failed=False)

    def leave_behind(self, state: State, outcome: Outcome, error: RunError | None) -> None:
        """What an action leaves behind in the variables."""
        variables = self.variables
        variables.update(outcome.sets)
        self.changed |= outcome.sets.keys()
        if "result" in outcome.sets:
            self.is_result_named = True
        elif outcome.value is not NOTHING:
            if outcome.is_new or not self.is_result_named:
                variables["result"] = outcome.value
                self.is_result_named = False
        elif error is not None:
            variables["result"] = error.message
            self.is_result_named = False
        self.last_failed = self.failed = error is not None
        variables["success"], variables["failure"] = not self.failed, self.failed
        self._leave_old_names(outcome)
        if self.told is not None and "exit_code" in outcome.sets:
            self.told = replace(self.told, exit_code=None)
        if error is not None:
            self._leave_error(state, outcome, error)

    def _leave_error(self, state: State, outcome: Outcome, error: RunError) -> None:
        if "error_context" in self.workflow.old_names:
            told = {"error_message": error.message, "error_state": state.name}
            told["error_timestamp"] = moment().astimezone(UTC).isoformat(timespec="seconds")
            self.variables["error_context"] = told
        if not self._goes_on:
            self.forget()
            if "exit_code" not in outcome.sets and any(one.runs_command for one in state.actions):
                self.variables.pop("exit_code", None)  # that of an earlier command says nothing of this one
        value = error_of(error, state.name)
        self.told = LastFailure(error=value, exit_code=outcome.sets.get("exit_code"))
        self.variables["is_error"], self.variables["error"] = True, value

    def at_end(self, ending: Ending, error: RunError | None) -> Frame:
        """A copy for what is performed once the workflow has ended: it may read why in `error`."""
        own = replace(self, variables=dict(self.variables), spending=Spending(Limits()))
        own._set_failed(failed=False)
        is_there = ending is Ending.FAILED and self.failed and self.told is not None
        if not is_there:
            own.variables["error"] = None if error is None else error_of(error, error.state or "")
        own.told = None
        return own

    def leave(self, state: State, transition: Transition) -> None:
        """An edge is taken. A failure is taken by it, or by an earlier one may be read no longer."""
        target, told = transition.target, self.told
        if self.failed:
            takes = transition.takes_failure(state)
            if takes and self._goes_on:
                self.variables["is_error"] = False
            elif takes:
                self._set_failed(failed=False)
            is_told = takes or not self._goes_on
        else:
            # A state that only passes through hands a failure on to where it leads to.
            is_only_told_here = told is not None and told.where == {state.name}
            is_told = is_only_told_here and not self.acts(state)
        if told is None or target is None:
            return
        if is_told:
            self.told = replace(told, where=self.workflow.whole(target))
        elif told.where and target not in told.where:
            self.forget()

    def acts(self, state: State) -> bool:
        """Whether a visit of the state performs its action."""
        return state.action is not None and state.name not in self.passive

    def forget(self) -> None:
        """The failure may be read no longer."""
        if self.told is None:
            return
        if self.told.exit_code is not None:
            self.variables.pop("exit_code", None)
        self.variables["error"], self.told = None, None

    @property
    def _goes_on(self) -> bool:
        """As in the older system, a failure is only taken by an edge that is meant for it."""
        return self.workflow.on_error == "continue"

    def _set_failed(self, *, failed: bool) -> None:
        self.failed = failed
        variables = self.variables
        variables["success"], variables["failure"], variables["is_error"] = not failed, failed, failed

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
        """The values of secret parameters, as they are now."""
        return [self.variables.get(name) for name in self.secret_names]

    @property
    def secret_names(self) -> frozenset[str]:
        """The names of secret parameters, and of the items of secret lists."""
        own = frozenset(self.workflow.secret_names)
        return own | self.secret_items if self.secret_items else own

    def branch_off(self, state: State, transition: Transition, claims: Claims) -> Frame:
        """The frame of a branch that begins with a transition of a fork: its variables are a copy."""
        branch = replace(self, variables=dict(self.variables), branch=transition.target, claims=claims)
        branch.strand = self.strand.branch(transition.target or "")
        branch.changed = frozenset()
        branch.leave(state, transition)
        return branch

    def item_off(
        self,
        name: str,
        variables: dict[str, object],
        claims: Claims | None,
        spending: Spending,
        secret_items: frozenset[str] = frozenset(),
    ) -> Frame:
        """The frame of one item of a list.

        Args:
            name: Of the item, as `Each[3]`; `variables`: those it begins with, which are its own.
            claims: Of all items; None: they continue one after the other.
            spending: Of the visit that has the list.
            secret_items: The variables of the item, if a secret is in the list.
        """
        return replace(
            self,
            variables=variables,
            spending=spending.of_item(self.prefix + name),
            changed=frozenset(),
            is_result_named=False,
            branch=name if claims else self.branch,
            claims=claims or self.claims,
            secret_items=self.secret_items | secret_items,
        )

    def leave_to_branches(self, fork: State) -> None:
        """A failure that only this fork knows is for its branches."""
        if self.told is not None and self.told.where == {fork.name}:
            self.forget()

    def take_over(self, branch: Frame) -> None:
        """How the last action of a branch that failed ended; what the branch changed is given up."""
        self.failed = branch.failed
        for name in FIRST:
            self.variables[name] = branch.variables[name]
        self._tell(branch)
        self.is_result_named = branch.is_result_named

    def _tell(self, branch: Frame) -> None:
        """What may be read of a failure in a branch may be read here."""
        self.told = told = branch.told
        if told is not None:
            self.variables["error"] = told.error
            if told.exit_code is not None:
                self.variables["exit_code"] = told.exit_code

    def join(
        self, frames: Mapping[str, Frame], ends: Mapping[str, BranchEnd], value_bytes: int
    ) -> tuple[str, ...]:
        """Takes in what the branches changed that came, in their order. Gives doubts about it, in sentences.

        Built-in names are not merged: `result` has the branches' results by first state; `success` and so on
        say whether a branch reached the join with a failure that no edge has taken. Raises `TooLargeError` if
        the results, or what the branches set, take more than a value may.
        """
        branches = {first: one for first, one in frames.items() if ends[first] is BranchEnd.CAME}
        merged = merge(self.variables, {first: one.variables for first, one in branches.items()})
        variables = self.variables
        results = {first: one.variables["result"] for first, one in branches.items()}
        within(results, "The variable 'result', with the results of the branches,", value_bytes)
        variables.update(merged.changes)
        variables["result"] = results
        self.is_result_named = False
        self._set_failed(failed=any(one.failed for one in branches.values()))
        variables["is_error"] = any(one.variables["is_error"] for one in branches.values())
        failures = (one for one in branches.values() if one.told is not None and one.told is not self.told)
        if (first_failure := next(failures, None)) is not None:
            self._tell(first_failure)
        self.changed = self.changed.union(*(one.changed for one in branches.values()))
        self.leave_branches(frames, ends, value_bytes)
        return merged.doubts

    def leave_branches(
        self, branches: Mapping[str, Frame], ends: Mapping[str, BranchEnd], value_bytes: int
    ) -> None:
        """Sets `branches`: what each branch set and how it ended, those of forks within them too."""
        left: dict[str, object] = {}
        before = self.variables.get(BRANCHES)
        for one in branches.values():
            inner = one.variables.get(BRANCHES)
            if isinstance(inner, dict) and inner is not before:
                left |= inner
        for first, one in branches.items():
            end = BranchEnd.FAILED if one.last_failed and ends[first] is BranchEnd.CAME else ends[first]
            left[first] = left_by(one.variables, one.changed, end)
        within(left, f"The variable {BRANCHES!r}", value_bytes)
        self.variables[BRANCHES] = left
