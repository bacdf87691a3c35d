"""Which folders of projects the user trusts: one small file for each, in the user's folder of state.

Above: `config.py`, which says what the settings of a folder open, and the doors. Below: `places.py`, files. A
folder is trusted as its settings were: a digest of those that open something is kept with it, and after a
change it is not trusted until somebody says so again. What cannot be read is not trusted.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from samovar.errors import UsageError
from samovar.files import write_whole
from samovar.projects.places import state_folder

VARIABLE = "SAMOVAR_TRUST"
"""In the environment: `1` has every project trusted, as in CI, where the whole machine is for one."""
_WORDS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("", "0", "false", "no", "off"), False),
}

Standing = Literal["trusted", "changed", "unknown"]
"""`changed`: it was trusted with other settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedFolder:
    """A folder that the user has trusted."""

    folder: Path
    opens: str
    """The digest of its settings that open something, as they were then."""
    since_s: float
    """Seconds since 1970."""


def digest(opens: Mapping[str, object]) -> str:
    """Of settings that open something, by name: the same for the same settings, however they are written."""
    text = json.dumps(opens, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def is_trusted_by_environment() -> bool:
    """Raises `UsageError` if the variable says neither yes nor no."""
    said = os.environ.get(VARIABLE, "")
    if said.strip().lower() not in _WORDS:
        raise UsageError(f"{VARIABLE} cannot be {said!r}: expected 1 (every project is trusted) or 0.")
    return _WORDS[said.strip().lower()]


def standing(folder: Path, opens: str) -> Standing:
    """How a folder stands with the user, with settings of this digest."""
    try:
        file, folder = _file_of(folder), folder.resolve()
    except OSError:  # of a current folder that was deleted
        return "unknown"
    kept = None if file is None else _read(file)
    if kept is None or kept.folder != folder:
        return "unknown"
    return "trusted" if kept.opens == opens else "changed"


def keep(folder: Path, opens: str) -> None:
    """The folder is trusted from now on. Raises `UsageError` if that cannot be kept."""
    file = _file_of(folder)
    if file is None:
        raise UsageError(
            "There is no home folder to keep this in. Set HOME or XDG_STATE_HOME; or set "
            f"{VARIABLE}=1 where every project is to be trusted, as in CI."
        )
    record = {"folder": str(folder.resolve()), "opens": opens, "since_s": time.time()}
    write_whole(file, json.dumps(record, ensure_ascii=True) + "\n")


def forget(folder: Path) -> bool:
    """The folder is not trusted any more; False if it was not. Raises `UsageError`."""
    file = _file_of(folder)
    try:
        if file is not None:
            file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UsageError(f"{file} cannot be deleted: {error.strerror}.") from error
    return file is not None


def trusted_folders() -> list[TrustedFolder]:
    """All that are kept, by their names; also those that are not there any more."""
    return sorted(_kept(), key=lambda one: str(one.folder))


def _kept() -> Iterator[TrustedFolder]:
    place = _place()
    try:
        files = sorted(place.glob("*.json")) if place else []
    except OSError:
        return
    for file in files:
        if (kept := _read(file)) is not None:
            yield kept


def _place() -> Path | None:
    state = state_folder()
    return None if state is None else state / "trusted"


def _file_of(folder: Path) -> Path | None:
    place = _place()
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]
    return None if place is None else place / f"{name}.json"


def _read(file: Path) -> TrustedFolder | None:
    try:
        record: Any = json.loads(file.read_text(encoding="utf-8"))
        folder, opens, since_s = (record[name] for name in ("folder", "opens", "since_s"))
        return TrustedFolder(folder=Path(folder), opens=str(opens), since_s=float(since_s))
    except (OSError, ValueError, TypeError, KeyError):
        return None
