"""Looks during a run for a better model than the default on this machine, and names it at the end.

Above: `run.py`. Below: `models/offers.py`. It is looked for only if nobody has said which model, and
somebody reads what is shown; in a thread that nothing waits for.
"""

from __future__ import annotations

import threading
from contextlib import suppress

from samovar.app import open_stores
from samovar.config import Settings, source_of
from samovar.models.offers import Candidate, offer

WAIT_S = 0.2
"""At the end of a run, for a look that began with it."""


class Offering:
    """One look. Mutable: what was found, which its thread puts there."""

    def __init__(self, settings: Settings, budget: int) -> None:
        self._found: Candidate | None = None
        self._thread = threading.Thread(
            target=self._look, args=(settings, budget), name="samovar offer", daemon=True
        )
        with suppress(RuntimeError):  # no thread can be started
            self._thread.start()

    def _look(self, settings: Settings, budget: int) -> None:
        with suppress(Exception):  # whatever is wrong there is not what the person asked for
            self._found = offer(open_stores(settings), budget, settings.kv_type)

    def said(self) -> str | None:
        """A line for a person; None if there is nothing to say, or it is not known yet."""
        if self._thread.is_alive():
            self._thread.join(WAIT_S)
        if self._found is None:
            return None
        return f"also on this machine: --model {self._found.said}; the setting `model` makes it the default"


def offering_for(
    settings: Settings, budget: int | None, *, named: str | None, models: tuple[str, ...]
) -> Offering | None:
    """A look for a run with these models; None if somebody has said which, or none is needed.

    `named`: the model of the command line.
    """
    is_default = named is None and settings.model in models and source_of("model", {}) is None
    return Offering(settings, budget) if is_default and budget is not None else None
