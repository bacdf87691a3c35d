"""One file of a hub, fetched into the blobs of its cache: resumed, verified, complete or absent.

Above: `hub_download.py`. Below: `hub.py`, files. What has come stays beside the blob (`SHA256.samovar-part`)
when it is cut, and the next fetch continues from there, also of another process. It runs in a thread, and
looks for a stop between blocks.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

from samovar.errors import ModelFetchError
from samovar.files import is_file
from samovar.memory import in_words
from samovar.models.hub import CutError, Hub
from samovar.models.hub_cache import PART, HubFile
from samovar.models.reference import Reference

BLOCK_BYTES = 1 << 20
MOST_CUTS = 5
"""In a row without a new byte between them, after which it is given up for now."""
FIRST_WAIT_S = 0.5
"""After a cut; the next ones are twice as long each."""
LOCK_WAIT_S = 0.1

T = TypeVar("T")


class AbandonedError(Exception):
    """Anyone who waited for the file has gone."""


@dataclass(slots=True)
class FetchState:
    """How far a fetch is. Mutable: its thread counts, others read, and may stop it."""

    whole_bytes: int = 0
    """Bytes of files that are there."""
    part_bytes: int = 0
    """Bytes of the file that is being fetched."""
    total_bytes: int | None = None
    """None until it is known."""
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def done_bytes(self) -> int:
        return self.whole_bytes + self.part_bytes

    def look(self) -> None:
        """Raises `AbandonedError` when nobody waits any more."""
        if self.stopped.is_set():
            raise AbandonedError


def write_to_disk(file: IO[bytes], block: bytes) -> None:
    """All of a block. Raises `OSError`."""
    file.write(block)


@dataclass(slots=True, kw_only=True)
class _Come:
    """What has come of a file. Mutable: connections add to it."""

    digest: Any
    """Digest of all that is there."""
    furthest_bytes: int
    """The most that was ever there: a server may begin again each time, and would do so forever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobFetch:
    """What is fetched, from where, to where."""

    reference: Reference
    hub: Hub
    state: FetchState
    place: Path
    """The repository's folder in the cache."""
    wait: Callable[[float], object]
    """Lets this many seconds pass."""
    write: Callable[[IO[bytes], bytes], object]
    """Writes a block."""

    def blob(self, file: HubFile) -> Path:
        return self.place / "blobs" / file.blob

    def part(self, file: HubFile) -> Path:
        return self.place / "blobs" / f"{file.blob}{PART}"

    def fetch(self, file: HubFile, commit: str) -> None:
        """After this it is among the blobs. Raises `ModelError`, `OSError` of the disk, `AbandonedError`."""
        blob, part = self.blob(file), self.part(file)
        if is_file(blob):
            return
        with self._lock(file):
            if is_file(blob):  # fetched by another program meanwhile
                return
            come = _Come(digest=self._begin(file, part), furthest_bytes=self.state.part_bytes)
            while self.state.part_bytes < file.size_bytes:
                self.again(partial(self._receive, file, commit, come), file.name)
            if (found := come.digest.hexdigest()) != file.blob:
                part.unlink(missing_ok=True)
                raise ModelFetchError(
                    f"{self.reference.text}: {file.name} has the wrong content: its hash is "
                    f"{found}, but the hub says {file.blob}. It was deleted; fetch it again."
                )
            os.replace(part, blob)

    def _begin(self, file: HubFile, part: Path) -> Any:
        """The hash of what came before; there is no more of it than there should be."""
        digest = _digest_of(file)
        self.state.part_bytes = 0
        if size_of(part) > file.size_bytes:
            part.unlink()
        with suppress(FileNotFoundError), part.open("rb") as before:
            while block := before.read(BLOCK_BYTES):
                self.state.look()
                digest.update(block)
                self.state.part_bytes += len(block)
        return digest

    def _receive(self, file: HubFile, commit: str, come: _Come) -> None:
        """What comes in one connection. Raises `CutError` if it brought nothing that had not come before."""
        start = self.state.part_bytes
        with self.hub.open(self.reference, commit, file.name, start) as response:
            if start and response.status != 206:  # all of it comes again
                come.digest, start, self.state.part_bytes = _digest_of(file), 0, 0
            elif start and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                raise CutError("it sent another part than the one requested")
            with self.part(file).open("r+b" if start else "wb", buffering=0) as sink:
                sink.seek(start)
                while block := self._read(response, file):
                    self.write(sink, block)
                    come.digest.update(block)
                    self.state.part_bytes += len(block)
        if self.state.part_bytes <= come.furthest_bytes:
            was_cut = (
                "it starts again from the beginning each time, and is interrupted"
                if self.state.part_bytes > start
                else "nothing came"
            )
            raise CutError(was_cut)
        come.furthest_bytes = self.state.part_bytes

    def _read(self, response: Any, file: HubFile) -> bytes:
        """The next block, at most what is missing; empty at the end, or if the connection was cut."""
        self.state.look()
        try:
            block: bytes = response.read(min(BLOCK_BYTES, file.size_bytes - self.state.part_bytes))
        except http.client.IncompleteRead as error:
            return error.partial
        except (OSError, http.client.HTTPException):
            return b""
        return block

    def again(self, work: Callable[[], T], what: str) -> T:
        """What `work` returns; cut connections are tried again, with longer waits between them."""
        reason = ""
        for cuts in range(MOST_CUTS):
            if cuts:
                self.wait(FIRST_WAIT_S * 2 ** (cuts - 1))
            self.state.look()
            try:
                return work()
            except CutError as error:
                reason = str(error)
        done = in_words(self.state.done_bytes)
        kept = f" {done} are kept: the next try continues from there." if self.state.done_bytes else ""
        raise ModelFetchError(
            f"{self.reference.text} could not be fetched: {what} did not come from {self.hub.endpoint} "
            f"({reason}).{kept} Check the network."
        )

    @contextmanager
    def _lock(self, file: HubFile) -> Iterator[None]:
        """The lock of the hub's own library for this file."""
        try:
            import fcntl
        except ImportError:  # not of this system
            yield
            return
        path = self.place.parent / ".locks" / self.place.name / f"{file.blob}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    self.state.look()
                    self.state.part_bytes = size_of(self.part(file))  # which another program fetches
                    self.wait(LOCK_WAIT_S)
            yield


def _digest_of(file: HubFile) -> Any:
    """What its blob is called by: of a small file as Git hashes it."""
    if file.is_large:
        return hashlib.sha256()
    digest = hashlib.sha1(usedforsecurity=False)
    digest.update(f"blob {file.size_bytes}\0".encode())
    return digest


def size_of(path: Path) -> int:
    """Bytes of a file; 0 if it is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
