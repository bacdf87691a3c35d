"""A loss of power costs at most the last steps, never the journal, and nothing that may not be done twice."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from samovar.journal.base import Intent, RunHead, RunStatus, VisitKey, VisitOutcome
from samovar.journal.checkpointing import Checkpointer
from samovar.journal.sqlite import SqliteJournal
from samovar.journal.texts import Texts, cut
from samovar.journal.writer import Writer

pytest.importorskip("apsw")
from tests.power_loss import Disk, connect_to

pytestmark = pytest.mark.anyio
HEAD = RunHead(id="r1", workflow="w", path=None, folder="/", started_at=5.0)
VISITS, EVERY_CHECKPOINT, EVERY_COMMAND = 24, 7, 4
ROUNDS = 60


class OftenCheckpoints(Checkpointer):
    """Puts the log into the file every few writes. Mutable: how many there were."""

    def __init__(self) -> None:
        super().__init__(Path("j.db"))
        self._looked = 0

    def look(self, connection: Any, *, at_end: bool = False) -> None:
        self._looked += 1
        if not self._looked % EVERY_CHECKPOINT:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def kept_on(disk: Disk, note: Callable[[str, int, bool], None]) -> None:
    """A run of some visits. `note`: what was kept, of which visit, and whether it was synced."""
    writer = partial(Writer, connect=lambda file: connect_to(disk), checkpointer=OftenCheckpoints())
    journal = SqliteJournal(Path("j.db"), open_writer=writer)
    async with journal.begin(HEAD) as run:
        for number in range(1, VISITS + 1):
            key, is_command = VisitKey(path="A", nth=number), number % EVERY_COMMAND == 0
            await run.intend(
                Intent(key=key, number=number, verb="x", entered_at=1.0, is_repeatable=not is_command)
            )
            note("intent", number, is_command)
            await run.leave(key, VisitOutcome(value=f"{number} " * 400))
            note("outcome", number, False)
        await run.end(RunStatus.COMPLETED)
    journal.close()


@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_a_loss_of_power_costs_the_last_steps_at_most(seed: int) -> None:
    chance = random.Random(seed)
    whole = Disk(chance)
    await kept_on(whole, lambda what, number, is_synced: None)
    known: list[tuple[str, int]] = []
    synced = 0
    disk = Disk(chance, loses_at=chance.randint(1, whole.writes))

    def note(what: str, number: int, is_synced: bool) -> None:
        nonlocal synced
        if disk.lost is None:
            known.append((what, number))
            synced = len(known) if is_synced else synced

    await kept_on(disk, note)
    assert disk.lost is not None
    found = connect_to(disk.lost)
    assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rows = found.execute("SELECT nth, outcome IS NOT NULL OR text IS NOT NULL FROM visit").fetchall()
    assert [nth for nth, _ in sorted(rows)] == list(range(1, len(rows) + 1)), "nothing is missing in between"
    assert all(done for _, done in sorted(rows)[:-1])
    there = {("intent", nth) for nth, _ in rows} | {("outcome", nth) for nth, done in rows if done}
    assert set(known[:synced]) <= there, "what was done before a command is known after it"
    found.close()


async def test_the_name_of_a_value_file_is_synced_before_a_row_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    if not os.path.exists("/proc/self/fd"):
        pytest.skip("the system does not say what a descriptor is of")
    monkeypatch.setattr(os, "fsync", fsync)
    values = tmp_path / "j.db.values"

    class Rows:
        def execute(self, statement: str, values: object) -> None:
            synced.append("row")

    Texts(values).keep(Rows(), 1, cut(VisitOutcome(value="x" * 2_000_000)))
    first = synced.index("row")
    assert synced[0] == str(tmp_path) and synced[first - 1] == str(values)
    assert len(synced[1 : first - 1]) == 1, "the file itself"


async def test_without_a_sync_the_disk_does_lose_what_it_should_keep() -> None:
    """So that the test above can fail."""
    lost = 0
    for seed in range(ROUNDS):
        chance = random.Random(seed)
        disk = Disk(chance)
        connection = connect_to(disk)
        disk.loses_at = disk.writes + chance.randint(20, 300)
        connection.execute("PRAGMA synchronous = OFF")
        for number in range(1, 80):
            connection.execute("INSERT INTO text VALUES (?, ?)", (str(number), "x" * 3_000))
            if number % 5 == 0:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        if disk.lost is None:
            continue
        try:
            found = connect_to(disk.lost)
            lost += found.execute("PRAGMA integrity_check").fetchone() != ("ok",)
        except Exception:
            lost += 1
    assert lost
