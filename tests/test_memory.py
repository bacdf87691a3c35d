"""How much memory there is: the smallest limit on the way up from this process's cgroup counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from samovar.memory import available_bytes, in_words, peak_bytes, resident_bytes

MB = 1_000_000
VERSION_1 = "8:cpu,cpuacct:/other\n5:memory:/a/b\n"


class Machine:
    """A tree with `/proc/self/cgroup` and `/sys/fs/cgroup`."""

    def __init__(self, root: Path, cgroup: str) -> None:
        self.root = root
        (root / "proc" / "self").mkdir(parents=True)
        (root / "proc" / "self" / "cgroup").write_text(cgroup)
        self.mount = root / "sys" / "fs" / "cgroup"
        self.mount.mkdir(parents=True)

    def version_2(self, path: str, limit: int | str, used: int, cached: int = 0) -> Machine:
        folder = self.mount / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text(f"anon 5\ninactive_file {cached}\n")
        return self

    def version_1(self, path: str, limit: int, used: int, cached: int = 0) -> Machine:
        folder = self.mount / "memory" / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.limit_in_bytes").write_text(f"{limit}\n")
        (folder / "memory.usage_in_bytes").write_text(f"{used}\n")
        (folder / "memory.stat").write_text(f"inactive_file 1\ntotal_inactive_file {cached}\n")
        return self


def test_without_a_limit_the_machine_decides(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "0::/a\n").version_2("a", "max", MB)
    for root in (tmp_path / "nothing", machine.root):
        assert available_bytes(root) == pytest.approx(psutil.virtual_memory().available, rel=0.2)


def test_the_limit_of_the_own_group_counts(tmp_path: Path) -> None:
    assert available_bytes(Machine(tmp_path, "0::/a\n").version_2("a", 9 * MB, 2 * MB).root) == 7 * MB


@pytest.mark.parametrize("level", ["", "a", "a/b", "a/b/c"])
def test_the_smallest_room_on_the_way_up_counts(tmp_path: Path, level: str) -> None:
    machine = Machine(tmp_path, "0::/a/b/c\n")
    for path in ("", "a", "a/b", "a/b/c"):
        machine.version_2(path, "max" if path == "a" != level else 90 * MB, 2 * MB)
    machine.version_2(level, 9 * MB, 2 * MB)
    machine.version_2("a/other", MB, 0)
    assert available_bytes(machine.root) == 7 * MB


def test_a_group_may_have_less_room_though_its_limit_is_higher(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "0::/a/b\n").version_2("a", 50 * MB, 49 * MB).version_2("a/b", 9 * MB, 2 * MB)
    assert available_bytes(machine.root) == MB


@pytest.mark.parametrize("written", ["0::/\n", "0::/docker/0123\n", "0::/../../elsewhere\n"])
def test_a_container_finds_its_limit_where_its_group_is_mounted(tmp_path: Path, written: str) -> None:
    assert available_bytes(Machine(tmp_path, written).version_2("", 9 * MB, 2 * MB).root) == 7 * MB


def test_version_1_is_read_with_its_own_names(tmp_path: Path) -> None:
    machine = Machine(tmp_path, VERSION_1).version_1("a/b", 1 << 63, MB).version_1("a", 9 * MB, 2 * MB)
    assert available_bytes(machine.root) == 7 * MB
    machine.version_1("", 3 * MB, 2 * MB)
    assert available_bytes(machine.root) == MB


def test_both_versions_may_be_mounted(tmp_path: Path) -> None:
    machine = Machine(tmp_path, VERSION_1 + "0::/a\n").version_1("a/b", 9 * MB, 2 * MB)
    machine.version_2("unified/a", "max", MB)
    assert available_bytes(machine.root) == 7 * MB


def test_pages_of_files_not_used_lately_are_room(tmp_path: Path) -> None:
    assert (
        available_bytes(Machine(tmp_path / "2", "0::/\n").version_2("", 9 * MB, 8 * MB, 3 * MB).root)
        == 4 * MB
    )
    one = Machine(tmp_path / "1", VERSION_1).version_1("a/b", 9 * MB, 8 * MB, 3 * MB)
    assert available_bytes(one.root) == 4 * MB


def test_a_group_over_its_limit_has_no_room(tmp_path: Path) -> None:
    assert available_bytes(Machine(tmp_path, "0::/\n").version_2("", MB, 2 * MB).root) == 0


@pytest.mark.parametrize("text", ["", "what\n", "0::\n", ":::\n", "0::/a\n"])
def test_what_cannot_be_read_is_no_limit(tmp_path: Path, text: str) -> None:
    machine = Machine(tmp_path, text)
    (machine.mount / "memory.max").write_text("²\n")
    assert available_bytes(machine.root) > MB


def test_this_process_has_taken_something() -> None:
    assert resident_bytes() > 0 and (peak_bytes() or 1) > 0


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(None, "-"), (999, "999 B"), (98_362_432, "98.4 MB"), (1_200_000_000, "1.2 GB"), (3 * 10**12, "3.0 TB")],
)
def test_sizes_in_words(size_bytes: int | None, text: str) -> None:
    assert in_words(size_bytes) == text


def test_the_peak_of_a_process_is_not_that_of_the_one_that_started_it() -> None:
    held = bytearray(300_000_000)
    held[::4096] = bytes(len(held[::4096])).replace(b"\0", b"x")
    code = "from samovar import memory; print(memory.resident_bytes(), memory.peak_bytes())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    resident, peak = map(int, done.stdout.split())
    assert len(held) > peak >= resident
