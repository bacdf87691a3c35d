"""Whether the user's rules allow what a program that answers prompts wants to do itself.

Above: the runner. Below: `permission.py`, whose rules hold for the tools of models and for these in the same
sense. A rule about files is of those below the run's folder, and no link on the way leads elsewhere.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from samovar.actions.file_places import Target
from samovar.executors.base import Deed
from samovar.tools.permission import host_is_allowed, may_run, may_write


def are_allowed(rules: Sequence[str], deeds: Sequence[Deed], folder: Path) -> bool:
    """Whether there are any, and each is allowed without asking. `folder`: of the run."""
    return bool(deeds) and all(_is_allowed(rules, deed, folder) for deed in deeds)


def _is_allowed(rules: Sequence[str], deed: Deed, folder: Path) -> bool:
    if deed.kind == "shell":
        return may_run(rules, deed.words)
    if deed.kind == "fetch":
        return host_is_allowed(rules, deed.words[0])
    target = _below(deed.words[0], folder)
    return target is not None and may_write(rules, target)


def _below(path: str, folder: Path) -> Target | None:
    """The file, if it is below the folder and nothing on the way is a link; it may not be there yet."""
    if "\0" in path or not os.path.isabs(path) or ".." in path.split(os.sep):
        return None
    root = os.path.realpath(folder)
    for base in dict.fromkeys((os.path.abspath(folder), root)):
        names = os.path.relpath(path, base).split(os.sep)
        if names[0] not in ("..", ".") and not _leads_elsewhere(root, names):
            return Target(folder=Path(root), below=tuple(names), shown=path)
    return None


def _leads_elsewhere(root: str, names: Sequence[str]) -> bool:
    """By a link, or since the file has another name too."""
    place = root
    for number, name in enumerate(names):
        place = os.path.join(place, name)
        try:
            found = os.lstat(place)
        except FileNotFoundError:
            return False
        except (OSError, ValueError):
            return True
        is_last = number == len(names) - 1
        if is_last and (not stat.S_ISREG(found.st_mode) or found.st_nlink > 1):
            return True
        if not is_last and not stat.S_ISDIR(found.st_mode):
            return True
    return False
