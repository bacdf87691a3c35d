"""Variables of the environment that look like settings, and that nothing reads: most of them are misspelt.

Above: `samovar config`, `samovar doctor`, and every command that reads settings. Below: the settings' names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from samovar.config.settings import settings_known
from samovar.errors import nearest

PREFIX = "SAMOVAR_"
_OTHERS = re.compile(r"TRUST|RUN|DETACHED|CHILDREN|KILL_AT|VALUE_\d+")
"""What follows the prefix in the variables that are no settings, and that this program reads or sets."""


def strange_variables(environment: Mapping[str, str] = os.environ) -> Mapping[str, str]:
    """By name, a sentence on each: with the nearest name, or without one, if somebody may mean it so."""
    known = {f"{PREFIX}{name.upper()}": name for name in settings_known()}
    found = {}
    for name in sorted(environment):
        rest = name.upper().removeprefix(PREFIX)
        if rest == name.upper() or name.upper() in known or _OTHERS.fullmatch(rest):
            continue
        near = nearest(rest, (one.removeprefix(PREFIX) for one in known))
        found[name] = f"{name} is in the environment, and no setting is read from it.{_whole(near)}"
    return found


def misspelt(sentence: str) -> bool:
    """Whether a sentence on a variable has a nearest name."""
    return sentence.endswith("?")


def _whole(near: str) -> str:
    return near.replace("'", f"'{PREFIX}", 1) if near.endswith("?") else ""
