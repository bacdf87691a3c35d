"""What several processes of one user hold together: counted, swept, raced for, and never in the way."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import anyio
import psutil
import pytest

from samovar.engines.base import ModelSpec
from samovar.errors import BudgetError
from samovar.models.cost import Cost
from samovar.serving.ledger import file_of
from samovar.serving.lines import OVERTAKEN_MOST
from samovar.serving.pool import Pool
from samovar.serving.reservations import Holding, Reservations, runtime_folder
from samovar.serving.room import OTHERS_EACH_S, OTHERS_MOST_S, OVERTAKEN_MOST_S
from tests.test_pool import Clock, SlowEngine, spec

pytestmark = pytest.mark.anyio


def reserved(folder: Path) -> list[int]:
    """The bytes in the files, smallest first."""
    files = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    return sorted(file["private_bytes"] + sum(file["weights"].values()) for file in files)


def private(held_bytes: int) -> Holding:
    return Holding(private_bytes=held_bytes)


def test_what_one_takes_counts_for_the_other_until_it_is_given_back(tmp_path: Path) -> None:
    one, other = (Reservations(tmp_path / "run", is_measured=False) for _ in range(2))
    assert one.take(private(60), 100)
    assert (one.others().total_bytes, other.others().total_bytes) == (0, 60)
    assert not other.take(private(50), 100)
    assert reserved(tmp_path / "run") == [60]
    one.give_back(private(30))
    one.give_back(private(90))
    assert other.take(private(50), 100)
    assert reserved(tmp_path / "run") == [30, 50]
    one.close()
    one.close()
    assert reserved(tmp_path / "run") == [50]
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700


def test_weights_of_one_file_count_once_however_many_map_them(tmp_path: Path) -> None:
    one, other, third = (Reservations(tmp_path / "run", is_measured=False) for _ in range(3))
    held = Holding(private_bytes=10, weights={"a": 60})
    assert one.take(held, 100) and other.take(held, 100)
    assert third.others().beside({"a": 60}) == 20
    assert third.others().total_bytes == 80
    assert not third.take(Holding(private_bytes=5, weights={"b": 20}), 100)
    assert third.take(Holding(private_bytes=5, weights={"b": 15}), 100)


def test_of_many_who_decide_at_the_same_moment_one_gets_the_room(tmp_path: Path) -> None:
    many = [Reservations(tmp_path / "run", is_measured=False) for _ in range(6)]
    with ThreadPoolExecutor(6) as threads:
        got = list(threads.map(lambda one: one.take(private(60), 100), many))
    assert got.count(True) == 1
    assert reserved(tmp_path / "run") == [60]


def test_what_a_dead_process_held_is_swept_even_when_its_id_is_used_again(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    begun_s = psutil.Process().create_time()
    for name, pid, started_s in (("ended", ended.pid, begun_s), ("again", os.getpid(), begun_s - 1000)):
        (folder / f"{name}.json").write_text(
            json.dumps({"pid": pid, "started_s": started_s, "private_bytes": 70, "weights": {}})
        )
    assert Reservations(folder, is_measured=False).others().total_bytes == 0
    assert reserved(folder) == []


def test_files_that_make_no_sense_count_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    for number, text in enumerate(("", "{", "[]", "{}", '{"pid": "x"}', "\xff")):
        (folder / f"{number}.json").write_text(text)
    assert Reservations(folder, is_measured=False).others().total_bytes == 0


def test_a_measured_budget_does_not_count_again_what_was_taken_before(tmp_path: Path) -> None:
    # The other is this process as well: surely more than these 1,000 bytes are taken by it.
    other = Reservations(tmp_path / "run", is_measured=False)
    assert other.take(private(1000), 10_000)
    by_hand = Reservations(tmp_path / "run", is_measured=False)
    measured = Reservations(tmp_path / "run", is_measured=True)
    assert (by_hand.others().total_bytes, measured.others().total_bytes) == (1000, 0)
    assert other.take(private(1500), 10_000)
    assert (by_hand.others().total_bytes, measured.others().total_bytes) == (1500, 500)
    other.close()
    assert measured.others().total_bytes == 0


def test_what_is_promised_and_not_taken_yet_counts_for_a_measured_budget(tmp_path: Path) -> None:
    other = Reservations(tmp_path / "run", is_measured=False)
    assert other.take(private(1 << 50), 1 << 51)
    assert Reservations(tmp_path / "run", is_measured=True).others().total_bytes > 1 << 49


@pytest.mark.parametrize("kind", ["a file", "a folder that others can enter"])
def test_a_folder_that_cannot_be_used_is_told_once_and_stops_nothing(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    if kind == "a file":
        folder.write_text("")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    with caplog.at_level(logging.WARNING, "samovar"):
        reservations = Reservations(folder, is_measured=True)
        assert reservations.take(private(1 << 60), 1)
        assert reservations.others().total_bytes == 0
        reservations.give_back(private(0))
        reservations.close()
    assert len(caplog.records) == 1
    assert str(folder) in caplog.text


def test_the_folder_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_folder() == tmp_path / "samovar"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert str(os.getuid()) in runtime_folder().name


def pool_in(folder: Path, clock: Clock, sizes: dict[str, int]) -> Pool:
    reservations = Reservations(folder, is_measured=False)
    return Pool(
        SlowEngine(sizes), budget_bytes=100, keep_alive_s=None, clock=clock, reservations=reservations
    )


async def test_a_pool_says_what_it_holds_and_takes_its_file_away(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    async with pool_in(folder, Clock(), {"a": 60, "b": 50}) as pool:
        assert reserved(folder) == []
        async with pool.lease(spec("a")):
            assert reserved(folder) == [60]
        async with pool.lease(spec("b")):
            assert reserved(folder) == [50]
    assert reserved(folder) == []


async def test_a_pool_waits_for_the_room_another_process_holds(tmp_path: Path) -> None:
    clock = Clock()
    other = Reservations(tmp_path / "run", is_measured=False)
    assert other.take(private(50), 100)
    got: list[str] = []
    with anyio.fail_after(60):
        async with pool_in(tmp_path / "run", clock, {"a": 60, "b": 10}) as pool:

            async def use() -> None:
                async with pool.lease(spec("a")):
                    got.append("a")

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(use)
                await anyio.wait_all_tasks_blocked()
                pool.check()
                assert pool._room.next_s() == OTHERS_EACH_S
                async with pool.lease(spec("b")):
                    assert got == []
                    other.close()
            assert got == ["a"]


async def test_what_only_another_process_keeps_out_is_refused_in_the_end(tmp_path: Path) -> None:
    clock = Clock()
    other = Reservations(tmp_path / "run", is_measured=False)
    assert other.take(private(50), 100)
    told: list[str] = []
    with anyio.fail_after(60):
        async with pool_in(tmp_path / "run", clock, {"a": 60, "b": 10}) as pool:

            async def use() -> None:
                with pytest.raises(BudgetError) as caught:
                    async with pool.lease(spec("a")):
                        raise AssertionError("it was lent")
                told.append(str(caught.value))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(use)
                await anyio.wait_all_tasks_blocked()
                clock.now_s += OTHERS_MOST_S
                async with pool.lease(spec("b")):
                    pass
    assert "50 B reserved by other Samovar processes" in told[0]
    assert "closing the other processes" in told[0]
    assert "a budget of 110 B (--budget)" in told[0]


async def test_who_waits_for_another_process_holds_up_nobody(tmp_path: Path) -> None:
    other = Reservations(tmp_path / "run", is_measured=False)
    assert other.take(private(50), 100)
    clock = Clock()
    with anyio.fail_after(60):
        async with pool_in(tmp_path / "run", clock, {"a": 60, "b": 10, "c": 20}) as pool:

            async def use() -> None:
                async with pool.lease(spec("a")):
                    pass

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(use)
                await anyio.wait_all_tasks_blocked()
                clock.now_s += OVERTAKEN_MOST_S
                for _ in range(2 * OVERTAKEN_MOST):
                    async with pool.lease(spec("b")):
                        pool.check()
                async with pool.lease(spec("c")):
                    other.close()


async def test_two_pools_of_one_budget_never_hold_more_than_it_together(tmp_path: Path) -> None:
    clock = Clock()
    with anyio.fail_after(60):
        async with (
            pool_in(tmp_path / "run", clock, {"a": 40, "b": 60}) as one,
            pool_in(tmp_path / "run", clock, {"a": 40, "b": 60}) as other,
        ):

            async def use(pool: Pool, name: str) -> None:
                async with pool.lease(spec(name)):
                    assert one.held_bytes + other.held_bytes <= 100

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(use, one, "a")
                tasks.start_soon(use, other, "b")


async def test_two_pools_share_the_weights_of_one_file(tmp_path: Path) -> None:
    clock = Clock()
    with anyio.fail_after(60):
        async with (
            pool_in(tmp_path / "run", clock, {"a": 60}) as one,
            pool_in(tmp_path / "run", clock, {"a": 60}) as other,
            one.lease(spec("a")),
            other.lease(spec("a")),
        ):
            assert reserved(tmp_path / "run") == [60, 60]


class RepackingEngine(SlowEngine):
    """Each model takes 10 of its own and 40 of weights, private if they are repacked."""

    def predict(self, spec: ModelSpec, *, free_bytes: int | None = None) -> Cost:
        repack = spec.repack is not False
        return Cost(
            weights_bytes=40,
            private_weights_bytes=40 if repack else 0,
            repack=repack,
            kv_bytes=10,
            compute_bytes=0,
            context_tokens=100,
            estimated=False,
        )


async def test_private_weights_count_for_each_process_and_mapped_ones_once(tmp_path: Path) -> None:
    def pool() -> Pool:
        reservations = Reservations(tmp_path / "run", is_measured=False)
        return Pool(
            RepackingEngine(), budget_bytes=120, keep_alive_s=None, clock=Clock(), reservations=reservations
        )

    looking = Reservations(tmp_path / "run", is_measured=False)
    with anyio.fail_after(60):
        for asked, others_bytes in ((spec("a"), 100), (replace(spec("a"), repack=False), 60)):
            async with pool() as one, pool() as other, one.lease(asked), other.lease(asked):
                assert looking.others().total_bytes == others_bytes
                assert not looking.take(private(121 - others_bytes), 120)
                assert looking.take(private(120 - others_bytes), 120)
                looking.give_back(private(0))


async def test_what_does_not_fit_repacked_is_mapped_if_another_has_it_mapped_already(tmp_path: Path) -> None:
    other, reservations = (Reservations(tmp_path / "run", is_measured=False) for _ in range(2))
    engine = RepackingEngine()
    assert other.take(Holding(private_bytes=10, weights={file_of(engine.key(spec("a"))): 40}), 80)
    pool = Pool(engine, budget_bytes=80, keep_alive_s=None, clock=Clock(), reservations=reservations)
    with anyio.fail_after(60):
        async with pool, pool.lease(spec("a")):
            (model,) = pool.statistics().models
            assert model.cost is not None and not model.cost.repack
            assert reserved(tmp_path / "run") == [50, 50], "of which 40 are the same"
