"""A run that was interrupted in the middle of answers goes on in the middle of them."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from samovar.app import open_app, open_library
from samovar.config import load_settings
from samovar.events import Event
from samovar.generation import TextGenerated, TokenCounts
from samovar.journal.base import RunStatus
from samovar.journal.sqlite import SqliteJournal
from samovar.preflight.prepare import prepare
from samovar.running import visit_context
from samovar.running.keeping import Keeping
from samovar.running.run import Run
from samovar.running.runner import Runner, RunnerSettings
from tests.bench import Interrupted, text_of
from tests.test_cli import TIMEOUT_S, environment, folder, samovar, write
from tests.tiny import Sizes, make_tiny

__all__ = ["folder"]
pytestmark = pytest.mark.anyio

DIAGRAM = """
state Split <<fork>>
state Both <<join>>
[*] --> One
One --> Two
Two --> Copy
Copy --> Split
Split --> Left
Split --> Right
Left --> Both
Right --> Both
Both --> Each
Each --> Last
Last --> [*]
"""
ACTIONS = """One: Prompt "the first" using session="talk" max_tokens=9 result="one"
Two: Prompt "the second" using session="talk" choices=["yes, it is", "yes, it was"] result="two"
Copy: Prompt "the copy" using session="other" fork="talk" max_tokens=9 result="copy"
Left: Prompt "left" using max_tokens=9 result="left"
Right: Prompt "right" using max_tokens=30 schema="{ok: boolean}" result="right"
Each: Prompt "item ${item}" for each item in ["a", "b"] at_once=2 using max_tokens=9 result="each"
Last: Prompt "the last" using session="talk" max_tokens=9 result="last"
"""


class World:
    """A folder with one workflow, a journal, and copies on disk; each process opens everything anew."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.path = folder, folder / "w.md"
        folder.mkdir(exist_ok=True)
        self.path.write_text(text_of(DIAGRAM, ACTIONS), encoding="utf-8")
        self.settings = load_settings(
            {"model": str(model), "cache_folder": folder / "cache", "snapshots_bytes": "100MB"}
        )
        self.journal = SqliteJournal(folder / "j.db")

    async def process(self, goes_on: str | None = None, *, dies_at: int | None = None) -> Run:
        """`dies_at`: it ends at that piece of a text."""
        library = open_library(self.folder)
        head = None if goes_on is None else self.journal.head(goes_on)
        keeping = Keeping(journal=self.journal, goes_on=head)
        run = RunnerSettings(
            settings=self.settings,
            folder=self.folder,
            keeping=keeping,
            trusts=True,
            deterministic=True,
            seed=3,
        )
        pieces = 0

        def on_event(event: Event) -> None:
            nonlocal pieces
            pieces += isinstance(event, TextGenerated)
            if pieces == dies_at:
                raise Interrupted

        with anyio.fail_after(60):
            async with open_app(self.settings, library) as app:
                prepared = prepare(str(self.path), {}, library, self.settings, run)
                return await Runner(library, app.executor, on_event=on_event, settings=run).run(prepared)

    @property
    def begun(self) -> int:
        """Answers in progress that the journal has."""
        with sqlite3.connect(self.folder / "j.db") as connection:
            return int(connection.execute("SELECT count(*) FROM begun").fetchone()[0])


def tokens_of(run: Run) -> TokenCounts:
    figures = [visit.figures for visit in run.visits if visit.figures is not None]
    return sum((one.tokens for one in figures), TokenCounts())


@pytest.fixture
def kept_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visit_context, "KEEP_EVERY_S", 0.0)


@pytest.mark.slow
async def test_conversations_forks_branches_and_items_go_on_where_they_were(
    tiny_model: Path, tmp_path: Path, kept_often: None
) -> None:
    world = World(tmp_path / "whole", tiny_model)
    whole = await world.process()
    assert world.begun == 0 and tokens_of(whole).resumed == 0 and "each" in whole.variables
    resumed = 0
    for piece in range(1, 9):
        one = World(tmp_path / f"interrupted {piece}", tiny_model)
        with pytest.raises(Interrupted):
            await one.process(dies_at=piece)
        [summary] = one.journal.runs()
        assert summary.status is RunStatus.INTERRUPTED and one.begun, piece
        again = await one.process(summary.id)
        assert again.variables == whole.variables
        assert tokens_of(again).generated == tokens_of(whole).generated
        resumed += tokens_of(again).resumed
        assert one.begun == 0
        one.journal.close()
    assert resumed > 0
    world.journal.close()


OFTEN = """
import sys
from samovar.running import visit_context
visit_context.KEEP_EVERY_S = 0.02
from samovar.cli.entry import main
main()
"""
"""`samovar`, in which answers are kept often: a tiny model's are short."""


class Process:
    """A run of a model that takes a second for an answer, in a process of its own."""

    def __init__(self, folder: Path, *, options: tuple[str, ...] = ("--deterministic",)) -> None:
        self.folder, self.options = folder, (*options, "--model", "m.gguf", "--seed", "7")
        make_tiny(folder / "m.gguf", sizes=Sizes(width=128, layers=4))
        action = '- A: Prompt "x" using regex="[a-z]{300}" max_tokens=400 temperature=1.2 result="a"'
        write(folder, "[*] --> A\nA --> [*]", action)

    def begin(self, journal: str, kill_at: str | None = None) -> subprocess.Popen[str]:
        return self._start("run", "w.md", *self.options, "--json", "--journal", journal, kill_at=kill_at)

    def resume(self, kill_at: str | None = None) -> subprocess.Popen[str]:
        with sqlite3.connect(self.folder / "j.db") as connection:
            connection.execute("UPDATE run SET until_s = 1 WHERE until_s > 0")  # its lease has run out
        return self._start("resume", "--json", "--journal", "j.db", kill_at=kill_at)

    def _start(self, *arguments: str, kill_at: str | None) -> subprocess.Popen[str]:
        armed = {} if kill_at is None else {"SAMOVAR_KILL_AT": kill_at}
        return subprocess.Popen(
            [sys.executable, "-c", OFTEN, *arguments],
            cwd=self.folder,
            env=environment(self.folder) | armed,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def rows(self) -> list[str]:
        with sqlite3.connect(self.folder / "j.db") as connection:
            return [row[0] for row in connection.execute("SELECT answer FROM begun")]


def said(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, error = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, out, error


def count_of(answer: str) -> int:
    return len(json.loads(answer)["tokens"]["is"])


@pytest.mark.slow
def test_an_answer_survives_kill_9_again_and_again_and_is_what_it_would_have_been(folder: Path) -> None:
    process = Process(folder)
    status, out, error = said(process.begin("whole.db"))
    assert status == 0, error
    whole = json.loads(out)
    counts: list[int] = []
    status, _, _ = said(process.begin("j.db", "mid-generation:4"))
    while len(counts) < 4:
        assert status == -signal.SIGKILL
        [row] = process.rows()
        counts.append(count_of(row))
        status, _, _ = said(process.resume("mid-generation:4"))
        if status == 0:
            break
    if status != 0:
        status, out, error = said(process.resume())
        assert status == 0, error
    assert counts == sorted(set(counts)) and len(counts) >= 2
    with sqlite3.connect(folder / "j.db") as connection:
        [generated] = connection.execute("SELECT generated FROM run").fetchone()
    assert generated == whole["tokens"]["generated"] > 40 and process.rows() == []
    shown = samovar(folder, "runs", "show", "--journal", "j.db", "--json", run_of(folder))
    [state] = json.loads(shown.stdout)["states"]
    assert state["tokens"]["resumed"] >= counts[-1] > 0
    assert state["prompts"][0]["answer"]["content"] == whole["variables"]["a"]
    shown = samovar(folder, "runs", "show", "--journal", "j.db", run_of(folder))
    assert f"{state['tokens']['resumed']} of them before an interruption" in shown.stdout


def run_of(folder: Path) -> str:
    [run] = json.loads(samovar(folder, "runs", "--journal", "j.db", "--json").stdout)["runs"]
    return str(run["run"])


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--deterministic",)])
def test_an_answer_goes_on_after_ctrl_c(folder: Path, options: tuple[str, ...]) -> None:
    process = Process(folder, options=options)
    begun = process.begin("j.db")
    wait_until(lambda: (folder / "j.db").exists() and bool(quietly(process.rows)), begun)
    begun.send_signal(signal.SIGINT)
    status, _, error = said(begun)
    assert status == 130, error
    [row] = process.rows()
    status, out, error = said(process.resume())
    assert status == 0, error
    assert json.loads(out)["tokens"]["resumed"] == count_of(row)
    assert json.loads(out)["tokens"]["generated"] > count_of(row)


def quietly(ask: Callable[[], list[str]]) -> list[str]:
    """The journal may be being made."""
    try:
        return ask()
    except sqlite3.Error:
        return []


def wait_until(is_so: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not is_so():
        assert process.poll() is None, process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["outline", "off"])
def test_nothing_is_kept_of_an_answer_of_a_run_that_cannot_go_on(folder: Path, setting: str) -> None:
    process = Process(folder)
    settings = folder / "config" / "samovar" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f'journal = "{setting}"\n', encoding="utf-8")
    status, _, _ = said(process._start("run", "w.md", *process.options, kill_at="mid-generation:4"))
    assert status == -signal.SIGKILL
    for file in (folder.parent / f"{folder.name}-state").rglob("journal.db"):
        with sqlite3.connect(file) as connection:
            assert connection.execute("SELECT count(*) FROM begun").fetchone() == (0,)
