"""Parts what a model says from its calls while it says it, and reads these once they are whole.

Above: `answer.py`. Below: `calls.py`. Text is held only while it may be the beginning of the first call.
"""

from __future__ import annotations

from collections.abc import Sequence

from samovar.engines.calls import CallSyntax, Tool, calls_of
from samovar.engines.reasoning import Run, overlap
from samovar.errors import EngineError
from samovar.generation import ToolCall


class CallReader:
    """The calls of one answer. Mutable: what is held, and the text of the calls."""

    def __init__(
        self, syntax: CallSyntax, tools: Sequence[Tool], *, before: int = 0, at_head: bool = False
    ) -> None:
        """`before`: how many calls the conversation has. `at_head`: calls are all of the answer, or none."""
        self.syntax, self._tools, self._before = syntax, tools, before
        self._at_head = at_head or syntax.at_head
        self.by_token = False
        """The trigger is a control token, so that text never is it; whoever sees the token calls `open`."""
        self.is_open = False
        """A call has begun."""
        self._held = self._text = ""
        self._is_said = False
        """There was text."""

    def open(self) -> None:
        """What comes from now on is calls."""
        self.is_open = True

    def parted(self, runs: Sequence[Run]) -> list[Run]:
        """What was said, with calls as such."""
        parted: list[Run] = []
        for kind, text in runs:
            is_ours = kind == "text" or self.is_open
            parted += self._parted(text) if is_ours else [(kind, text)]
        return parted

    def finish(self) -> list[Run]:
        """What was held, once nothing more comes."""
        held, self._held = self._held, ""
        return [("text", held)] if held else []

    def _parted(self, text: str) -> list[Run]:
        if self.is_open:
            self._held = ""  # white space before calls that are all of the answer
            self._text += text
            return [("call", text)]
        self._held += text
        place = -1 if self.by_token else self._held.find(self.syntax.trigger)
        if place >= 0 and (not self._at_head or not (self._is_said or self._held[:place].strip())):
            said, rest = self._held[:place], self._held[place:]
            self.open()
            return [*self._text_run("" if self._at_head else said), *self._parted(rest)]
        kept = self._kept()
        said, self._held = self._held[: len(self._held) - kept], self._held[len(self._held) - kept :]
        self._is_said = self._is_said or bool(said.strip())
        return self._text_run(said)

    def _kept(self) -> int:
        """How many of the held characters may belong to a call."""
        if not self._at_head:
            return 0 if self.by_token else overlap(self._held, (self.syntax.trigger,))
        begun = self._held.lstrip()
        may_begin = not begun or (not self.by_token and self.syntax.trigger.startswith(begun))
        return len(self._held) if may_begin and not self._is_said else 0

    def _text_run(self, text: str) -> list[Run]:
        return [("text", text)] if text else []

    def calls(self) -> tuple[ToolCall, ...]:
        """The calls, which are whole. Raises `EngineError` for what is none, which nothing held to."""
        if not self.is_open:
            return ()
        try:
            return calls_of(self.syntax.read(self._text, self._tools), self._before)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, SyntaxError) as error:
            raise EngineError(f"What the model wrote is not a call of a tool: {error!r}.") from error
