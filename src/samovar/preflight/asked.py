"""The prompts that a run may ask, with what holds for each: those of its workflow and of all that it runs.

Above: what looks for models and executors before a run. Below: the library, and the defaults of prompts,
which are handed down to sub-workflows here as the run hands them down.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from samovar.actions.defaults import PromptDefaults
from samovar.actions.prompt import ExecutePrompt
from samovar.config import Settings
from samovar.errors import Place
from samovar.language.names import OF_FAILURE
from samovar.language.parsed_action import ParsedAction
from samovar.language.workflow import State, When, Workflow
from samovar.library import Library
from samovar.running.runner import RunnerSettings, first_defaults


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedPrompt:
    """A prompt that a run may ask."""

    action: ExecutePrompt
    workflow: Workflow
    """That the action is in."""
    defaults: PromptDefaults
    model_place: Place | None
    """Where the model is named that it inherits; None if nowhere."""
    executor_place: Place | None
    is_certain: bool
    """Whatever the run comes to here, it comes to this prompt, and cannot go on without an answer."""

    def executor(self, settings: Settings) -> str | None:
        """Who answers it, as it is written; None if only the run knows."""
        own = self.action.using.of("executor")
        if own is not None and not own.is_literal and self.defaults.forced_executor is None:
            return None
        name = self.defaults.winning_executor(_names(own.given) if own and own.is_literal else None)
        return settings.executor if name is None else name

    @property
    def names_executor(self) -> bool:
        """A file names its executor, and not the command or the settings."""
        own = self.action.using.of("executor")
        return self.defaults.forced_executor is None and (
            own is not None or self.defaults.executor is not None
        )

    @property
    def place_of_executor(self) -> Place:
        """Where its executor is named, or else the prompt."""
        own = self.action.using.of("executor")
        if self.defaults.forced_executor is not None:
            return self.action.place
        return own.place if own else self.executor_place or self.action.place


def _names(given: object) -> str:
    return ", ".join(map(str, given)) if isinstance(given, list | tuple) else str(given)


def asked(
    workflow: Workflow, library: Library, run: RunnerSettings, *, ready: bool = False
) -> Iterator[AskedPrompt]:
    """The prompts in the order of the files. `ready`: also those that a run may do without.

    Those are the prompts of states that have a way on after a failure, and of actions that tags choose from.
    """
    seen: set[tuple[object, str | None, str | None]] = set()
    waiting = [
        (workflow, first_defaults(workflow, run), _place(workflow, "model"), _place(workflow, "executor"))
    ]
    while waiting:
        one, defaults, model, executor = waiting.pop(0)
        if (key := (one.identity, defaults.model, defaults.executor)) in seen:
            continue
        seen.add(key)
        for state, action in one.actions():
            certain = _is_certain(state, action, one)
            if isinstance(action, ExecutePrompt) and (ready or certain):
                yield AskedPrompt(
                    action=action,
                    workflow=one,
                    defaults=defaults,
                    model_place=model,
                    executor_place=executor,
                    is_certain=certain,
                )
        for state, action, child in library.children(one):
            if ready or _is_certain(state, action, one):
                below = defaults.below(child)
                waiting.append(
                    (child, below, _place(child, "model") or model, _place(child, "executor") or executor)
                )


def _place(workflow: Workflow, key: str) -> Place | None:
    named = getattr(workflow, key)
    place: Place | None = named.place if named else None
    return place


def _is_certain(state: State, action: ParsedAction, workflow: Workflow) -> bool:
    """The action is not one of several that tags choose from, and the run has no way on after its failure."""
    own = state.action
    is_only = own is action or (own is not None and own.each is action)
    return is_only and not _goes_on(state, workflow)


def _goes_on(state: State, workflow: Workflow) -> bool:
    """A failure there is something the workflow is ready for."""
    return workflow.on_error == "continue" or any(
        one.when is When.FAILURE or (one.condition is not None and one.condition.names & OF_FAILURE)
        for one in state.transitions
    )
