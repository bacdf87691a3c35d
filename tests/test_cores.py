"""How many threads the engine begins with: read from trees like `/sys` and `/proc` of several machines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from samovar.engines.llama.cores import engine_cores, usable_cores


class Machine:
    """Cores given as the CPUs of each; files are as Linux has them."""

    def __init__(self, root: Path, *cores: tuple[int, ...], cgroup: str = "0::/\n") -> None:
        self.root, self.cpus = root, [cpu for core in cores for cpu in core]
        (root / "proc" / "self").mkdir(parents=True)
        (root / "proc" / "self" / "cgroup").write_text(cgroup)
        for core in cores:
            for cpu in core:
                self.write(cpu, "topology/core_cpus_list", ",".join(map(str, core)))

    def write(self, cpu: int, name: str, value: object) -> None:
        self.file(f"sys/devices/system/cpu/cpu{cpu}/{name}", value)

    def file(self, path: str, value: object) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(f"{value}\n")

    def cores(self, allowed: list[int] | None = None) -> int:
        return engine_cores(self.root, self.cpus if allowed is None else allowed)


def test_two_threads_of_one_core_are_one(tmp_path: Path) -> None:
    machine = Machine(tmp_path, (0, 4), (1, 5), (2, 6), (3, 7))
    assert machine.cores() == 4
    assert machine.cores([0, 4, 5]) == 2


def test_older_kernels_have_another_name_and_lists_may_be_ranges(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    for cpu in range(8):
        machine.write(cpu, "topology/thread_siblings_list", "0-3" if cpu < 4 else "4-7")
    assert machine.cores(list(range(8))) == 2


def test_intels_slow_cores_are_left_out_unless_there_are_no_others(tmp_path: Path) -> None:
    machine = Machine(tmp_path, (0, 1), (2, 3), (4,), (5,), (6,))
    machine.file("sys/devices/cpu_core/cpus", "0-3")
    machine.file("sys/devices/cpu_atom/cpus", "4-6")
    assert machine.cores() == 2
    assert machine.cores([3, 5, 6]) == 1
    assert machine.cores([5, 6]) == 2


@pytest.mark.parametrize("name", ["cpu_capacity", "cpufreq/cpuinfo_max_freq"])
def test_cores_nearly_as_fast_as_the_best_are_of_its_kind(tmp_path: Path, name: str) -> None:
    machine = Machine(tmp_path, *((cpu,) for cpu in range(8)))
    for cpu, speed in enumerate([400, 400, 400, 400, 880, 880, 880, 1024]):
        machine.write(cpu, name, speed)
    assert machine.cores() == 4
    assert machine.cores([0, 1, 2]) == 3


def test_a_core_whose_speed_is_not_known_leaves_all(tmp_path: Path) -> None:
    machine = Machine(tmp_path, (0,), (1,), (2,))
    machine.write(0, "cpu_capacity", 1024)
    machine.write(1, "cpu_capacity", 200)
    assert machine.cores() == 3


def test_without_files_at_most_the_allowed_ones_are_counted(tmp_path: Path) -> None:
    assert engine_cores(tmp_path / "nothing", [0]) == 1
    assert 1 <= engine_cores(tmp_path / "nothing") <= (os.cpu_count() or 1)
    machine = Machine(tmp_path, (0,), (1,))
    machine.write(0, "topology/core_cpus_list", "damaged, 4-x")
    assert 1 <= machine.cores() <= 2


@pytest.mark.parametrize("level", ["", "a", "a/b"])
def test_the_smallest_quota_on_the_way_up_counts_in_version_2(tmp_path: Path, level: str) -> None:
    machine = Machine(tmp_path, *((cpu,) for cpu in range(8)), cgroup="0::/a/b\n")
    for path in ("", "a", "a/b"):
        machine.file(f"sys/fs/cgroup/{path}/cpu.max", "max 100000")
    machine.file(f"sys/fs/cgroup/{level}/cpu.max", "350000 100000")
    assert machine.cores() == 3
    machine.file(f"sys/fs/cgroup/{level}/cpu.max", "50000 100000")
    assert machine.cores() == 1


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_quotas_of_version_1_count_too(tmp_path: Path, mount: str) -> None:
    machine = Machine(tmp_path, *((cpu,) for cpu in range(8)), cgroup="4:cpu,cpuacct:/a/b\n0::/x\n")
    for path, quota in (("", -1), ("a", 200_000), ("a/b", -1)):
        machine.file(f"sys/fs/cgroup/{mount}/{path}/cpu.cfs_quota_us", quota)
        machine.file(f"sys/fs/cgroup/{mount}/{path}/cpu.cfs_period_us", 100_000)
    assert machine.cores() == 2
    assert usable_cores(tmp_path) <= 2


def test_this_machine_has_no_more_cores_for_the_engine_than_are_usable() -> None:
    assert 1 <= engine_cores() <= usable_cores()
