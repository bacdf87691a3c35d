"""What a conversation shows: answers as they come, calls of tools, remarks, and for scripts lines of JSON.

Above: `chatting.py`. Below: the events, the terminal. Nothing else writes answers: they go to standard
output, all the rest to standard error.
"""

from __future__ import annotations

from typing import Any

from rich.text import Text

from samovar.actions.base import brief
from samovar.cli.console import make_console
from samovar.cli.live_tools import ARGUMENTS_CHARS, INDENT, ToolLines
from samovar.cli.output import error_object, json_text
from samovar.cli.showing import shown
from samovar.cli.terminal import put, say
from samovar.errors import SamovarError
from samovar.errors.counting import counted
from samovar.events import Event, Logged, Warned
from samovar.executors.base import PromptReply
from samovar.generation import (
    FinishReason,
    ModelFetching,
    ModelLoading,
    TextGenerated,
    ToolCalled,
    ToolFinished,
)
from samovar.running.wire import tokens_to_wire, tool_to_wire
from samovar.values.secrecy import Secrets, Stream


class ChatShow:
    """Mutable: what was shown of the answer that is under way."""

    def __init__(self, hidden: Secrets, *, is_interactive: bool, as_json: bool) -> None:
        """`hidden`: what nobody is shown. `is_interactive`: somebody may be told what is waited for."""
        self._hidden, self._shown = hidden, Stream(hidden)
        self.is_interactive = is_interactive
        self._as_json = as_json
        self._told: set[str] = set()
        self._lines = ToolLines()
        self._tools: list[ToolFinished] = []

    def event(self, event: Event) -> None:
        """Something happens while an answer is waited for."""
        if isinstance(event, TextGenerated) and event.kind == "text":
            if not self._as_json:
                put(self._shown.next(event.piece))
                self._told.add("text")
        elif isinstance(event, ToolCalled | ToolFinished):
            self._tool(event)
        elif isinstance(event, Warned):
            self._break_line()
            say(f"warning: {shown(event.message)}")
        elif isinstance(event, Logged) and event.level != "debug":
            self._break_line()
            say(f"  {shown(event.text)}")
        elif self.is_interactive:
            self._remark(event)

    def _tool(self, event: ToolCalled | ToolFinished) -> None:
        """A person sees that a call begins, since it may take long or ask, and anybody what came of it."""
        line = self._lines.line_of(event, verbose=1)
        self._break_line()
        if line is not None:
            make_console().print(line, soft_wrap=True)
        elif self.is_interactive and isinstance(event, ToolCalled):
            what = f"{shown(event.name)} {shown(brief(event.arguments, ARGUMENTS_CHARS))} …"
            make_console().print(Text(" " * INDENT + what, style="dim"), soft_wrap=True)
        if isinstance(event, ToolFinished):
            self._tools.append(event)

    def _remark(self, event: Event) -> None:
        """What a person waits for, each once."""
        if isinstance(event, ModelLoading):
            what = f"loading {event.model} …"
        elif isinstance(event, ModelFetching):
            quarter = int(4 * event.done_bytes / (event.total_bytes or event.done_bytes or 1)) * 25
            what = f"fetching {event.model}: {quarter} %"
        elif isinstance(event, TextGenerated):
            what = "thinking …"
        else:
            return
        if what not in self._told:
            self._told.add(what)
            say(what)

    def _break_line(self) -> None:
        """What follows begins a line of its own."""
        if "text" in self._told:
            put(self._shown.rest() + "\n")
            self._told.discard("text")

    def end_line(self) -> None:
        """The answer will not go on."""
        self._break_line()
        self._told.clear()
        self._tools.clear()

    def end(self, reply: PromptReply, branch: str) -> None:
        """The answer is complete."""
        self._told.clear()
        if self._as_json:
            put(json_text(self._hidden.copy(self._object(reply, branch))) + "\n")
        else:
            put(self._shown.rest() + "\n")
        self._tools.clear()
        if not self._as_json and reply.finish_reason is FinishReason.LENGTH:
            say("The answer was cut off; --max-tokens N gives it more room.")
        if not self._as_json and reply.dropped_messages:
            left_out = counted(reply.dropped_messages, "message")
            say(f"There is no room for the beginning of the conversation: {left_out} left out.")

    def command(self, text: str, said: str) -> None:
        """What a command has done."""
        if self._as_json:
            put(json_text({"command": text.strip(), "said": said}) + "\n")
        else:
            say(shown(said))

    def fail(self, error: SamovarError) -> int:
        """Says what is wrong, and returns the exit status: a person goes on, a script has ended."""
        if self._as_json:
            put(json_text(self._hidden.copy(error_object(None, error))) + "\n")
        else:
            say(f"samovar: {shown(self._hidden.mask(str(error)))}")
        return 0 if self.is_interactive else error.exit_status

    def _object(self, reply: PromptReply, branch: str) -> dict[str, Any]:
        return {
            "text": reply.text,
            "finish_reason": str(reply.finish_reason),
            "branch": branch,
            "model": reply.model,
            "executor": reply.executor or None,
            "tools": [tool_to_wire(one) for one in self._tools],
            "tokens": tokens_to_wire(reply.tokens),
            "first_token_s": reply.first_token_s,
            "duration_s": reply.duration_s,
            "cost": reply.cost,
        }
