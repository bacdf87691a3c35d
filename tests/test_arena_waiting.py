"""What the decode loop does for those who wait: once, and again only if the answer may have changed."""

from __future__ import annotations

import hashlib
import threading
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from samovar.engines.llama import arena
from samovar.engines.llama.context import Context
from samovar.engines.llama.model import LlamaModel
from samovar.engines.llama.prefixes import disk_index
from samovar.engines.llama.prefixes.disk_index import DiskIndex, PromptDigests
from samovar.engines.llama.prefixes.states import StatePrefixes
from samovar.engines.llama.prefixes.tree import TreePrefixes
from samovar.engines.llama.requests import Request
from samovar.generation import Options
from samovar.models.snapshot_file import Snapshot
from tests.on_tiny import loaded, user
from tests.tiny import make_tiny

pytestmark = pytest.mark.anyio

WAITING = 10
PREFIX = "many wait for this one. " * 60


def request(model: LlamaModel, text: str) -> Request:
    return model._request(model._template.tokens(user(text)), Options(max_tokens=1), None)


@pytest.mark.parametrize(("kind", "memory"), [("llama", TreePrefixes), ("mamba", StatePrefixes)])
async def test_what_is_known_of_a_prompt_that_waits_is_not_asked_again_with_each_chunk_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, memory: Any
) -> None:
    asked: list[int] = []
    batches: list[int] = []
    all_asked = threading.Event()
    known, decode = memory.known, Context.decode

    def noted(self: Any, tokens: Sequence[int], *rest: Any) -> int:
        asked.append(len(tokens))
        return int(known(self, tokens, *rest))

    def counted(context: Context, batch: Any) -> int:
        assert all_asked.wait(10)
        batches.append(batch.n_tokens)
        return decode(context, batch)

    monkeypatch.setattr(memory, "known", noted)
    monkeypatch.setattr(Context, "decode", counted)
    monkeypatch.setattr(arena, "BATCH_TOKENS", 64)
    async with loaded(make_tiny(tmp_path / "tiny.gguf", kind), 4096) as model:
        waiting = [request(model, f"{PREFIX}{number}") for number in range(WAITING)]
        for one in waiting:
            model._arena.submit(one)
        all_asked.set()
        with anyio.fail_after(60):
            for one in waiting:
                await one.events.finished.wait()
    assert len(batches) > 20, "the prefix is evaluated in many chunks"
    assert len(asked) <= 4 * WAITING


class FullStore:
    """Holds a copy of each start that is given."""

    def __init__(self, prompt: list[int], starts: Sequence[int]) -> None:
        self._entries = [
            Snapshot(path=Path(f"{start}.kv"), tokens=array("i", prompt[: start + 20]), start=start)
            for start in starts
        ]

    def entries(self) -> Sequence[Snapshot]:
        return self._entries

    def load(self, entry: Snapshot) -> bytes | None:
        return None

    def offer(
        self, tokens: Sequence[int], start: int, blob: bytearray, saves_s: float = 0.0
    ) -> Snapshot | None:
        return None

    def is_open(self, size_bytes: int) -> bool:
        return False

    def write_s(self, size_bytes: int) -> float:
        return 0.0

    def sightings(self) -> Sequence[bytes]:
        return ()

    def keep_sightings(self, digests: bytes) -> None:
        pass


def test_a_prompt_is_hashed_once_however_often_copies_of_it_are_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hashed: list[int] = []

    class Counting:
        def __init__(self, data: bytes = b"", *, digest_size: int) -> None:
            self._hash = hashlib.blake2b(digest_size=digest_size)
            self.update(data)

        def update(self, data: bytes) -> None:
            hashed.append(len(data))
            self._hash.update(data)

        def digest(self) -> bytes:
            return self._hash.digest()

    prompt = [number % 251 for number in range(2000)]
    index = DiskIndex(FullStore(prompt, range(0, 1900, 50)), 1)
    monkeypatch.setattr(disk_index, "blake2b", Counting)
    digests = PromptDigests(prompt)
    for length in (0, 700, 1990, 300, 1990):
        entry, end = index.best(digests, length)
        assert (entry is not None) == (length < 1990 and end > length)
    assert sum(hashed) <= 4 * len(prompt)
    for start in (0, 50, 1850):
        assert digests.beginning(start) == PromptDigests(prompt).beginning(start)
