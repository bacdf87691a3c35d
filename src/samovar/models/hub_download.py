"""Fetches the file of an `hf:` reference, with all its parts, into the hub's cache.

Above: `fetching.py`. Below: `hub_blob.py`, `hub.py`, `hub_cache.py`. The hub's own library is not used: it
begins again with each call, does not say what it verifies, and takes a second to import. Its lock files are
kept to, so that two programs do not fetch one file.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import anyio

from samovar.background import beside, in_daemon_thread
from samovar.errors import ModelFetchError
from samovar.files import is_file
from samovar.memory import in_words
from samovar.models.fetch_progress import FetchProgress, OnFetchProgress
from samovar.models.hub import Hub
from samovar.models.hub_blob import BlobFetch, FetchState, size_of, write_to_disk
from samovar.models.hub_cache import MAIN, HubCache, HubFile, is_commit, is_file_name
from samovar.models.reference import Reference
from samovar.models.replacing import link_to, write_over
from samovar.models.split import part_names

SPARE_BYTES = 64 << 20
"""Bytes left free on the disk."""
LOOK_EVERY_S = 0.1


def free_bytes_of(folder: Path) -> int:
    """Bytes that are free on the disk of a folder."""
    return shutil.disk_usage(folder).free


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a fetch finds around it, so that something else can be put there."""

    free_bytes: Callable[[Path], int] = free_bytes_of
    wait: Callable[[float], object] | None = None
    """Lets this many seconds pass; None: they do, or the fetch is stopped."""
    write: Callable[[IO[bytes], bytes], object] = write_to_disk


async def fetch_from_hub(
    reference: Reference,
    cache: HubCache,
    hub: Hub,
    on_progress: OnFetchProgress,
    surroundings: Surroundings | None = None,
) -> Path:
    """Brings the file of an `hf:` reference into the cache, with all its parts, and returns its path.

    Raises `ModelFetchError` if it cannot be had or stored, `ModelNotFoundError` if there is no such
    repository, revision or file. Cancelled, what has come is kept for the next call.
    """
    state = FetchState()
    fetch = _Fetch(reference, cache, hub, state, surroundings or Surroundings())
    try:
        async with beside(watch_the_fetch=lambda: _watch(state, on_progress)):
            path = await in_daemon_thread(fetch.run, "samovar fetch")
    finally:
        state.stopped.set()
    on_progress(_progress(state))
    return path


async def _watch(state: FetchState, on_progress: OnFetchProgress) -> None:
    while True:
        on_progress(_progress(state))
        await anyio.sleep(LOOK_EVERY_S)


def _progress(state: FetchState) -> FetchProgress:
    return FetchProgress(done_bytes=state.done_bytes, total_bytes=state.total_bytes)


class _Fetch:
    """One fetch, in a thread of its own."""

    def __init__(
        self, reference: Reference, cache: HubCache, hub: Hub, state: FetchState, surroundings: Surroundings
    ) -> None:
        self._reference, self._cache, self._hub, self._state = reference, cache, hub, state
        self._place = cache.place_of(reference.repository or "")
        self._free_bytes = surroundings.free_bytes
        self._blobs = BlobFetch(
            reference=reference,
            hub=hub,
            state=state,
            place=self._place,
            wait=surroundings.wait or state.stopped.wait,
            write=surroundings.write,
        )

    def run(self) -> Path:
        """In a worker thread."""
        commit, files = self._blobs.again(lambda: self._hub.holds(self._reference), "the list of its files")
        if not is_commit(commit):
            raise ModelFetchError(f"{self._reference.text}: {self._hub.endpoint} names no commit.")
        known = {file.name: file for file in files}
        parts = self._parts(self._cache.chosen(self._reference, list(known)), known)
        self._state.total_bytes = sum(file.size_bytes for file in parts)
        try:
            (self._place / "blobs").mkdir(parents=True, exist_ok=True)
            self._check_room(parts)
            for file in parts:
                self._blobs.fetch(file, commit)
                self._state.whole_bytes, self._state.part_bytes = self._state.whole_bytes + file.size_bytes, 0
            return self._link(commit, parts, files)
        except OSError as error:
            raise self._not_stored(error) from error

    def _parts(self, chosen: str, known: dict[str, HubFile]) -> list[HubFile]:
        """All parts of the file that is meant. What a hub says is data: no name leads out of the cache."""
        names = part_names(chosen)
        if missing := [name for name in names if name not in known]:
            raise ModelFetchError(
                f"{self._reference.text}: {missing[0]} is missing at the hub, although "
                f"its other parts are there."
            )
        for file in (known[name] for name in names):
            if not file.has_hash or file.size_bytes <= 0:
                raise ModelFetchError(f"{self._reference.text}: {file.name} has no hash or size at the hub.")
            if not is_file_name(file.name):
                raise ModelFetchError(f"{self._reference.text}: {file.name!r} is not a valid file name.")
        return [known[name] for name in names]

    def _check_room(self, parts: list[HubFile]) -> None:
        missing = [file for file in parts if not is_file(self._blobs.blob(file))]
        needed = sum(file.size_bytes - size_of(self._blobs.part(file)) for file in missing)
        free = self._free_bytes(self._place)
        if needed > 0 and needed + SPARE_BYTES > free:
            raise self._no_room(needed, f", and {in_words(free)} are free")

    def _no_room(self, needed: int, free: str = "") -> ModelFetchError:
        return ModelFetchError(
            f"There is no room for {self._reference.text}: {in_words(needed)} more are needed in "
            f"{self._cache.folder}{free}. Make room, or set HF_HUB_CACHE to another folder."
        )

    def _not_stored(self, error: OSError) -> ModelFetchError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return self._no_room((self._state.total_bytes or 0) - self._state.done_bytes)
        return ModelFetchError(
            f"{self._reference.text} cannot be stored in {self._cache.folder}: {error.strerror or error}. "
            "Set HF_HUB_CACHE to a folder that you may write to."
        )

    def _link(self, commit: str, parts: list[HubFile], files: tuple[HubFile, ...]) -> Path:
        """Gives the files their names, remembers the rest, and returns the first."""
        snapshot = self._place / "snapshots" / commit
        for file in parts:
            link_to(self._blobs.blob(file), snapshot / file.name)
        revision = self._reference.revision or MAIN
        if not is_commit(revision):
            ref = self._place / "refs" / revision
            ref.parent.mkdir(parents=True, exist_ok=True)
            write_over(ref, commit)
        with suppress(OSError):
            self._cache.remember(self._reference.repository or "", commit, files)
        return snapshot / parts[0].name
