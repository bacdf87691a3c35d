"""The hub's cache on this machine, shared with its own library, llama.cpp and others: `hf:OWNER/REPO…`.

Above: `stores.py`, `hub_download.py`. Below: `stored.py`, `quants.py`. The layout is that of the hub's own
library: `models--OWNER--REPO` with `blobs/SHA256`, `refs/REVISION` (a commit) and `snapshots/COMMIT/FILE`,
links into `blobs`. What a repository holds at a commit is remembered in Samovar's own cache, so that the same
reference leads to the same file without a network.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from samovar.errors import ModelFetchError, ModelNotFoundError, UsageError
from samovar.files import is_file, is_folder
from samovar.models.lm_studio import files_below, folders_in, from_home
from samovar.models.quants import file_meant, guess, models_of, shortest_end
from samovar.models.reference import Reference, Scheme
from samovar.models.replacing import write_over
from samovar.models.split import check_complete, parts_of
from samovar.models.stored import Stored
from samovar.values import is_utf8

MAIN = "main"
PART = ".samovar-part"
"""The end of a blob's name while it is fetched."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(r"models--([^/]+?)--([^/]+)")
_BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NEVER_IN_NAMES = re.compile(r"[\\\0-\x1f\x7f]" if os.name != "nt" else r'[\\\0-\x1f\x7f:*?"<>|]')


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """A file of a repository."""

    name: str
    """Its path there."""
    size_bytes: int
    blob: str
    """What it is called among the blobs: its SHA-256, or for small ones its hash in Git."""

    @property
    def is_large(self) -> bool:
        """Whether the blob's name is a SHA-256."""
        return len(self.blob) == 64

    @property
    def has_hash(self) -> bool:
        """Whether a blob can be called so."""
        return _BLOB.fullmatch(self.blob) is not None


def is_file_name(name: str) -> bool:
    """Whether a name that a hub gave is that of a file below its snapshot: what a hub says is data."""
    # The system may take a name for one without the blanks and dots at its end.
    parts = (part.rstrip(" .") for part in name.split("/"))
    return all(parts) and _NEVER_IN_NAMES.search(name) is None and is_utf8(name)


def is_commit(revision: str) -> bool:
    """Whether a revision is one forever."""
    return _COMMIT.fullmatch(revision) is not None


class HubCache:
    """See `stored.ModelStore`."""

    scheme: ClassVar[Scheme] = "hf"
    title: ClassVar[str] = "the hub's cache"

    def __init__(self, folder: Path | None, memory: Path | None = None) -> None:
        """`folder`: the cache. `memory`: where it is kept what repositories hold. None: there is no place."""
        self._folder, self._memory = folder, memory

    @property
    def folder(self) -> Path:
        """Where models are, or would be. Raises `ModelFetchError` if there is no place for it."""
        if self._folder is None:
            raise ModelFetchError(
                "There is no home folder for the hub's cache. Set HOME, or HF_HOME to a folder that you may "
                "write to."
            )
        return self._folder

    def place_of(self, repository: str) -> Path:
        """The folder of a repository, whose name is the same in upper and lower case, as at the hub."""
        name = f"models--{repository.replace('/', '--')}"
        if not is_folder(self.folder / name):
            for one in folders_in(self.folder):
                if one.name.lower() == name.lower():
                    return one
        return self.folder / name

    # Finding ----------------------------------------------------------------------------------------------

    def find(self, reference: Reference) -> Path:
        repository = reference.repository or ""
        commit = None if self._folder is None else self._commit_of(repository, reference.revision)
        if commit is None:
            raise not_fetched(reference)
        snapshot = self.place_of(repository) / "snapshots" / commit
        here = files_below(snapshot)
        # A file that is here under this name must not hide that the repository has the one that is meant.
        names = [file.name for file in self.remembered(repository, commit)] or here
        chosen = self.chosen(reference, names)
        if not is_file(snapshot / chosen):
            raise not_fetched(reference)
        check_complete(snapshot / chosen)
        return snapshot / chosen

    def chosen(self, reference: Reference, names: list[str]) -> str:
        """Which of a repository's files is meant, of several parts the first. Raises `ModelNotFoundError`."""
        chosen = file_meant(names, reference.file, reference.quant)
        if chosen is None:
            wanted = reference.file or reference.quant
            way = "" if models_of(names) else " Many models have a second repository with -GGUF in its name."
            raise ModelNotFoundError(
                f"{reference.text}: {reference.repository} has no {wanted or 'GGUF model'}."
                f"{guess(names, reference.file)}{way}"
            )
        return chosen

    def _commit_of(self, repository: str, revision: str | None) -> str | None:
        """The commit that is here for a revision; None if there is none."""
        place = self.place_of(repository)
        if revision is not None and is_commit(revision):
            return revision if is_folder(place / "snapshots" / revision) else None
        ref = place / "refs" / (revision or MAIN)
        with suppress(OSError, ValueError):
            if is_file(ref):
                commit = ref.read_text("utf-8").strip()
                return commit if is_commit(commit) else None
        if revision is None:
            snapshots = [one.name for one in folders_in(place / "snapshots") if is_commit(one.name)]
            return snapshots[0] if len(snapshots) == 1 else None
        return None

    # Listing ----------------------------------------------------------------------------------------------

    def listed(self) -> Iterator[Stored]:
        for place in folders_in(self._folder):
            match = _REPOSITORY.fullmatch(place.name)
            if match is None:
                continue
            repository, seen = f"{match[1]}/{match[2]}", set[Path]()
            for commit, revision in self._snapshots(place):
                snapshot = place / "snapshots" / commit
                here = files_below(snapshot)
                remembered = [file.name for file in self.remembered(repository, commit)] or here
                for name in models_of(here):
                    blob = (snapshot / name).resolve()
                    if blob not in seen:
                        seen.add(blob)
                        end = shortest_end(remembered, name)
                        at = f"@{revision}" if revision else ""
                        yield Stored(
                            reference=f"hf:{repository}{end}{at}", scheme=self.scheme, path=snapshot / name
                        )

    def _snapshots(self, place: Path) -> list[tuple[str, str]]:
        """(commit, revision to write) of each snapshot, that of the main branch first."""
        main = self._commit_of(place.name.removeprefix("models--").replace("--", "/", 1), None)
        commits = [one.name for one in folders_in(place / "snapshots") if is_commit(one.name)]
        return sorted(((one, "" if one == main else one) for one in commits), key=lambda one: one[1])

    # What repositories hold -------------------------------------------------------------------------------

    def remembered(self, repository: str, commit: str) -> tuple[HubFile, ...]:
        """The files of a repository at a commit, as the hub said; empty if it was not asked from here.

        What cannot be the name of a file below the snapshot is left out.
        """
        try:
            told = json.loads(self._memory_of(repository, commit).read_text("utf-8"))
            files = [HubFile(name=name, size_bytes=size, blob=blob) for name, size, blob in told]
            return tuple(file for file in files if is_file_name(file.name))
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            return ()

    def remember(self, repository: str, commit: str, files: tuple[HubFile, ...]) -> None:
        """Keeps that, if there is a place for it, but for names that no file there can have."""
        told = [[file.name, file.size_bytes, file.blob] for file in files if is_file_name(file.name)]
        with suppress(OSError, ValueError):
            path = self._memory_of(repository, commit)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_over(path, json.dumps(told))

    def _memory_of(self, repository: str, commit: str) -> Path:
        if self._memory is None:
            raise FileNotFoundError("there is no folder for the files of repositories")
        if not is_commit(commit):
            raise ValueError("that is not a commit")
        return self._memory / f"models--{repository.replace('/', '--')}" / f"{commit}.json"

    # Deleting ---------------------------------------------------------------------------------------------

    def remove(self, reference: Reference) -> int:
        place = self.place_of(reference.repository or "")
        try:
            path = self.find(reference)
        except ModelNotFoundError:
            if freed := self._remove_parts(place):
                return freed
            raise
        links = parts_of(path)
        self._check_below(place, links, reference)
        blobs = {link.resolve() for link in links if link.is_symlink()}
        freed = sum(link.stat().st_size for link in links if not link.is_symlink())
        for link in links:
            link.unlink()
        others = {one.resolve() for one in (place / "snapshots").rglob("*") if one.is_symlink()}
        for blob in blobs - others:
            if blob.parent == (place / "blobs").resolve() and is_file(blob):
                freed += blob.stat().st_size
                blob.unlink()
        self._tidy(place, path.parent)
        return freed

    def _check_below(self, place: Path, links: tuple[Path, ...], reference: Reference) -> None:
        """Raises `UsageError` for names that lead out of the snapshots, if nothing is ours to delete."""
        root = (place / "snapshots").resolve()
        for link in links:
            if ".." in link.parts or not link.parent.resolve().is_relative_to(root):
                raise UsageError(
                    f"{reference.text}: {link} is not below {root}, so it was kept. Delete it like any "
                    f"other file."
                )

    def _remove_parts(self, place: Path) -> int:
        """Deletes parts of fetches that were stopped."""
        parts = [one for one in files_in(place / "blobs") if one.name.endswith(PART)]
        freed = sum(part.stat().st_size for part in parts)
        for part in parts:
            part.unlink()
        if parts:
            self._tidy(place, place / "snapshots")
        return freed

    def _tidy(self, place: Path, folder: Path) -> None:
        """Removes folders that are empty now, and names of a snapshot that is not there any more."""
        while folder != place:
            try:
                folder.rmdir()
            except OSError:
                break
            folder = folder.parent
        commits = {one.name for one in folders_in(place / "snapshots")}
        for ref in [one for one in (place / "refs").rglob("*") if one.is_file()]:
            with suppress(OSError):
                if ref.read_text("utf-8", errors="replace").strip() not in commits:
                    ref.unlink()
        if not commits and not files_in(place / "blobs"):
            for one in sorted(place.rglob("*"), reverse=True):
                with suppress(OSError):
                    one.rmdir()
            with suppress(OSError):
                place.rmdir()


def files_in(folder: Path) -> list[Path]:
    """The files in a folder."""
    try:
        return [one for one in folder.iterdir() if is_file(one)]
    except (OSError, ValueError):
        return []


def not_fetched(reference: Reference) -> ModelNotFoundError:
    """The message about a model that could be fetched."""
    return ModelNotFoundError(f"{reference.text} has not been fetched: samovar pull {reference.text}")


def folder_of_hub_cache(environment: Mapping[str, str], home: Path | None) -> Path | None:
    """Where the cache is, found in the order of llama.cpp's `common/hf-cache.cpp`; None without a home."""
    for variable, below in (
        ("LLAMA_CACHE", ""),
        ("HF_HUB_CACHE", ""),
        ("HUGGINGFACE_HUB_CACHE", ""),
        ("HF_HOME", "hub"),
        ("XDG_CACHE_HOME", "huggingface/hub"),
    ):
        if text := environment.get(variable, ""):
            return from_home(text, home) / below
    return None if home is None else home / ".cache" / "huggingface" / "hub"
