"""The input of a run: a checked workflow, its variables, and the warnings about them.

Above: `preflight/prepare.py`, which alone makes one, and the runner, which takes nothing else. Below: the
values of the language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from samovar.errors import Fault
from samovar.language.workflow import Workflow
from samovar.running.gate import Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A workflow that may be run."""

    workflow: Workflow
    variables: Mapping[str, object] = field(default_factory=dict, repr=False)
    """What was given, typed and checked, and the defaults of the rest."""
    models: tuple[str, ...] = ()
    """The references of the models that its prompts are known to need on this machine."""
    gate: Gate = field(default_factory=Gate)
    """What the run may do for projects that are not trusted."""
    warnings: tuple[Fault, ...] = ()
    """Warnings about the workflow and those it runs, and about what was given; not what the files say of
    themselves, which the run reports when it enters them."""
