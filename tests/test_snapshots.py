"""Copies of evaluated prefixes on disk: whole, verified, bounded, and never a reason to fail."""

from __future__ import annotations

import errno
import os
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samovar.models import snapshot_folder
from samovar.models import snapshots as module
from samovar.models.snapshot_file import HEADER, fingerprint
from samovar.models.snapshots import Snapshots

TOKENS = array("i", [1, 2, 3, 70_000, 5])
BLOB = bytearray(range(200))


@contextmanager
def opened(folder: Path, limit_bytes: int = 10_000) -> Iterator[Snapshots]:
    snapshots = Snapshots(folder, limit_bytes)
    try:
        yield snapshots
    finally:
        snapshots.close()
        assert not [one for one in threading.enumerate() if one.name == "samovar snapshots"]


def keep(folder: Path, name: str = "model", tokens: array[int] = TOKENS, start: int = 2) -> Path:
    with opened(folder) as snapshots:
        snapshot = snapshots.of(name).offer(tokens, start, BLOB)
        assert snapshot
    return snapshot.path


def test_what_was_kept_is_there_in_another_process(tmp_path: Path) -> None:
    path = keep(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    with opened(tmp_path) as snapshots:
        (found,) = snapshots.of("model").entries()
        assert (found.tokens, found.start) == (TOKENS, 2)
        assert snapshots.of("model").load(found) == BLOB
        assert snapshots.of("other").entries() == []


def test_what_still_waits_for_the_disk_can_be_had(tmp_path: Path) -> None:
    with opened(tmp_path) as snapshots:
        model = snapshots.of("model")
        snapshot = model.offer(TOKENS, 0, BLOB)
        assert snapshot and model.load(snapshot) == BLOB
        assert snapshots.wait(10)
        assert model.load(snapshot) == BLOB


@pytest.mark.slow
@settings(max_examples=300)
@given(data=st.data())
def test_a_damaged_copy_is_never_used(tmp_path: Path, data: st.DataObject) -> None:
    path = keep(tmp_path)
    whole = path.read_bytes()
    with opened(tmp_path) as snapshots:
        model = snapshots.of("model")
        (before,) = model.entries()
        place = data.draw(st.integers(0, len(whole) - 1))
        change = data.draw(st.sampled_from(("flip", "cut", "more")))
        if change == "flip":
            bit = 1 << data.draw(st.integers(0, 7))
            path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        else:
            path.write_bytes(whole[:place] if change == "cut" else whole + whole[place:])
        assert all(model.load(found) is None for found in model.entries())
        path.write_bytes(whole[:place] + b"?" + whole[place:])
        assert model.load(before) is None, "seen whole, damaged since"
        assert not path.exists()


def test_a_copy_that_another_process_has_deleted_is_gone(tmp_path: Path) -> None:
    path = keep(tmp_path)
    with opened(tmp_path) as snapshots:
        (found,) = snapshots.of("model").entries()
        path.unlink()
        assert snapshots.of("model").load(found) is None


def test_a_foreign_file_under_a_good_name_is_deleted(tmp_path: Path) -> None:
    path = keep(tmp_path)
    other = tmp_path / "other" / path.name
    other.parent.mkdir()
    other.write_bytes(path.read_bytes())  # of another fingerprint
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with opened(tmp_path) as snapshots:
        assert snapshots.of("other").entries() == []
    assert [one.name for one in other.parent.iterdir()] == ["notes.txt"]


def test_the_least_recently_used_go_first_and_branches_before_what_they_grew_from(tmp_path: Path) -> None:
    size = HEADER.size + 4 * 5 + len(BLOB)
    with opened(tmp_path, limit_bytes=4 * size) as snapshots:
        model, days_ago_s = snapshots.of("model"), time.time() - 3 * 86_400
        paths = []
        for number, start in enumerate((0, 3, 0, 0)):
            snapshot = model.offer(array("i", [number] * 5), start, BLOB)
            assert snapshot and snapshots.wait(10)
            os.utime(snapshot.path, (days_ago_s, days_ago_s) if number < 2 else None)
            paths.append(snapshot.path)
        for number in (4, 5):
            assert model.offer(array("i", [number] * 5), 0, BLOB) and snapshots.wait(10)
            left = [path.exists() for path in paths]
            assert left == ([True, False, True, True] if number == 4 else [False, False, True, True])
        assert sum(use.size_bytes for use in snapshots.folder.uses()) == 4 * size


def test_there_are_never_more_copies_than_can_be_looked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_folder, "MAX_COPIES", 3)
    with opened(tmp_path, 10**6) as snapshots:
        for number in range(9):
            assert snapshots.of("model").offer(array("i", [number]), 0, BLOB)
        assert snapshots.wait(10)
        assert snapshots.folder.uses()[0].copies == 3


def test_a_folder_that_others_may_write_to_is_not_trusted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "kv"
    keep(folder)
    folder.chmod(0o777)
    with opened(folder) as snapshots:
        model = snapshots.of("model")
        assert model.entries() == [] and model.offer(TOKENS, 0, BLOB) is None
    assert "others may write" in caplog.text


def test_loading_is_using(tmp_path: Path) -> None:
    path, an_hour_ago_s = keep(tmp_path), time.time() - 3600
    os.utime(path, (an_hour_ago_s, an_hour_ago_s))
    with opened(tmp_path) as snapshots:
        snapshots.of("model").load(snapshots.of("model").entries()[0])
    assert path.stat().st_mtime > an_hour_ago_s + 1000


def test_more_than_the_disk_keeps_up_with_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    write = Snapshots._write

    def slow(self: Snapshots, *rest: Any) -> None:
        go_on.wait(10)
        write(self, *rest)

    monkeypatch.setattr(Snapshots, "_write", slow)
    monkeypatch.setattr(module, "QUEUE_BYTES", 3 * len(BLOB))
    with opened(tmp_path) as snapshots:
        model = snapshots.of("model")
        taken = [model.offer(array("i", [number]), 0, BLOB) is not None for number in range(5)]
        assert taken == [True, True, True, False, False]
        assert not model.is_open(1) or not model.is_open(len(BLOB))
        go_on.set()
        assert snapshots.wait(10) and model.is_open(len(BLOB))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_disk_that_takes_nothing_is_told_once_and_nothing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", refuse)
    with opened(tmp_path) as snapshots:
        model = snapshots.of("model")
        assert model.offer(TOKENS, 0, BLOB)
        assert snapshots.wait(10)
        assert not model.is_open(1) and model.offer(TOKENS, 1, BLOB) is None
    assert len(caplog.records) == 1 and "not kept" in caplog.text
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_another_process_is_writing_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace
    found: list[object] = []

    def look(source: Path, target: Path) -> None:
        other = Snapshots(tmp_path, limit_bytes=len(BLOB))
        found.extend([*other.of("model").entries(), *other.folder.uses()])
        other.folder.make_room(len(BLOB))
        replace(source, target)

    monkeypatch.setattr(os, "replace", look)
    path = keep(tmp_path)
    assert path.exists() and found == []


def test_a_folder_that_is_cleared_meanwhile_costs_one_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def clear(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "replace", replace)
        Snapshots(tmp_path / "kv", 10_000).folder.clear()
        replace(source, target)

    monkeypatch.setattr(os, "replace", clear)
    with opened(tmp_path / "kv") as snapshots:
        model = snapshots.of("model")
        lost, kept = model.offer(TOKENS, 0, BLOB), model.offer(TOKENS, 2, BLOB)
        assert lost and kept and snapshots.wait(10)
        assert not lost.path.exists() and kept.path.exists()


def test_what_a_crash_has_left_is_swept(tmp_path: Path) -> None:
    left = tmp_path / "model" / ".writing-1-x"
    left.parent.mkdir()
    left.write_bytes(b"half")
    os.utime(left, (1000, 1000))
    keep(tmp_path)
    assert not left.exists()


def test_nothing_is_kept_where_there_is_no_room(tmp_path: Path) -> None:
    with opened(tmp_path, limit_bytes=0) as snapshots:
        assert snapshots.of("model").offer(TOKENS, 0, BLOB) is None
    with opened(tmp_path, limit_bytes=len(BLOB) - 1) as snapshots:
        assert snapshots.of("model").offer(TOKENS, 0, BLOB) is None


def test_many_may_write_the_same(tmp_path: Path) -> None:
    many = [Snapshots(tmp_path, 100_000) for _ in range(4)]
    for number in range(20):
        for snapshots in many:
            assert snapshots.of("model").offer(array("i", [number]), 0, BLOB)
    for snapshots in many:
        snapshots.close()
    with opened(tmp_path) as snapshots:
        found = snapshots.of("model").entries()
        assert len(found) == 20
        assert all(snapshots.of("model").load(one) == BLOB for one in found)


def test_clear_says_what_was_freed(tmp_path: Path) -> None:
    path = keep(tmp_path / "kv")
    size = path.stat().st_size
    with opened(tmp_path / "kv") as snapshots:
        assert [(use.name, use.copies, use.size_bytes) for use in snapshots.folder.uses()] == [
            ("model", 1, size)
        ]
        assert snapshots.folder.clear() == size
        assert snapshots.folder.uses() == [] and snapshots.folder.clear() == 0


def test_a_fingerprint_follows_the_weights_not_their_place(tmp_path: Path) -> None:
    one, same, other = tmp_path / "a.gguf", tmp_path / "b" / "a.gguf", tmp_path / "c.gguf"
    tuned = tmp_path / "tuned.gguf"
    tuned.write_bytes(b"x" * 1_400_000 + b"y" * 200_000 + b"x" * 1_400_000)
    same.parent.mkdir()
    one.write_bytes(b"x" * 3_000_000)
    same.write_bytes(b"x" * 3_000_000)
    other.write_bytes(b"x" * 2_999_999 + b"y")
    changed = tmp_path / "changed.gguf"
    changed.write_bytes(b"x" * 3_000_000)
    for path in (one, same, other, tuned):
        os.utime(path, (1000, 1000))
    base = fingerprint(one, kv_type="f16", build="1")
    assert fingerprint(same, kv_type="f16", build="1") == base
    names = {
        base,
        fingerprint(other, kv_type="f16", build="1"),
        fingerprint(tuned, kv_type="f16", build="1"),
        fingerprint(changed, kv_type="f16", build="1"),
        fingerprint(one, kv_type="q8_0", build="1"),
        fingerprint(one, kv_type="f16", build="2"),
    }
    assert len(names) == 6


# Time, trust and worth -----------------------------------------------------------------------------------


def test_what_was_not_used_for_days_is_deleted_when_a_model_is_opened(tmp_path: Path) -> None:
    day_s = 86_400
    old, young = keep(tmp_path), keep(tmp_path, tokens=array("i", range(9)))
    seen = old.parent / "seen"
    seen.write_bytes(bytes(16))
    for path, days in ((old, 15), (seen, 15), (young, 13)):
        os.utime(path, (time.time() - days * day_s,) * 2)
    with opened(tmp_path) as snapshots:
        assert [one.path for one in snapshots.of("other").entries()] == []
        assert [path.exists() for path in (old, young, seen)] == [False, True, False]
    with closing(Snapshots(tmp_path, 10_000, limit_days=12)) as snapshots:
        assert snapshots.of("model").entries() == []


def test_days_are_looked_at_whenever_a_copy_is_written(tmp_path: Path) -> None:
    with opened(tmp_path) as snapshots:
        model = snapshots.of("model")
        first = model.offer(TOKENS, 0, BLOB)
        assert first and snapshots.wait(10)
        os.utime(first.path, (1000, 1000))
        assert model.offer(TOKENS, 2, BLOB) and snapshots.wait(10)
        assert not first.path.exists()


def test_why_a_folder_is_not_trusted_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keep(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with opened(tmp_path) as snapshots:
        model = snapshots.of("model")
        assert model.entries() == [] and model.sightings() == []
        assert model.offer(TOKENS, 0, BLOB) is None
    assert "another user" in caplog.text and "others may write" not in caplog.text


def test_what_took_longest_to_evaluate_by_its_bytes_stays(tmp_path: Path) -> None:
    size = HEADER.size + 4 * 5 + len(BLOB)
    with opened(tmp_path, limit_bytes=3 * size) as snapshots:
        model = snapshots.of("model")
        paths = []
        for number, seconds in enumerate((5.0, 0.1, 1.0, 1.0)):
            snapshot = model.offer(array("i", [number] * 5), 0, BLOB, seconds)
            assert snapshot and snapshots.wait(10)
            paths.append(snapshot.path)
        assert [path.exists() for path in paths] == [True, False, True, True]


def test_what_processes_have_seen_is_put_together(tmp_path: Path) -> None:
    with opened(tmp_path) as one, closing(Snapshots(tmp_path, 10_000)) as other:
        for snapshots, digests in ((one, b"aaaaaaaabbbbbbbb"), (other, b"bbbbbbbbcccccccc")):
            snapshots.of("model").keep_sightings(digests)
            assert snapshots.wait(10)
        assert one.of("model").sightings() == [b"aaaaaaaa", b"bbbbbbbb", b"cccccccc"]
        assert one.of("model").entries() == [] and one.folder.uses() == []
        (path,) = (tmp_path / "model").iterdir()
        assert path.stat().st_mode & 0o777 == 0o600


def test_closing_does_not_wait_for_a_disk_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, waited = threading.Event(), list[float | None]()
    monkeypatch.setattr(Snapshots, "_write", lambda *_: go_on.wait(10))
    snapshots = Snapshots(tmp_path, 10_000)
    assert snapshots.of("model").offer(TOKENS, 0, BLOB)
    wait_for = snapshots._lock.wait_for

    def wait(is_done: Callable[[], bool], timeout_s: float | None = None) -> bool:
        waited.append(timeout_s)
        return wait_for(is_done, 0.01)

    monkeypatch.setattr(snapshots._lock, "wait_for", wait)
    monkeypatch.setattr(module, "JOINING_S", 0.01)
    snapshots.close()
    assert waited == [module.CLOSING_S] and module.CLOSING_S <= 2
    assert not snapshots.of("model").is_open(1)
    go_on.set()
    assert snapshots._thread
    snapshots._thread.join(10)
