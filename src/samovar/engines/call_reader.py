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
            parted += self._parted(text) if kind == "text" or self.is_open else [(kind, text)]
        return parted

    def finish(self) -> list[Run]:
        """What was held, once nothing more comes."""
        held, self._held = self._held, ""
        return [("text", held)] if held else []

    def _parted(self, text: str) -> list[Run]:
        if self.is_open:
            self._text += text
            return [("call", text)]
        if self.by_token:
            return [("text", text)]
        self._held += text
        trigger = self.syntax.trigger
        place = self._held.find(trigger)
        if place >= 0 and (not self._at_head or not (self._is_said or self._held[:place].strip())):
            said, rest = self._held[:place], self._held[place:]
            self._held = ""
            self.open()
            return [*([("text", said)] if said else []), *self._parted(rest)]  # type: ignore[list-item]
        kept = overlap(self._held, (trigger,))
        if self._at_head:
            begun = self._held.lstrip()
            kept = len(self._held) if not self._is_said and trigger.startswith(begun) else 0
        said, self._held = self._held[: len(self._held) - kept], self._held[len(self._held) - kept :]
        self._is_said = self._is_said or bool(said.strip())
        return [("text", said)] if said else []

    def calls(self) -> tuple[ToolCall, ...]:
        """The calls, which are whole. Raises `EngineError` for what is none, which nothing held to."""
        if not self.is_open:
            return ()
        try:
            return calls_of(self.syntax.read(self._text, self._tools), self._before)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, SyntaxError) as error:
            raise EngineError(f"What the model wrote is not a call of a tool: {error!r}.") from error
