"""Detects if this process was started by a run, which may not make a person's decisions.

Above: `samovar trust`, and actions, which start processes. Below: psutil. It keeps a workflow,
or a program that a model steers, from saying yes for its user by an ordinary call. It is not a wall: a
command runs as the user, and could write the files that say so.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

RUN_VARIABLE = "SAMOVAR_RUN"
"""In the environment of every command: the id of the run that has started it."""
DETACHED_VARIABLE = "SAMOVAR_DETACHED"
"""In the environment of a command that may outlive its run: the id of that run."""
CHILDREN_VARIABLE = "SAMOVAR_CHILDREN"
"""In the environment of a program that is spoken to, and of all that it starts: whose they are."""


def is_within_run() -> bool:
    """By its own environment, that of a process above it, or a `samovar run` above it."""
    if RUN_VARIABLE in os.environ:
        return True
    import psutil

    for process in psutil.Process().parents():
        try:
            if is_of_run(process.cmdline()) or RUN_VARIABLE in process.environ():
                return True
        except (OSError, psutil.Error):  # of another user, or gone
            continue
    return False


def is_of_run(words: Sequence[str]) -> bool:
    """Whether a process with these words is a `samovar run`: the program, or an interpreter with it."""
    names = [os.path.basename(word) for word in words]
    if names and names[0].lower().startswith("python"):
        names = _without_options(names[1:])
    return names[:1] == ["samovar"] and "run" in names


def _without_options(names: Sequence[str]) -> list[str]:
    """What an interpreter runs, behind its own options: of `python -X dev -m samovar run`, `samovar run`."""
    rest = list(names)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option == "-m":
            break
        if option in ("-X", "-W"):
            del rest[:1]
    return rest
