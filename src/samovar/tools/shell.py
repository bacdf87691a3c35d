"""`shell.run`: runs a program, whose words the model gives. No shell reads them.

Above: the table. Below: `permission.py`, which knows what may be run without asking; the visit's context.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from samovar.actions.launching import failure_of
from samovar.actions.process import Command
from samovar.actions.tools import OfferedTool, ToolResult, failed
from samovar.processes.given_variables import TEMPORARY, allowed
from samovar.tools.base import Here, tool
from samovar.tools.permission import ask, may_run, rule_for_command

LIMIT_S = 120.0
"""How long a program may take."""
MOST_BYTES = 4_000_000
"""That it may write."""
MOST_WORD_BYTES = 100_000

TOOLS = (
    tool(
        "shell.run",
        "Runs a program in the folder. No shell reads its words: there are no pipes, redirections or globs.",
        {
            "command": {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
                "maxItems": 1000,
                "description": 'The program and its arguments, as in ["git", "log"]',
            }
        },
    ),
)


class ShellTools:
    """See `base.Source`."""

    async def tools(self, patterns: Sequence[str], here: Here) -> Sequence[OfferedTool]:
        return TOOLS

    async def call(self, name: str, arguments: Mapping[str, Any], here: Here) -> ToolResult:
        words = tuple(arguments["command"])
        if (wrong := _wrong(words)) is not None:
            return failed(wrong)
        context, text = here.context, shlex.join(words)
        if not may_run(context.settings.allow, words):
            no = await ask(here, "run a program", text, rule_for_command(words))
            if no is not None:
                return no
        command = Command(
            text=text,
            words=words,
            environment=allowed((TEMPORARY, *context.settings.environment)),
            folder=context.folder,
            timeout_s=LIMIT_S,
            most_bytes=MOST_BYTES,
            is_guarded=True,
        )
        finished = await context.run_command(command)
        if finished.is_cut:
            return failed(f"It wrote more than {MOST_BYTES:,} bytes and was stopped.")
        how = failure_of(finished, LIMIT_S)
        written = "\n".join(
            one for one in (finished.stdout.rstrip("\n"), finished.stderr.rstrip("\n")) if one
        )
        if how is not None:
            return failed(f"It {how.partition(':')[0]}.\n{written}".rstrip("\n"))
        return ToolResult(text=written or "It wrote nothing.")


def _wrong(words: Sequence[str]) -> str | None:
    """Why these cannot be the words of a program; None if they can."""
    if not words[0].strip():
        return "The program has no name."
    for word in words:
        if "\0" in word:
            return "A word cannot hold a NUL character."
        try:
            size_bytes = len(os.fsencode(word))
        except UnicodeEncodeError:
            return "A word cannot hold half a character."
        if size_bytes > MOST_WORD_BYTES:
            return f"A word is longer than {MOST_WORD_BYTES:,} bytes."
    return None
