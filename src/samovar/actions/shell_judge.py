"""Decides if a simple command of a shell may contain its values.

Above: `shell_syntax.py`, which calls it at the end of each. Below: `programs.py` for what is any program's,
`shell_builtins.py` for the shell's own form. Each word is looked at a bounded number of times.
"""

from __future__ import annotations

from collections.abc import Iterator

from samovar.actions import program_doubts, programs, shell_builtins
from samovar.actions.program_tables import SHOW_ENVIRONMENT, is_shell
from samovar.actions.shell_builtins import Known
from samovar.actions.shell_words import Refused, SimpleCommand, Word, refused

_TWICE = "the shell may read the target of {} twice; write > FILE 2>&1 instead"


def judge(command: SimpleCommand, known: Known, *, is_group: bool) -> Refused | None:
    """Why the command must not have one of its values; None if it may.

    `is_group`: it is what comes after a compound command, so that all of that has the same input.
    """
    words = command.words
    if why := _several(words) or _redirected(command, known, is_group=is_group):
        return why
    return programs.refusal(words, command.fed) or shell_builtins.refusal(command, known)


def doubts(command: SimpleCommand) -> Iterator[tuple[int, str]]:
    """Warnings about the values in its words, each with the value's number."""
    return program_doubts.doubts(command.words)


def _several(words: list[Word]) -> Refused | None:
    several = False
    for word in words:
        several = several or word.several
        if several and word.value is not None:
            return refused("a ${…} before it may become several words; put that in quotes", word)
    return None


def _redirected(command: SimpleCommand, known: Known, *, is_group: bool) -> Refused | None:
    """Looks at the targets of redirections; what one feeds to the command is its input from now on."""
    names = [word.name for word in command.words]
    for operator, target in command.redirects:
        if target.value is None:
            continue
        if operator.endswith("&"):
            return refused(_TWICE.format(operator), target)
        if not operator.startswith("<"):
            continue
        if operator == "<<<" or target.through:
            command.fed = target.value
            if is_group or names[:1] == ["exec"]:
                known.input = target.value if known.input is None else known.input
        elif any(map(is_shell, names)):
            return refused("a shell reads commands from the file it names", target)
    if command.fed is None:
        # What is written in <(…) may be read as a file is.
        command.fed = next((word.value for word in command.words if word.through == "<(…)"), None)
    return None


def shows_values(command: SimpleCommand) -> bool:
    """Whether it may write what variables hold: `env`, `set`, `export -p` and the like."""
    words = command.words
    start = programs.start_of(words)
    if any(word.name in SHOW_ENVIRONMENT or "/environ" in word.text for word in words):
        return True
    if start == len(words):
        return False
    name, after = words[start].text, words[start + 1 :]
    lists = not after or any(word.text[:1] == "-" and "p" in word.text for word in after)
    return lists and name in ("set", "export", "readonly", "declare", "typeset", "local")
