"""Large values on the terminal: what is shown is bounded before it is formatted; the record has it all."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from samovar.cli.live import Lines, LiveLines, Show
from samovar.cli.output import show_message
from samovar.cli.showing import MOST_SHOWN_CHARS, MOST_SHOWN_LINES, bounded, shown
from samovar.events import Event, Logged, RunError, StateEntered, StateLeft, VisitStatus, Warned
from samovar.generation import TextGenerated
from samovar.preflight.prompts import MessagePreview
from tests.test_cli import TIMEOUT_S, environment, samovar, write

ROOM_CHARS = 200
"""For what stands around a text."""
MOST_MEMORY_BYTES = 400_000_000
"""Of a process that logs 5 MB: before, it took 2 GB."""


@pytest.mark.parametrize(
    ("text", "below"),
    [
        ("x" * (MOST_SHOWN_CHARS + 5), "… 5 more characters"),
        ("y\n" * (MOST_SHOWN_LINES + 5), "… 10 more characters on 5 lines"),
        ("x" * 5_000_000, "… 4,980,000 more characters"),
    ],
)
def test_a_mark_says_how_much_more_there_is(text: str, below: str) -> None:
    head, _, last = bounded(text).rpartition("\n")
    assert last == below and text.startswith(head)
    assert len(head) <= MOST_SHOWN_CHARS and head.count("\n") < MOST_SHOWN_LINES


@pytest.mark.parametrize("text", ["", "x", "x\n", "x" * MOST_SHOWN_CHARS, "y\n" * MOST_SHOWN_LINES])
def test_a_text_that_is_not_large_is_shown_whole(text: str) -> None:
    assert bounded(text) == text


def test_what_is_cut_is_escaped_after_that() -> None:
    assert shown("\x07" * 5_000_000).count("\\x07") == MOST_SHOWN_CHARS


class Counting(Console):
    """Counts the characters of the longest text that it is handed."""

    most = 0

    def render(self, renderable: object, options: ConsoleOptions | None = None) -> RenderResult:  # type: ignore[override]
        if isinstance(renderable, Text):
            self.most = max(self.most, len(renderable.plain))
        return super().render(renderable, options)  # type: ignore[arg-type]


LARGE = {"one line": "x" * 2_000_000, "short lines": "y\n" * 1_000_000, "controls": "\x07" * 1_000_000}


def events_with(text: str) -> list[Event]:
    error = RunError(code="abort", message=text, state="S")
    return [
        StateEntered(visit=1, state="S", path="S", verb="log", what=text, branch=None, time_s=0.0),
        Logged(visit=1, level="info", text=text),
        Warned(visit=1, message=text),
        TextGenerated(visit=1, piece=text),
        StateLeft(
            visit=1,
            path="S",
            status=VisitStatus.FAILURE,
            duration_s=0.0,
            error=error,
            figures=None,
            time_s=1.0,
            what=text,
        ),
    ]


@pytest.mark.parametrize("verbose", [0, 1])
@pytest.mark.parametrize("kind", [Lines, LiveLines])
@pytest.mark.parametrize("text", LARGE.values(), ids=list(LARGE))
def test_rich_is_handed_a_bounded_part_of_every_event(
    text: str, kind: type[Lines] | type[LiveLines], verbose: int
) -> None:
    console = Counting(file=io.StringIO(), width=100, force_terminal=kind is LiveLines, highlight=False)
    show: Show = kind(console, verbose)
    for event in events_with(text):
        show(event)
    show.close()
    # An escape has up to four characters for one that is shown.
    assert 0 < console.most <= MOST_SHOWN_CHARS * 4 + ROOM_CHARS


def test_a_large_prompt_is_bounded_on_a_terminal_and_whole_in_a_pipe() -> None:
    message = MessagePreview(role="user", parts=("x" * 2_000_000,))
    pipe = io.StringIO()
    show_message(Counting(file=pipe), message, indent="  ")
    assert pipe.getvalue() == f"  user:\n  {'x' * 2_000_000}\n"
    console = Counting(file=io.StringIO(), force_terminal=True)
    show_message(console, message, indent="")
    assert console.most <= MOST_SHOWN_CHARS + ROOM_CHARS


LOGS = (
    "[*] --> A\nA --> B\nB --> [*]",
    '- A: Shell "yes | head -c 5000000" result="v"\n- B: Log "${v}"',
)


@pytest.mark.slow
@pytest.mark.parametrize("option", ["", "-q", "-v"])
def test_a_log_of_5_mb_takes_little_memory(tmp_path: Path, option: str) -> None:
    write(tmp_path, *LOGS)
    script = "from samovar import memory\nfrom samovar.cli.entry import main\n"
    script += "try: main()\nfinally: print(memory.peak_bytes())"
    done = subprocess.run(
        [sys.executable, "-c", script, "run", "w.md", *option.split()],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    peak = int(done.stdout)
    assert done.returncode == 0 and peak < MOST_MEMORY_BYTES
    assert len(done.stderr) < MOST_SHOWN_CHARS * 2
    assert ("more characters" in done.stderr) == (option != "-q")


@pytest.mark.slow
def test_the_event_has_the_whole_text(tmp_path: Path) -> None:
    write(tmp_path, *LOGS)
    done = samovar(tmp_path, "run", "w.md", "--events")
    (logged,) = [
        event for line in done.stdout.splitlines() if (event := json.loads(line))["event"] == "logged"
    ]
    assert len(logged["text"]) == 4_999_999


@pytest.mark.slow
@pytest.mark.parametrize("option", ["", "-q"])
def test_an_error_with_a_large_text_is_bounded(tmp_path: Path, option: str) -> None:
    write(tmp_path, LOGS[0], LOGS[1].replace("Log", "Abort"))
    done = samovar(tmp_path, "run", "w.md", *option.split())
    assert done.returncode == 1 and len(done.stderr) < MOST_SHOWN_CHARS * 4
    assert "more characters" in done.stderr


STUCK = """
import sys
import anyio
from samovar.processes.process_groups import ProcessGroups
from samovar.cli.driving import Signals

class Run:
    def stop(self):
        print("stopped", flush=True)

async def main():
    with Signals(Run(), ProcessGroups()).listen():
        print("ready", flush=True)
        while True:
            pass

anyio.run(main)
"""


def test_the_second_interrupt_ends_a_process_whose_event_loop_is_busy(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    for _ in range(100):  # signals that wait together are one
        process.send_signal(2)
        try:
            process.wait(timeout=0.1)
            break
        except subprocess.TimeoutExpired:
            continue
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out) == (130, b"") and b"stopped at once" in err
