"""What a person has typed in conversations, kept for the arrow keys of the next: one line of JSON for each.

Above: `chat_typing.py`. Below: a file in the user's folder of state, which is for its owner only. A text that
begins with a blank is not kept, nor is one that looks as if a key or a password were in it.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from samovar.config.masking import masked
from samovar.projects.places import state_folder

MOST_BYTES = 1_000_000
"""Of the file; beyond that the older half goes."""
LONGEST_CHARS = 10_000
"""Of a text that is kept."""


def history_file() -> Path | None:
    """Where it is; None for a user without a home folder."""
    state = state_folder()
    return None if state is None else state / "chat_history.jsonl"


def may_be_kept(text: str) -> bool:
    """Whether a text goes into the file."""
    is_plain = bool(text.strip()) and not text[0].isspace() and len(text) <= LONGEST_CHARS
    return is_plain and masked(text) == text


def read_history(path: Path) -> list[str]:
    """The texts, the newest first; none of a file that cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace")[-MOST_BYTES:].splitlines()
    except OSError:
        return []
    found = []
    for line in reversed(lines):
        with suppress(ValueError):
            if isinstance(text := json.loads(line), str):
                found.append(text)
    return found


def keep(path: Path, text: str) -> None:
    """Adds a text. What cannot be written is not kept."""
    if not may_be_kept(text):
        return
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "a", encoding="utf-8") as file:
            file.write(json.dumps(text) + "\n")
        if path.stat().st_size > MOST_BYTES:
            _halve(path)


def _halve(path: Path) -> None:
    newest = path.read_bytes()[-MOST_BYTES // 2 :]
    part = path.with_suffix(f".{os.getpid()}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(newest.partition(b"\n")[2])
    os.replace(part, path)
