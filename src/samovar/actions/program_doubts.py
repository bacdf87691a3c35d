"""Warnings about values in the words of a program: it may read them as options.

Above: `shell_judge.py`, `command.py`. Below: `programs.py` for where the program is, `program_tables.py`.
What is said is advice: nothing is refused here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from samovar.actions.program_tables import ENDS_OPTIONS, PROGRAM_TEXT
from samovar.actions.programs import start_of
from samovar.actions.shell_words import Word


def doubts(words: Sequence[Word]) -> Iterator[tuple[int, str]]:
    """Warnings about values in the words of a program, each with the number of the value."""
    start = start_of(words)
    if start == len(words):
        return
    name, before = words[start].name, ""
    is_ended, is_first = False, True
    for word in words[start + 1 :]:
        if word.value is not None and not word.through:
            doubt = _doubt(name, word, before, is_ended=is_ended, is_first=is_first)
            if doubt:
                yield word.value, doubt
        is_ended = is_ended or word.text in ("--", "--end-of-options")
        is_first = is_first and word.text[:1] == "-"
        before = word.text


def _doubt(name: str, word: Word, before: str, *, is_ended: bool, is_first: bool) -> str | None:
    prefix = word.text.partition("\0")[0]
    if PROGRAM_TEXT.match(name) and before != "-v" and (is_first or before in ("-c", "-e")):
        return f"`{name}` may read the value as part of a program; pass it as a separate argument."
    if prefix or is_ended:
        return None
    if name == "git":
        return "`git` may read the value as an option; put --end-of-options before it, or -- before a path."
    if name == "find":
        is_operand = before[:1] == "-" and before not in ("-L", "-P", "-H", "-o", "-a", "-not")
        return None if is_operand else "`find` may read the value as an expression; write ./ before a path."
    if name in ENDS_OPTIONS and not (name.endswith("grep") and before == "-e"):
        return f"`{name}` may read the value as an option; put -- before it."
    return None
