"""What a door can decide about a run, and what follows from it for its limits and its prompts.

Above: `runner.py`, the doors. Below: what a run reaches, the journal of runs, the workflow.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from samovar.actions.defaults import PromptDefaults
from samovar.actions.outside import ThisMachine, World
from samovar.config import Settings
from samovar.language.workflow import Limits, Workflow
from samovar.running.keeping import Keeping


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSettings:
    """What a door can decide about a run. None leaves it to the workflow."""

    model: str | None = None
    """Used by every prompt, whatever it says."""
    executor: str | None = None
    """The name of the one that answers every prompt, whatever it says."""
    seed: int | None = None
    """The seed of the run (0 ≤ seed < 2³²): every prompt without a seed gets one derived from it, from its
    state and from the number of the visit. The seeds of workflows do not count then."""
    deterministic: bool = False
    """Every prompt is answered alone, so that its answer is the same each time."""
    settings: Settings = field(default_factory=Settings)
    """For actions that read one."""
    folder: Path = field(default_factory=Path.cwd)
    """Where commands run, and where the abort file is looked for."""
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    """Where secret parameters that are not given are looked for."""
    surroundings: Mapping[str, object] = field(default_factory=dict)
    """What prompts may read besides variables."""
    waits: bool = False
    """A run that is kept is left waiting if all that is left of it waits for people."""
    yes: bool = False
    """Says yes if a workflow waits for a user or wants an approval."""
    answers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What its questions are answered without asking, by path: one for every visit, or one for each."""
    trusts: bool = False
    """Every project counts as trusted for this run, or nothing is done that could need it."""
    no_effects: bool = False
    """No commands are run, and nothing else is done that has an effect outside of the run."""
    outside: World = field(default_factory=ThisMachine)
    """All that a run reaches besides its executor: commands, files, the user, and time."""
    keeping: Keeping | None = None
    """Where the run is kept; None: nowhere."""
    from_program: bool = False
    """Its variables come from another program and not from the user: a file that one of them names is below
    the folder."""
    lenient: bool = False
    """Text that is not an action is a warning, in sub-workflows too."""
    transitions: int | None = None
    """The most that the run may take, those of sub-workflows counted along."""
    duration_s: float | None = None
    """The longest that the run may last."""
    tokens: int | None = None
    """The most that all prompts of the run may generate."""
    depth: int | None = None
    """How many sub-workflows may be within each other."""
    prompt_timeout_s: float | None = None
    """Seconds that a prompt without its own limit may wait for a token."""
    items: int | None = None
    """The most items of one list that something is done for each of."""


def first_defaults(workflow: Workflow, settings: RunnerSettings) -> PromptDefaults:
    """What the prompts of a run's own workflow use where they say nothing themselves."""
    limits = limits_of(workflow.limits, settings)
    return PromptDefaults(
        forced_model=settings.model,
        forced_executor=settings.executor,
        forced_seed=settings.seed,
        deterministic=settings.deterministic,
        timeout_s=limits.prompt_timeout_s,
        tool_rounds=limits.tool_rounds,
    ).below(workflow)


def limits_of(limits: Limits, settings: RunnerSettings) -> Limits:
    """The workflow's limits, with those of the settings in front."""
    names = ("transitions", "duration_s", "tokens", "depth", "prompt_timeout_s", "items")
    given = {name: getattr(settings, name) for name in names if getattr(settings, name) is not None}
    return replace(limits, **given)
