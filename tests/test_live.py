"""What a person sees in a terminal while several states are running."""

from __future__ import annotations

import re
from io import StringIO

from rich.console import Console

from samovar.cli.live import LiveLines, answer_lines, note_of
from samovar.events import Logged, RunError, StateEntered, StateLeft, VisitStatus
from samovar.generation import TextGenerated

WIDTH = 40


class Screen:
    """A terminal of 40 columns with live lines on it."""

    def __init__(self) -> None:
        self._written = StringIO()
        console = Console(file=self._written, force_terminal=True, width=WIDTH, height=10, highlight=False)
        self.lines = LiveLines(console, 0)

    def drawn(self) -> list[str]:
        """What is drawn from here on, without colours, each line once."""
        self._written.truncate(self._written.seek(0))
        self.lines._live.refresh()  # the time of the next tick is not waited for
        return [line for line in self.text().splitlines() if line]

    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", self._written.getvalue())


def enter(lines: LiveLines, number: int, name: str) -> None:
    lines(StateEntered(visit=number, state=name, path=name, verb="prompt", what="x", time_s=0.0, branch=name))


def leave(lines: LiveLines, number: int, name: str, error: RunError | None = None) -> None:
    status = VisitStatus.CANCELLED if error is None else VisitStatus.FAILURE
    lines(
        StateLeft(
            visit=number, path=name, status=status, duration_s=1.0, error=error, figures=None, time_s=1.0
        )
    )


def test_each_running_state_has_a_line_of_its_own_with_room_left_in_it() -> None:
    screen = Screen()
    for number, name in enumerate(["Praise", "Doubt"], start=1):
        enter(screen.lines, number, name)
        screen.lines(TextGenerated(visit=number, piece=f"{name} says " + "a lot\n" * 20))
    praise, doubt = screen.drawn()
    assert praise.startswith("● Praise  prompt") and doubt.startswith("● Doubt  prompt")
    assert max(len(praise), len(doubt)) <= WIDTH - len("^C")
    screen.lines.close()


def test_states_that_end_stand_and_the_others_move_on() -> None:
    screen = Screen()
    for number, name in enumerate(["A", "B", "C"], start=1):
        enter(screen.lines, number, name)
    leave(screen.lines, 2, "B", RunError(code="engine", message="It broke.", state="B"))
    assert "✗ B  prompt  1 s  It broke." in screen.text()
    assert [line[:3] for line in screen.drawn()] == ["● A", "● C"]
    leave(screen.lines, 1, "A")
    leave(screen.lines, 3, "C")
    assert "■ A  prompt  1 s" in screen.text() and "■ C  prompt  1 s" in screen.text()
    assert screen.drawn() == []
    screen.lines.close()


def test_an_answer_stands_below_its_state_with_its_words_whole() -> None:
    screen = Screen()
    enter(screen.lines, 1, "A")
    answer = "The printer on the second floor is out of paper again."
    for word in answer.split(" "):
        screen.lines(TextGenerated(visit=1, piece=word + " "))
    leave(screen.lines, 1, "A")
    below = [line for line in screen.text().splitlines() if line.startswith("    ")]
    assert " ".join(" ".join(below).split()) == answer and max(map(len, below)) <= WIDTH
    screen.lines.close()


def test_what_a_terminal_would_do_is_shown_instead() -> None:
    line = note_of(Logged(visit=1, level="info", text="\x1b[31mred\x07\n\ttab ümlaut"), 0)
    assert line is not None
    assert line.plain == "  \\x1b[31mred\\x07\n\ttab ümlaut"
    assert answer_lines("a\x1b]0;title\x07", 1)[0].plain == "a\\x1b]0;title\\x07"
