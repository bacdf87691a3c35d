"""Keyed hashes of secrets: they tell a secret from another one, and are of no use without the key.

Above: `sqlite.py`. Below: the key of the journal, digests.
"""

from __future__ import annotations

import hmac
from pathlib import Path

from samovar.errors import JournalError
from samovar.journal.inputs import digest_of
from samovar.journal.keys import key_beside


class Proofs:
    """Hashes with the key of one journal. Mutable: the key, read or made when it is first needed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._key: bytes | None = None

    def of(self, name: str, value: object) -> str:
        """A hash of a value, with the name of the key. Raises `JournalError`."""
        if self._key is None:
            try:
                self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise JournalError(
                    f"The journal {self._file} cannot be used: {error.strerror}. Name another place with "
                    "--journal."
                ) from error
            self._key = key_beside(self._file)
        return f"{digest_of('key', self._key)}:{digest_of((name, value), self._key)}"

    def is_of(self, proof: str, name: str, value: object) -> bool:
        """Whether the hash is of that value. Raises `JournalError` if its key is gone."""
        now = self.of(name, value)
        if now.partition(":")[0] != proof.partition(":")[0]:
            raise JournalError(f"The key {self._file}.key is not the one that the run began with.")
        return hmac.compare_digest(now, proof)
