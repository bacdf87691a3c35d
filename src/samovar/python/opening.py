"""The entrance: `samovar.open()`, which opens everything that sessions and runs need, and closes it.

Above: `blocking.py` and programs. Below: `api.py`, which is what they get; the app; the settings of the
folder that it is at home in. What was forgotten to be entered says so (`unentered.py`).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Unpack

from samovar.app import open_app, open_library
from samovar.config import settings_known
from samovar.engines.scripted import Script
from samovar.errors import UsageError
from samovar.executors.finding import find_daemon
from samovar.folders import current_folder
from samovar.projects.opening import uncounted
from samovar.python.api import Samovar
from samovar.python.arguments import brief, check_names, expect, expect_truth
from samovar.python.home import home_of, settings_at
from samovar.python.open_settings import OpenSettings
from samovar.python.unentered import Unentered

_log = logging.getLogger("samovar")


def open(
    *,
    trust: bool = False,
    folder: str | Path | None = None,
    script: Script | None = None,
    **settings: Unpack[OpenSettings],
) -> AbstractAsyncContextManager[Samovar]:
    """Everything that sessions and runs need; nothing is loaded before the first prompt.

    `trust`: the project counts as trusted, as by `samovar trust`: its settings that open something, and its
    workflows when they are run by name. `folder`: where runs are at home: relative paths, commands, the
    project's settings and library; None: the current folder. `script`: answers every prompt in place of a
    model, for tests: a function of the messages
    that gives a text. What is not given comes from `SAMOVAR_*` variables and the files of settings. Leaving
    the context closes the sessions that are open, and gives every byte back. Raises `TypeError` for a name
    that there is not, and on entry `UsageError` for a value.
    """
    check_names("samovar.open()", settings, settings_known())
    expect("samovar.open()", "folder", folder, (str, Path, type(None)), "the path of a folder")
    if script is not None and not callable(script):
        raise UsageError(
            f"script of samovar.open() cannot be {brief(script)}: expected a function of the messages."
        )
    expect_truth("samovar.open()", "trust", trust)
    form = "async with samovar.open() as app"
    return Unentered(
        _opened(folder, script, dict(settings), trusts=trust), Samovar, form, "samovar.open_blocking()"
    )


@asynccontextmanager
async def _opened(
    folder: str | Path | None, script: Script | None, settings: dict[str, Any], *, trusts: bool
) -> AsyncIterator[Samovar]:
    start = home_of("samovar.open()", folder)
    library = open_library(start or current_folder(), is_current=start is None)
    known = settings_at(start, settings, trusts=trusts)
    if script is None and (line := find_daemon(known)[1]) is not None:
        _log.warning(line)
    async with open_app(known, library, script=script) as app:
        for one in () if trusts else uncounted(settings_known(), start):
            _log.warning(one.line)
        samovar = Samovar(app, start=start, is_scripted=script is not None, trusts=trusts)
        try:
            yield samovar
        finally:
            await samovar.close()
