"""Beginnings of prompts that were requested before, including those no longer kept.

Above: `disk_index.py`, for `tree.py` and `states.py`. Below: nothing. What was seen twice is likely to come
again, and what only one conversation has asked for, turn by turn, is not. A beginning is remembered as a
short digest of its tokens, block by block, and so another process can learn of it without the tokens.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterable
from hashlib import blake2b

from samovar.engines.base import Conversation
from samovar.models.snapshot_folder import MAX_SEEN, SEEN_BYTES

BLOCK_TOKENS = 16
"""Beginnings are remembered at multiples of it, and whole prompts."""


class Sightings:
    """The blocks seen last. Mutable, by `see`."""

    def __init__(self, known: Iterable[bytes] = ()) -> None:
        """`known`: what earlier processes have seen."""
        # By digest: the one conversation that has asked for it, or None.
        self._askers: OrderedDict[bytes, Conversation | None] = OrderedDict.fromkeys(known)
        self.is_new = False
        """There are some since `digests` was last called."""

    def see(self, tokens: array[int], asker: Conversation | None) -> int:
        """A prompt was asked for. How many of its first tokens others have asked for before."""
        seen, is_known, digest = 0, True, blake2b(digest_size=SEEN_BYTES)
        for start in range(0, len(tokens), BLOCK_TOKENS):
            end = min(start + BLOCK_TOKENS, len(tokens))
            digest.update(tokens[start:end].tobytes())
            block = digest.digest()
            if block not in self._askers:
                is_known, self.is_new = False, True
                self._askers[block] = asker
            elif asker is None or self._askers[block] is not asker:
                self._askers[block] = None
                seen = end if is_known else seen
            else:
                is_known = False
            self._askers.move_to_end(block)
        while len(self._askers) > MAX_SEEN:
            self._askers.popitem(last=False)
        return seen

    def digests(self) -> bytes:
        """All, one after the other, the one seen last at the end."""
        self.is_new = False
        return b"".join(self._askers)
