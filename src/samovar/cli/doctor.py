"""`samovar doctor`: looks at everything that a run may need, and says what is wrong and what fixes it.

Above: the commands of `of_setup.py`. Below: `checkup.py` and the modules of checks. All is looked at at once,
within a bound, and whatever is strange there is a finding and no crash.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

from samovar.cli import checkup_machine as machine
from samovar.cli import checkup_others as others
from samovar.cli import checkup_places as places
from samovar.cli.checkup import Check, Observation, look_at_all, worst
from samovar.cli.checkup_journal import journal
from samovar.cli.output import write_json
from samovar.cli.showing import shown
from samovar.cli.terminal import put
from samovar.config import Settings, load_settings
from samovar.config.known_keys import secrets_of
from samovar.config.masking import masked
from samovar.config.origins import DEFAULT, read_origins
from samovar.errors import SamovarError

BOUND_S = 6.0
"""For all checks together."""
CONNECTING_S = 15.0
"""If servers are started, which may take some seconds."""
MARKS = {"ok": "ok", "doubtful": "doubtful", "wrong": "WRONG"}


def examine(*, connects: bool, as_json: bool) -> int:
    """Shows what was found; the exit status is 1 if something is wrong."""
    began = time.monotonic()
    settings, error = _settings()
    bound_s = CONNECTING_S if connects else BOUND_S
    checks = _checks(settings, error, connects=connects)
    hidden = secrets_of(settings)
    found = [hidden.copy(replace(one, what=masked(one.what))) for one in look_at_all(checks, bound_s=bound_s)]
    status = 1 if worst(found) == "wrong" else 0
    if as_json:
        rows = [
            {"about": one.about, "verdict": one.verdict, "what": one.what, "fix": one.fix} for one in found
        ]
        write_json({"status": worst(found), "findings": rows, "duration_s": time.monotonic() - began})
        return status
    _show(found)
    return status


def _settings() -> tuple[Settings, SamovarError | None]:
    try:
        return load_settings({}), None
    except SamovarError as error:
        return Settings(), error


def _checks(settings: Settings, error: SamovarError | None, *, connects: bool) -> Mapping[str, Check]:
    """All of them by name, in the order in which they are shown."""
    return {
        "python": machine.python,
        "engine": machine.engine,
        "cores": partial(_cores, settings, error),
        "memory": partial(machine.memory_there, settings),
        "sqlite": machine.sqlite,
        "programs": machine.programs,
        "terminal": machine.terminal,
        "settings": partial(places.settings_read, error),
        "trust": places.project_trust,
        "folders": partial(places.folders, settings),
        "journal": partial(journal, settings),
        "models": partial(places.stores, settings),
        "model": partial(places.default_model, settings),
        **others.executor_checks(settings),
        **others.server_checks(settings, connects=connects),
        "extras": others.extras,
        "leftovers": partial(places.leftovers, settings),
    }


def _cores(settings: Settings, error: SamovarError | None) -> Iterable[Observation]:
    return machine.cores(settings, DEFAULT if error else read_origins().of("threads"))


def _show(found: list[Observation]) -> None:
    wide = max(len(one.about) for one in found)
    for one in found:
        put(f"{MARKS[one.verdict]:<8}  {one.about:<{wide}}  {shown(one.what)}\n")
        if one.fix is not None:
            put(f"{'':<8}  {'':<{wide}}  → {shown(one.fix)}\n")
    counts = {verdict: sum(one.verdict == verdict for one in found) for verdict in ("wrong", "doubtful")}
    said = [f"{count} {verdict}" for verdict, count in counts.items() if count]
    put(f"\n{', '.join(said) or 'All is well'}.\n")
