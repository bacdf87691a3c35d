"""The project folders that the user trusts: one small file for each, in the user's state folder.

Above: `config/`, which says what the settings of a folder open, and the doors. Below: `places.py`, files. A
folder is trusted as it was: a digest of those of its settings that open something is kept with it, and one of
each of its workflows. What has changed since is not trusted until somebody says so again, nor is what cannot
be read.
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
"""In the environment: `1` has every project trusted, as in CI, if the whole machine is for one."""
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
    workflows: Mapping[str, str]
    """The digests of its workflows' texts as they were then, by their paths below the folder."""
    since_s: float
    """Seconds since 1970."""

    def changed(self, texts: Mapping[str, str | None]) -> list[str]:
        """The workflows that are not as they were, or not there. `texts`: the digests of now, by path."""
        return [path for path, kept in self.workflows.items() if texts.get(path) != kept]


def digest(opens: Mapping[str, object]) -> str:
    """The digest of settings that need trust, by name: the same for the same settings, however they are
    written."""
    text = json.dumps(opens, sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def text_digest(text: str) -> str:
    """The digest of a workflow's text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def is_trusted_by_environment() -> bool:
    """Raises `UsageError` if the variable says neither yes nor no."""
    said = os.environ.get(VARIABLE, "")
    if said.strip().lower() not in _WORDS:
        raise UsageError(f"{VARIABLE} cannot be {said!r}: expected 1 (every project is trusted) or 0.")
    return _WORDS[said.strip().lower()]


def standing(folder: Path, opens: str) -> Standing:
    """The user's trust in a folder with settings of this digest."""
    kept = kept_of(folder)
    if kept is None:
        return "unknown"
    return "trusted" if kept.opens == opens else "changed"


def kept_of(folder: Path) -> TrustedFolder | None:
    """The kept part of a folder that the user has trusted."""
    try:
        file, folder = _file_of(folder), folder.resolve()
    except OSError:  # of a current folder that was deleted
        return None
    kept = None if file is None else _read(file)
    return kept if kept is not None and kept.folder == folder else None


def keep(folder: Path, opens: str, workflows: Mapping[str, str]) -> None:
    """The folder is trusted from now on, as it is. Raises `UsageError` if that cannot be kept.

    `opens`: the digest of its settings that open something. `workflows`: those of its workflows, by path
    below the folder.
    """
    file = _file_of(folder)
    if file is None:
        raise UsageError(
            "There is no home folder to keep this in. Set HOME or XDG_STATE_HOME; or set "
            f"{VARIABLE}=1 to trust every project, as in CI."
        )
    record = {
        "folder": str(folder.resolve()),
        "opens": opens,
        "workflows": dict(workflows),
        "since_s": time.time(),
    }
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
        return TrustedFolder(
            folder=Path(record["folder"]),
            opens=str(record["opens"]),
            workflows={str(path): str(one) for path, one in record["workflows"].items()},
            since_s=float(record["since_s"]),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
