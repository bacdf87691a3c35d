"""Runs are kept by default, and go on without it where they cannot be; a journal that was named must work."""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from samovar.errors import JournalError, LeaseLostError
from samovar.generation import Begun
from samovar.journal.base import (
    ForkEnds,
    Intent,
    KeptEnd,
    KeptStep,
    KeptVisit,
    RunHead,
    RunStatus,
    VisitKey,
    VisitOutcome,
)
from samovar.journal.connecting import connect
from samovar.journal.mounts import is_over_network
from samovar.journal.people import AskedPeople, KeptQuestion
from samovar.journal.sqlite import SqliteJournal
from samovar.journal.writer import Writer
from samovar.running.unkept import BestEffort
from tests.test_cli import TIMEOUT_S, environment, folder, samovar, write

__all__ = ["folder"]
pytestmark = pytest.mark.anyio
STATES = "[*] --> A\nA --> B\nB --> [*]"
ACTIONS = '- A: Shell "echo a >> log"\n- B: Shell "cat log" result="out"'
HEAD = RunHead(id="r1", workflow="w", path=None, folder="/", started_at=5.0)


def run(folder: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`samovar run` in a process of its own, with these variables of the environment besides."""
    return subprocess.run(
        [sys.executable, "-m", "samovar", "run", "w.md", *options],
        cwd=folder,
        env=environment(folder) | variables,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def default_journal(folder: Path) -> Path:
    return Path(environment(folder)["XDG_STATE_HOME"]) / "samovar" / "journal.db"


# By default -----------------------------------------------------------------------------------------------


def test_a_run_is_kept_by_default_for_its_user_alone_and_the_first_says_where(folder: Path) -> None:
    write(folder, STATES, ACTIONS)
    first, second = samovar(folder, "run", "w.md"), samovar(folder, "run", "w.md")
    file = default_journal(folder)
    assert str(file) in first.stderr and "30 days" in first.stderr
    assert "journal" not in second.stderr
    assert file.stat().st_mode & 0o077 == 0 and file.parent.stat().st_mode & 0o077 == 0
    listed = json.loads(samovar(folder, "runs", "--json").stdout)["runs"]
    assert [one["status"] for one in listed] == ["completed", "completed"]


@pytest.mark.parametrize("option", ["--json", "--events", "-q"])
def test_programs_and_the_quiet_are_not_told_where_runs_are_kept(folder: Path, option: str) -> None:
    write(folder, STATES, ACTIONS)
    assert "kept" not in samovar(folder, "run", "w.md", option).stderr
    assert default_journal(folder).exists()


@pytest.mark.parametrize("options", [["--no-journal"], ["--dry-run"]])
def test_nothing_is_kept_of_a_run_that_shall_not_be(folder: Path, options: list[str]) -> None:
    write(folder, STATES, ACTIONS)
    assert samovar(folder, "run", "w.md", *options).returncode == 0
    assert not default_journal(folder).parent.exists()
    both = samovar(folder, "run", "w.md", "--no-journal", "--journal", "j.db")
    assert both.returncode == 2 and "--no-journal" in both.stderr


def test_the_setting_off_keeps_nothing_and_an_outline_has_no_texts(folder: Path, tiny_model: Path) -> None:
    text = "a text of the prompt that nobody else has"
    write(folder, STATES, f'- A: Prompt "{text}" result="said"\n- B: Shell "echo from-a-command; exit 3"')
    (folder / ".samovar").mkdir()
    settings = folder / ".samovar" / "config.toml"
    settings.write_text('journal = "off"\n')
    assert samovar(folder, "run", "w.md", "--model", str(tiny_model)).returncode == 1
    assert not default_journal(folder).parent.exists()
    settings.write_text('journal = "outline"\n')
    assert samovar(folder, "run", "w.md", "--model", str(tiny_model)).returncode == 1
    for file in default_journal(folder).parent.rglob("journal*"):
        raw = file.read_bytes()
        assert text.encode() not in raw and b"from-a-command" not in raw, file
    [kept] = json.loads(samovar(folder, "runs", "--json").stdout)["runs"]
    assert (kept["status"], kept["visits"]) == ("failed", 2) and kept["tokens"]["generated"] > 0
    shown = json.loads(samovar(folder, "runs", "show", kept["run"], "--json").stdout)
    assert [one["path"] for one in shown["states"]] == ["A", "B"]


def test_an_outline_cannot_be_resumed_and_says_so(folder: Path) -> None:
    write(folder, STATES, ACTIONS)
    file = default_journal(folder)
    done = run(folder, "-q", SAMOVAR_JOURNAL="outline")
    assert done.returncode == 0
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE run SET status = 'interrupted'")
    connection.close()
    done = samovar(folder, "resume")
    assert done.returncode == 2 and "outline" in done.stderr


def test_a_run_mentions_that_the_last_one_was_interrupted_and_starts_anew(folder: Path) -> None:
    write(folder, STATES, ACTIONS)
    assert samovar(folder, "run", "w.md", "-q").returncode == 0
    with sqlite3.connect(default_journal(folder)) as connection:
        connection.execute("UPDATE run SET status = 'interrupted'")
    connection.close()
    done = samovar(folder, "run", "w.md")
    assert done.returncode == 0 and "samovar resume" in done.stderr
    assert (folder / "log").read_text().split() == ["a", "a"]
    assert "samovar resume" not in samovar(folder, "run", "w.md").stderr, "a newer one has completed"


# Bad places -----------------------------------------------------------------------------------------------


def no_folder(folder: Path) -> dict[str, str]:
    (folder / "a-file").touch()
    return {"XDG_STATE_HOME": str(folder / "a-file")}


def read_only(folder: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": "/proc/1"}


def too_new(folder: Path) -> dict[str, str]:
    Writer(default_journal(folder)).close()
    with sqlite3.connect(default_journal(folder)) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    return {}


def another(folder: Path) -> dict[str, str]:
    default_journal(folder).parent.mkdir(parents=True)
    default_journal(folder).write_text("not a database, but long enough for the header of one " * 20)
    return {}


def damaged(folder: Path) -> dict[str, str]:
    Writer(default_journal(folder)).close()
    raw = bytearray(default_journal(folder).read_bytes())
    raw[100:] = b"\xff" * (len(raw) - 100)
    default_journal(folder).write_bytes(raw)
    return {}


BAD = [no_folder, read_only, too_new, another, damaged]


@pytest.mark.slow
@pytest.mark.parametrize("place", BAD)
def test_a_run_that_cannot_be_kept_runs_and_says_so_in_one_line(folder: Path, place: object) -> None:
    assert callable(place)
    write(folder, STATES, ACTIONS)
    done = run(folder, "--json", **place(folder))
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stderr.splitlines() if "samovar:" in line]
    assert line.startswith("samovar: this run is not kept")
    assert (folder / "log").read_text() == "a\n"
    assert run(folder, "-q", **place(folder) if place in BAD[:2] else {}).stderr == ""


def test_a_user_without_a_home_has_no_journal_and_runs_go_on(folder: Path) -> None:
    write(folder, STATES, ACTIONS)
    code = """if True:
        from samovar.cli import entry
        from samovar.journal import opening
        opening.state_folder = lambda: None
        entry.main(["run", "w.md", "--json"])"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0 and "XDG_STATE_HOME" in done.stderr


@pytest.mark.parametrize("place", [too_new, another, damaged])
def test_a_journal_that_was_named_must_work(folder: Path, place: object) -> None:
    assert callable(place)
    write(folder, STATES, ACTIONS)
    place(folder)
    file = default_journal(folder)
    before = file.read_bytes()
    for command in (("run", "w.md", "-q"), ("runs",), ("resume",), ("runs", "show", "x")):
        done = samovar(folder, *command, "--journal", str(file))
        assert done.returncode in (1, 2) and len(done.stderr.splitlines()) == 1, done.stderr
        assert str(file) in done.stderr
    assert not (folder / "log").exists() and file.read_bytes() == before


def small_files() -> None:
    """As on a disk that gets full: no file may be longer than this."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))


LARGE = "[*] --> A\nA --> B\nB --> C\nC --> [*]"
LARGE_ACTIONS = """- A: Shell "echo a >> log"
- B: Shell "head -c 900000 /dev/zero | tr '\\\\0' b" result="b"
- C: Shell "echo c >> log"
"""


@pytest.mark.parametrize("named", [False, True])
def test_a_disk_that_gets_full_ends_only_a_run_whose_journal_was_named(folder: Path, named: bool) -> None:
    write(folder, LARGE, LARGE_ACTIONS)
    options = ("--journal", "j.db") if named else ()
    done = subprocess.run(
        [sys.executable, "-m", "samovar", "run", "w.md", "-v", *options],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        preexec_fn=small_files,
    )
    log = (folder / "log").read_text().split()
    listed = samovar(folder, "runs", "--json", *options)
    [kept] = json.loads(listed.stdout)["runs"]
    assert kept["visits"] == 1, "what was written before is there"
    if named:
        assert done.returncode == 1 and log == ["a"] and "journal" in done.stderr
        assert kept["status"] == "interrupted"
        assert samovar(folder, "resume", "-q", "--redo", *options).returncode == 0
        assert (folder / "log").read_text().split() == ["a", "c"]
    else:
        assert done.returncode == 0 and log == ["a", "c"], done.stderr
        assert done.stderr.count("this run is not kept") == 1
        assert kept["status"] == "unkept"
        assert samovar(folder, "resume").returncode == 2, "what it did since then must not be done again"


def test_a_file_that_another_process_has_locked_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("samovar.journal.connecting.BUSY_S", 0.05)
    file = folder / "j.db"
    Writer(file).close()
    writer = Writer(file)
    with sqlite3.connect(file, isolation_level=None) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(JournalError, match="locked it for too long"):
            writer.write_now(lambda connection: connection.execute("UPDATE run SET status = ''"))
        holder.execute("ROLLBACK")
        writer.write_now(lambda connection: connection.execute("UPDATE run SET status = ''"))
        writer.close()
    holder.close()


def test_ctrl_c_while_an_older_journal_becomes_one_of_today_is_not_a_fault_of_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(connection: object, file: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("samovar.journal.connecting.prepare", interrupt)
    with pytest.raises(KeyboardInterrupt):
        connect(folder / "j.db")


async def test_a_run_that_went_on_unkept_is_never_driven_again(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "j.db")
    async with journal.begin(HEAD) as run:
        await run.abandon("The disk was full.")
    [kept] = journal.runs()
    assert (kept.status, kept.message, kept.owner) == (RunStatus.UNKEPT, "The disk was full.", "")
    with pytest.raises(JournalError, match="without being kept"):
        async with journal.reopen("r1"):
            pass
    journal.close()


MOUNTED = """22 1 0:20 / / rw - ext4 /dev/sda rw
30 22 0:40 / /home rw,relatime shared:1 - nfs4 server:/home rw
31 30 0:41 / /home/ann/local rw - xfs /dev/sdb rw
32 22 0:42 / /mnt/with\\040blank rw - fuse.sshfs x rw
"""


@pytest.mark.parametrize(
    ("place", "expected"),
    [("/home/ann", True), ("/home/ann/local/x", False), ("/var", False), ("/mnt/with blank/x", True)],
)
def test_a_file_system_of_another_machine_is_known(tmp_path: Path, place: str, expected: bool) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTED)
    assert is_over_network(Path(place), mounts) is expected
    assert not is_over_network(Path(place), tmp_path / "none")


# A run that goes on without its journal --------------------------------------------------------------------


class NobodyAsked:
    """See `journal.people.AskedPeople`: there are no questions."""

    def was_answered(self, key: VisitKey) -> bool:
        return False

    async def ask(self, question: KeptQuestion) -> str | None:
        raise JournalError("The disk is full.")

    async def answered(self, key: VisitKey) -> str:
        raise AssertionError("nobody was asked")


class Failing:
    """A kept run whose writes fail from the second on. Mutable: what it was told."""

    head = HEAD
    kept: Sequence[KeptVisit] = ()
    asked: AskedPeople
    driven_s = 0.0

    def __init__(self, *, abandons: bool, error: JournalError | None = None) -> None:
        self.asked = NobodyAsked()
        self._abandons, self._error = abandons, error or JournalError("The disk is full.")
        self.told: list[str] = []

    def recall(self, key: VisitKey) -> KeptVisit | None:
        return None

    async def intend(self, intent: Intent) -> None:
        self._write("intend")

    async def leave(self, key: VisitKey, outcome: VisitOutcome, *, within: str | None = None) -> None:
        self._write("leave")

    def fork_of(self, key: VisitKey) -> ForkEnds | None:
        return None

    def begun(self, key: VisitKey) -> Sequence[Begun]:
        return ()

    def keep_begun(self, key: VisitKey, prompt: int, begun: Begun) -> None:
        pass

    async def decide(self, fork: ForkEnds) -> None:
        self._write("decide")

    async def step(self, step: KeptStep) -> None:
        self._write("step")

    async def end(self, status: RunStatus, message: str = "", ending: KeptEnd | None = None) -> None:
        self._write("end")

    def key(self) -> bytes:
        return b""

    async def abandon(self, message: str) -> None:
        self.told.append("abandon")
        if not self._abandons:
            raise JournalError("The disk is full.")

    def _write(self, what: str) -> None:
        self.told.append(what)
        if len(self.told) > 1:
            raise self._error


def intent(*, is_repeatable: bool) -> Intent:
    return Intent(key=VisitKey(path="A"), number=1, verb="x", entered_at=1.0, is_repeatable=is_repeatable)


async def test_what_a_journal_does_not_know_is_not_done_if_it_may_not_be_done_twice() -> None:
    lost: list[JournalError] = []
    inner = Failing(abandons=False)
    run = BestEffort(inner, lost.append)
    await run.intend(intent(is_repeatable=False))
    await run.leave(VisitKey(path="A"), VisitOutcome())
    await run.intend(intent(is_repeatable=True))
    assert len(lost) == 1
    with pytest.raises(JournalError, match="must not be done twice"):
        await run.intend(intent(is_repeatable=False))


async def test_a_journal_that_knows_that_it_knows_no_more_lets_the_run_go_on() -> None:
    inner = Failing(abandons=True)
    run = BestEffort(inner, lambda error: None)
    await run.intend(intent(is_repeatable=False))
    await run.leave(VisitKey(path="A"), VisitOutcome())
    await run.intend(intent(is_repeatable=False))
    await run.end(RunStatus.COMPLETED)
    assert inner.told == ["intend", "leave", "abandon"]


async def test_a_question_that_cannot_be_kept_is_asked_all_the_same() -> None:
    lost: list[JournalError] = []
    run = BestEffort(Failing(abandons=True), lost.append)
    question = KeptQuestion.__new__(KeptQuestion)
    assert await run.asked.ask(question) is None
    assert len(lost) == 1


async def test_a_run_that_another_process_drives_ends_whether_it_must_be_kept_or_not() -> None:
    run = BestEffort(Failing(abandons=True, error=LeaseLostError("gone")), lambda error: None)
    await run.intend(intent(is_repeatable=True))
    with pytest.raises(LeaseLostError):
        await run.leave(VisitKey(path="A"), VisitOutcome())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte, where one may be mounted."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)], capture_output=True
        ).returncode
    )
    if not mounted:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


async def test_a_full_disk_is_named_and_what_was_written_stays(small_disk: Path) -> None:
    journal = SqliteJournal(small_disk / "j.db")
    kept = 0
    async with journal.begin(HEAD) as run:
        with pytest.raises(JournalError, match="Make room"):
            while kept < 1000:
                key = VisitKey(path="A", nth=kept + 1)
                await run.intend(Intent(key=key, number=1, verb="x", entered_at=1.0, is_repeatable=True))
                await run.leave(key, VisitOutcome(value=f"{kept}" * 20_000))
                kept += 1
    assert kept
    journal.close()
    assert sum(one.outcome is not None for one in SqliteJournal(small_disk / "j.db").visits("r1")) == kept
