"""What every visit of a run uses: one value, made once for the run.

Above: the runner, which makes it; the contexts of visits. Below: what a run reaches, its library, its tools.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from samovar.actions.computing import Computer
from samovar.actions.outside import Outside
from samovar.config import Settings
from samovar.events import Event
from samovar.executors.base import Connection
from samovar.journal.base import KeptRun
from samovar.library import Library
from samovar.running.conversations import Conversations
from samovar.running.foreseeing import Foresight
from samovar.running.gate import Gate
from samovar.running.given_answers import GivenAnswers
from samovar.running.origins import Earlier
from samovar.running.references import References
from samovar.running.uncertain import Decisions
from samovar.running.waiting import Waiting
from samovar.tools.toolbox import MakeToolbox
from samovar.values.secrecy import Secrets


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What every visit of a run uses."""

    run: str
    """The run's id."""
    library: Library
    folder: Path
    """Where commands run, and where the abort file is looked for."""
    settings: Settings
    """For actions that read one."""
    surroundings: Mapping[str, object]
    """What prompts may read besides variables."""
    connection: Connection
    """Answers the run's prompts."""
    outside: Outside
    """All that the run reaches beside itself."""
    make_tools: MakeToolbox
    """Gives the tools that prompts may use."""
    yes: bool
    """Nobody is asked for a yes or a no."""
    answers: GivenAnswers
    """What questions of the run are answered without asking."""
    gate: Gate = field(default_factory=Gate)
    """Which sub-workflows may be run."""
    allows_effects: bool
    """False: an action with an effect is refused."""
    asking: anyio.Lock
    """Held while a person is asked: one thing at a time, also where several branches ask."""
    tell: Callable[[Event], None]
    """Records an event and reports it."""
    time_s: Callable[[], float]
    """Since the run's start."""
    secrets: Secrets
    """What nobody is shown."""
    computer: Computer
    """Fills texts and evaluates expressions."""
    journal: KeptRun | None = None
    """Where the run is kept."""
    foresight: Foresight | None = None
    """Nothing is performed: this gets what would be."""
    earlier: Earlier | None = None
    """What it takes from an earlier one."""
    conversations: Conversations = field(default_factory=Conversations)
    """What an earlier process said in named ones."""
    references: References = field(default_factory=References)
    """What the journal has in place of secrets."""
    resident_bytes: Callable[[], int | None] = lambda: None
    """How much memory this process takes, for the journal; None: not measured."""
    uncertain: Decisions = field(default_factory=Decisions)
    """What becomes of visits that were interrupted and may not simply be done again."""
    waiting: Waiting = field(default_factory=Waiting)
    """Which of the run's tasks wait for a person."""
