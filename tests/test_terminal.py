"""What reaches a terminal: no text of a file, a value, a model or a command does anything there."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from samovar.cli.console import make_console
from samovar.cli.output import json_text
from samovar.cli.showing import visible
from tests.on_terminal import on_terminal
from tests.test_cli import environment

CLI = Path(__file__).parent.parent / "src" / "samovar" / "cli"
EVIL = "\x1b]0;PWNED\x07\x1b[2J\x9b31m\u202e[/docs] [bold]items[i] :smile:"
SHOWN = r"\x1b]0;PWNED\x07\x1b[2J\x9b31m\u202e[/docs] [bold]items[i] :smile:"
TITLE = json.dumps(EVIL)
FLOW = f"""---
title: {TITLE}
description: {TITLE}
parameters:
  - name: asked
    required: true
    description: {TITLE}
    group: {TITLE}
---
```mermaid
stateDiagram-v2
[*] --> A
A --> B
B --> C
C --> [*]
```

## Actions

- A: Shell "printf '\\033]0;PWNED\\007\\033[2J'" result="evil"
- B: Log "${{evil}} [/docs] items[i]"
- C: Shell "printf '%s' ${{evil}} >&2; exit 3"
"""
QUESTION = """```mermaid
stateDiagram-v2
[*] --> A
A --> B
B --> [*]
```

## Actions

- A: Shell "printf '\\033]0;PWNED\\007\\033[2J'" result="evil"
- B: Wait for user input "${evil} go on?"
"""
ANSWER = """```mermaid
stateDiagram-v2
[*] --> A
A --> [*]
```

## Actions

- A: Shell "printf 'x\\033]0;PWNED\\007\\033[2Jy'" result="result"
"""
# A terminal is moved by these; styles (`…m`), the cursor and lines wiped are rich's own.
DONE_TO_A_TERMINAL = re.compile("\x1b\\][0-9]|\x07|\x1b\\[2J|\x9b|\u202e")


@pytest.mark.parametrize(
    "arguments, typed",
    [
        (["list"], b""),
        (["show", "evil"], b""),
        (["run", "evil", "--help"], b""),
        (["run", "evil"], b"given\n"),
        (["run", "evil", "-q", "--var", "asked=x"], b""),
        (["run", "evil", "--json", "--var", "asked=x"], b""),
        (["run", "evil", "--events", "--var", "asked=x"], b""),
        (["run", "evil", "-vv", "--var", "asked=x"], b""),
        (["run", "evil", "--dry-run", "--var", "asked=x"], b""),
        (["run", "question"], b"\n"),
        (["run", "answer"], b""),
        (["check", "evil"], b""),
    ],
)
def test_nothing_raw_reaches_a_terminal(tmp_path: Path, arguments: list[str], typed: bytes) -> None:
    folder = tmp_path / ".samovar" / "workflows"
    folder.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    for name, text in (("evil", FLOW), ("question", QUESTION), ("answer", ANSWER)):
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    _, written = on_terminal(
        tmp_path,
        *arguments,
        environment=environment(tmp_path) | {"TERM": "xterm-256color", "SAMOVAR_TRUST": "1"},
        typed=[typed] if typed else [],
        question=(b": ", b"] "),
    )
    assert "Traceback" not in written and written.strip()
    assert not DONE_TO_A_TERMINAL.search(written), written


def test_texts_of_a_table_are_shown_as_they_are_written() -> None:
    stream = io.StringIO()
    console = make_console(stream)
    table = Table()
    table.add_column(EVIL)
    table.add_row(EVIL)
    console.print(table)
    console.print(EVIL)
    console.print(Text(EVIL))
    assert stream.getvalue().count(SHOWN) == 3
    assert stream.getvalue().count(SHOWN.replace(r"\x07", "")) == 1  # rich takes the bell away from a `Text`
    assert not DONE_TO_A_TERMINAL.search(stream.getvalue())


def test_blanks_and_what_joins_letters_stay() -> None:
    for text in ("a\u3000b", "1\u00a0000", "می\u200cخواهم", "👨\u200d👩\u200d👧", "é", "日本\n\tx"):
        assert visible(text) == text


@given(st.text())
def test_json_is_the_same_value_with_nothing_that_a_terminal_does(text: str) -> None:
    written = json_text({"text": text})
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", written)
    assert json.loads(written) == {"text": re.sub("[\ud800-\udfff]", "\ufffd", text)}


def test_two_modules_write_to_the_terminal_and_no_other() -> None:
    other_ways = re.compile(
        r"std(out|err)\.(write|buffer)|(?<![\w.])print\(|\becho\(|\bConsole\((?!\))|file\.write\(f|StreamHandler\(sys"
    )
    found = {
        f"{path.name}: {line.strip()}"
        for path in CLI.glob("*.py")
        if path.name not in ("terminal.py", "console.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if other_ways.search(line)
    }
    # To a file or a pipe, where a console is not one of a terminal.
    assert found == {'output.py: console.file.write(f"{indent}{message.role}:\\n{lines}")'}
