"""Keyed hashes of secrets: they tell a secret from another one, and are of no use without the key.

Above: `sqlite.py`. Below: files. The key is a file beside the journal, for its user alone, and in no export:
whoever has only the journal cannot try values.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from samovar.errors import JournalError
from samovar.journal.codec import to_json

KEY_BYTES = 32


class Proofs:
    """Hashes with the key of one journal. Mutable: the key, read or made when it is first needed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._key: bytes | None = None

    def of(self, name: str, value: object) -> str:
        """A hash of a value, with the name of the key. Raises `JournalError`."""
        key = self._key or self._read() or self._make()
        return f"{_name_of(key)}:{_hash(key, name, value)}"

    def is_of(self, proof: str, name: str, value: object) -> bool:
        """Whether the hash is of that value. Raises `JournalError` if its key is not there any more."""
        key = self._key or self._read()
        if key is None or not proof.startswith(f"{_name_of(key)}:"):
            raise JournalError(f"The key {self._file} is not the one that the run began with.")
        return hmac.compare_digest(proof, f"{_name_of(key)}:{_hash(key, name, value)}")

    def _read(self) -> bytes | None:
        try:
            key = self._file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise JournalError(f"The key {self._file} cannot be read: {error.strerror}.") from error
        if len(key) != KEY_BYTES:
            raise JournalError(f"The key {self._file} is damaged. Move it away to get a new one.")
        self._key = key
        return key

    def _make(self) -> bytes:
        """Whole or not at all, and once, also where several processes make it."""
        own = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(own, self._file)
            own.unlink()
        except OSError as error:
            raise JournalError(f"The key {self._file} cannot be written: {error.strerror}.") from error
        key = self._read()
        if key is None:
            raise JournalError(f"The key {self._file} is gone again.")
        return key


def _name_of(key: bytes) -> str:
    return hashlib.sha256(b"samovar journal key" + key).hexdigest()[:16]


def _hash(key: bytes, name: str, value: object) -> str:
    text = to_json([name, value])
    return hmac.new(key, text.encode("ascii"), hashlib.sha256).hexdigest()
