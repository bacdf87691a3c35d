"""The defaults of a prompt's options, and their precedence.

Above: the contract of actions, the runner, what looks at prompts before a run. Below: the workflow's values.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from samovar.language.workflow import Workflow


def winner(forced: str | None, own: str | None, inherited: str | None) -> str | None:
    """Who wins: what is forced from outside, else what a prompt says itself, else what it inherits."""
    return next((one for one in (forced, own, inherited) if one is not None), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptDefaults:
    """What a prompt uses if it says nothing itself."""

    model: str | None = None
    """None: the executor's own."""
    forced_model: str | None = None
    """Wins over what the prompt says (`run --model`)."""
    executor: str | None = None
    """The name of the one that answers; None: that of the settings."""
    forced_executor: str | None = None
    """Wins over what the prompt says (`run --executor`)."""
    seed: int = 0
    forced_seed: int | None = None
    """The seed of the run (`run --seed`), from which each visit derives its own. It overrides the seeds of
    workflows, but not the prompt's own."""
    deterministic: bool = False
    """Every prompt is answered alone, whatever it says."""
    timeout_s: float | None = None
    tool_rounds: int | None = None
    """How often a prompt may ask for tools; None: as `tools.py` says."""
    session_scope: str = ""
    """Stands before the names of sessions, so that those of a sub-workflow are its own."""

    def below(self, workflow: Workflow) -> PromptDefaults:
        """Those of a workflow that is run if these hold: what it says itself, else what it inherits."""
        return replace(
            self,
            model=workflow.model.reference if workflow.model else self.model,
            executor=workflow.executor.text if workflow.executor else self.executor,
            seed=self.seed if workflow.seed is None else workflow.seed,
        )

    def winning_model(self, own: str | None) -> str | None:
        """The reference of the model that a prompt with this one of its `own` uses; None: the executor's."""
        return winner(self.forced_model, own, self.model)

    def winning_executor(self, own: str | None) -> str | None:
        """The name of the executor that answers such a prompt; None: that of the settings."""
        return winner(self.forced_executor, own, self.executor)

    def at(self, path: str, visit: int) -> PromptDefaults:
        """Those of the `visit`-th visit to the state of that path, counted from 1 within the run.

        Branches that run at once do not change the seeds of each other: neither of the two depends on them.
        """
        if self.forced_seed is None:
            return self
        digest = hashlib.sha256(f"{self.forced_seed} {visit} {path}".encode()).digest()
        return replace(self, seed=int.from_bytes(digest[:4], "big"))

    def again(self, attempt: int) -> PromptDefaults:
        """Those of a further attempt, counted from 1: with the same seed, the same answer would fail."""
        digest = hashlib.sha256(f"{self.seed} again {attempt}".encode()).digest()
        return replace(self, seed=int.from_bytes(digest[:4], "big"))
