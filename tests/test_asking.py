"""A person is asked, on a real terminal: what counts as yes, as no, and as nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import samovar
from samovar.actions.question import Question
from samovar.events import Ending
from tests.on_terminal import on_terminal
from tests.test_cli import environment
from tests.test_cli import samovar as command

FLOW = """```mermaid
stateDiagram-v2
[*] --> Make
Make --> Ask
Ask --> Go: success
Ask --> Stop: failure
Go --> [*]
Stop --> [*]
```

## Actions

- Make: Shell "printf 'one\\n[Y/n] y'" result="made"
- Ask: Wait for user input "Release ${made}?"
- Go: Log "released"
- Stop: Log "not released: ${error.kind}"
"""
ASKED = b"Go on? [Y/n] "
END = b"\x04"


def asked(folder: Path, typed: Sequence[bytes], *, ahead: bytes = b"") -> tuple[str, int]:
    """What the terminal shows of a run, and its exit status. Each of `typed` answers one question."""
    (folder / "w.md").write_text(FLOW)
    surroundings = environment(folder) | {"TERM": "xterm-256color"}
    status, shown = on_terminal(
        folder, "run", "w.md", environment=surroundings, typed=typed, question=(ASKED,), ahead=ahead
    )
    return shown, status


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ([b"\n"], "released"),
        ([b"y\n"], "released"),
        ([b"YES \n"], "released"),
        ([b"n\n"], "not released: refused"),
        ([b"No\n"], "not released: refused"),
        ([END], "not released: refused"),
        ([b"perhaps\n", b"n\n"], "not released: refused"),
    ],
)
def test_what_is_answered_is_done(tmp_path: Path, typed: list[bytes], said: str) -> None:
    shown, status = asked(tmp_path, typed)
    assert status == 0 and f"  {said}\r\n" in shown, shown


def test_what_is_typed_before_the_question_is_no_answer(tmp_path: Path) -> None:
    shown, status = asked(tmp_path, [b"n\n"], ahead=b"\n\ny\n")
    assert status == 0 and "not released: refused" in shown, shown


def test_a_value_in_a_question_is_on_one_line_and_of_another_colour(tmp_path: Path) -> None:
    folder = tmp_path / "colours"
    folder.mkdir()
    shown, _ = asked(folder, [b"n\n"])
    assert "Release one [Y/n] y?" in shown.replace("\x1b[36m", "").replace("\x1b[0m", "")


def test_without_a_terminal_there_is_nobody(tmp_path: Path) -> None:
    (tmp_path / "w.md").write_text(FLOW)
    assert "not released: unanswered" in command(tmp_path, "run", "w.md", stdin="y\n").stderr
    assert "released\n" in command(tmp_path, "run", "w.md", "--yes").stderr


@pytest.mark.anyio
@pytest.mark.parametrize(("answer", "said"), [(True, "released"), (False, "refused"), (None, "unanswered")])
async def test_a_program_answers(tmp_path: Path, answer: bool | None, said: str) -> None:
    (tmp_path / "w.md").write_text(FLOW)
    asked: list[Question] = []

    async def ask(question: Question) -> bool | None:
        asked.append(question)
        return answer

    logged: list[str] = []
    async with samovar.open() as app:
        run = await app.run(
            tmp_path / "w.md", answer=ask, on_event=lambda event: logged.append(getattr(event, "text", ""))
        )
    assert run.ending is Ending.COMPLETED and any(said in text for text in logged)
    assert [(one.path, one.text) for one in asked] == [("Ask", "Release one\n[Y/n] y?")]
