"""LM Studio's folder of models, read in place: `lmstudio:PUBLISHER/REPO[/FILE.gguf]`.

Above: `stores.py`. Below: `stored.py`, `quants.py`. The folder is `models` in LM Studio's home, or what its
own settings say: `PUBLISHER/REPO/*.gguf`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import ClassVar

from samovar.errors import ModelNotFoundError, UsageError, nearest
from samovar.files import is_file, is_folder
from samovar.models.quants import file_meant, guess, models_of, shortest_end
from samovar.models.reference import Reference, Scheme
from samovar.models.split import check_complete
from samovar.models.stored import Stored

MOST_FILES = 10_000
"""Looked at in one folder."""


class LmStudio:
    """See `stored.ModelStore`."""

    scheme: ClassVar[Scheme] = "lmstudio"
    title: ClassVar[str] = "LM Studio"

    def __init__(self, folder: Path | None) -> None:
        """`folder`: with a folder for each publisher in it; None: there is none."""
        self.folder = folder

    def find(self, reference: Reference) -> Path:
        repository = reference.repository or ""
        folder = None if self.folder is None else self.folder / repository
        if folder is None or not is_folder(folder):
            known = [one.reference.removeprefix("lmstudio:").rpartition(":")[0] for one in self.listed()]
            where = f" in {self.folder}" if self.folder else ": there is no folder of LM Studio"
            raise ModelNotFoundError(
                f"{reference.text} is not here{where}.{nearest(repository, known)} "
                f"To fetch it: lms get {repository}, or hf:{repository}."
            )
        names = files_below(folder)
        chosen = file_meant(names, reference.file, reference.quant)
        if chosen is None:
            raise ModelNotFoundError(f"{reference.text} is not in {folder}.{guess(names, reference.file)}")
        check_complete(folder / chosen)
        return folder / chosen

    def listed(self) -> Iterator[Stored]:
        for publisher in folders_in(self.folder):
            for repository in folders_in(publisher):
                base = f"{publisher.name}/{repository.name}"
                names = files_below(repository)
                for name in models_of(names):
                    yield Stored(
                        reference=f"lmstudio:{base}{shortest_end(names, name)}",
                        scheme=self.scheme,
                        path=repository / name,
                    )

    def remove(self, reference: Reference) -> int:
        raise UsageError(
            f"{reference.text} belongs to LM Studio, which keeps track of its files. "
            "Delete it there, under My Models."
        )


def folder_of_lm_studio(home: Path | None) -> Path | None:
    """Where LM Studio keeps models; None if it has never been here."""
    if home is None:
        return None
    pointer = home / ".lmstudio-home-pointer"
    pointed = _read(pointer).strip()
    homes = [
        *([from_home(pointed, home)] if pointed else ()),
        home / ".lmstudio",
        home / ".cache" / "lm-studio",
    ]
    for one in homes:
        if is_folder(one):
            try:
                told = json.loads(_read(one / "settings.json") or "{}")
            except (ValueError, RecursionError):
                told = {}
            own = told.get("downloadsFolder") if isinstance(told, dict) else None
            return from_home(own, home) if isinstance(own, str) and own else one / "models"
    return None


def from_home(text: str, home: Path | None) -> Path:
    """The folder that a variable or a setting of a program names, which may begin with `~`."""
    is_below = home is not None and (text == "~" or text.startswith("~/"))
    return Path(str(home) + text[1:] if is_below else text)


def _read(path: Path) -> str:
    if not is_file(path):
        return ""
    try:
        with path.open("rb") as file:
            return file.read(1 << 16).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""


def folders_in(folder: Path | None) -> list[Path]:
    """The folders in a folder, sorted; none if there is none, or it may not be read."""
    try:
        return sorted(one for one in folder.iterdir() if is_folder(one)) if folder is not None else []
    except (OSError, ValueError):
        return []


def files_below(folder: Path) -> list[str]:
    """The model files below a folder by their paths in it, sorted; links that lead nowhere are not there."""
    try:
        found = list(islice(folder.rglob("*.gguf"), MOST_FILES))
    except (OSError, ValueError, RecursionError):
        return []
    return sorted(path.relative_to(folder).as_posix() for path in found if is_file(path))
