"""A growing answer: bytes in; whole characters out, split, trimmed, and never part of a stop text.

Above: the engines, which feed it token by token. Below: `reasoning.py`. It knows no engine, so it is tested
alone. What the pieces of one kind are joined to is the answer's value: what is trimmed is never put out.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Literal

from samovar.engines.call_reader import CallReader
from samovar.engines.markers import Beginning, Markers
from samovar.engines.reasoning import Run, Splitter, overlap
from samovar.generation import FormKind, PartKind, TextGenerated, ToolCall

Blank = Literal["text", "one", "extra"]
"""What a blank at the head of an answer is: text; not meant, if it is only one; or one more than is meant, as
in vocabularies that put a blank before each text."""
_BEFORE: dict[PartKind, tuple[PartKind, ...]] = {
    "reasoning": (),
    "text": ("reasoning",),
    "call": ("reasoning", "text"),
}
"""By the kind of a piece: whose tokens came before."""
MOST_WHITE = 4
"""This many characters of white space may be before a marker; a model that says more will not think."""
Verdict = Literal["thinks", "says", "crosses"]
"""What a next token would do: stay before the text; be the first of the text; or belong to both."""


def takes_empty_lines(choices: Sequence[str]) -> bool:
    """Whether empty lines before one of the choices can be told from it."""
    return not any(choice[:1].isspace() for choice in choices)


class StopText:
    """Ends a text before the first of some texts. `stopped` says that one was reached."""

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._stop = tuple(filter(None, stop))
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """The characters that cannot begin a stop text any more."""
        if self.stopped:
            return ""
        if not self._stop:
            return text
        self._held += text
        found = [index for index in map(self._held.find, self._stop) if index >= 0]
        if found:
            self.stopped = True
            shown, self._held = self._held[: min(found)], ""
            return shown
        cut = len(self._held) - overlap(self._held, self._stop)
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown

    def finish(self) -> str:
        """The held-back part, once nothing more comes."""
        shown, self._held = self._held, ""
        return shown


class Head:
    """Takes the empty lines from the head of a text; the indent of its first line stays."""

    def __init__(self, blank: Blank = "text", *, keeps_indent: bool = True) -> None:
        self.blank, self._keeps_indent = blank, keeps_indent
        self._held = ""
        self._is_over = False

    def feed(self, text: str) -> str:
        if self._is_over:
            return text
        self._held += text
        rest = self._held.lstrip()
        if not rest:
            return ""
        self._is_over = True
        white = self._held[: len(self._held) - len(rest)]
        if (self.blank == "extra" and white.startswith(" ")) or (self.blank == "one" and white == " "):
            white = white[1:]
        white = white[max(white.rfind("\n"), white.rfind("\r")) + 1 :]
        return white + rest if self._keeps_indent else rest


class Tail:
    """Takes the white space from the end of a text."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        both = self._held + text
        shown = both.rstrip()
        self._held = both[len(shown) :]
        return shown


class AnswerParts:
    """One answer. Mutable: what was said so far, as far as it is held, and tokens that are not put out yet.

    Each token is of one piece, in their order; one whose text was trimmed is of a piece without text.
    """

    def __init__(
        self,
        markers: Markers | None = None,
        beginning: Beginning | None = None,
        *,
        stop: Sequence[str] = (),
        choices: Sequence[str] = (),
        form: FormKind | None = None,
        blank: Blank = "text",
    ) -> None:
        """`markers`: None leaves the answer as it is, untrimmed. `choices`: of which it is exactly one.

        `form`: the kind of form that the text has; None if it has none.
        """
        is_held = bool(choices) or form is not None
        self._calls: CallReader | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._splitter: Splitter | None = None
        self.is_free = self._may_think = False
        """What comes is not yet the text, which is held to choices, to a form or to calls."""
        if markers is not None:
            beginning = beginning or Beginning()
            self._splitter = Splitter(markers, beginning, once=is_held)
            may_think = markers.is_known or beginning.inside is not None
            self._may_think = may_think and not beginning.is_over
            self.is_free = is_held and self._may_think
            if is_held and not self.is_free:
                self._splitter.settle()
        self._stop = StopText(stop)
        self._heads: dict[PartKind, Head] = {}
        self._tails: dict[PartKind, Tail] = {}
        if markers is not None:
            self._heads["reasoning"], self._tails["reasoning"] = Head(keeps_indent=False), Tail()
            if not is_held:
                is_behind = beginning is not None and (beginning.inside is not None or beginning.is_over)
                blank = "one" if is_behind and blank == "text" else blank
                self._heads["text"], self._tails["text"] = Head(blank), Tail()
            elif self.is_free and (takes_empty_lines(choices) if choices else form == "schema"):
                self._heads["text"] = Head(keeps_indent=False)
        self._said: set[PartKind] = set()
        self._undecided: list[int | None] = []
        self._tokens: dict[PartKind, list[int]] = {"reasoning": [], "text": [], "call": []}
        self.reasoning_tokens = 0
        """Reasoning tokens among those fed so far, markers included."""

    def expect_calls(self, calls: CallReader) -> None:
        """The text may have calls of tools behind it, or be nothing but calls. Before anything is fed."""
        self._calls = calls
        self.is_free = self._may_think

    def open_calls(self) -> None:
        """A control token has begun a call: what comes from now on is calls."""
        if self._calls is not None:
            self._calls.open()

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls of tools; see `CallReader.calls`."""
        return () if self._calls is None else self._calls.calls()

    @property
    def is_calling(self) -> bool:
        """What comes is calls of tools."""
        return self._calls is not None and self._calls.is_open

    @property
    def stopped(self) -> bool:
        """A stop text, or the model's own mark of its end, was reached."""
        return self._stop.stopped or (self._splitter is not None and self._splitter.is_over)

    @property
    def may_be_text(self) -> bool:
        """Whether what comes next is text unless it begins with a marker."""
        return self._splitter is None or self._splitter.may_be_text

    def cut(self, *, is_done: bool) -> PartKind | None:
        """The part that did not come to its end; None if there is none. `is_done`: the model was done."""
        if self.is_calling:
            return None if is_done else "call"
        thinks = self._splitter is not None and self._splitter.is_open
        if is_done:
            return "reasoning" if thinks else None
        is_unsaid = self.reasoning_tokens > 0 and "text" not in self._said
        return "reasoning" if thinks or is_unsaid else "text"

    def feed(
        self, raw: bytes, token: int | None = None, *, is_token: bool = False, is_hidden: bool = False
    ) -> list[TextGenerated]:
        """What may be shown now. `token`: its number, if there is one. See `Splitter.feed`."""
        before = self._kind
        runs = self._split(self._decoder.decode(raw), is_token=is_token, is_hidden=is_hidden)
        after = self._kind
        self._undecided.append(token)
        is_thought = "reasoning" in (before, after, *(kind for kind, _ in runs))
        self._decide("reasoning" if is_thought else after)
        self.is_free = self.is_free and after != "text"
        return self._pieces(runs)

    def finish(self) -> list[TextGenerated]:
        """The held-back part, once nothing more comes. A character cut in the middle is U+FFFD."""
        runs = self._split(self._decoder.decode(b"", final=True))
        if self._splitter is not None and not self.is_calling:
            runs += self._parted(self._splitter.finish())
        if self._calls is not None:
            runs += self._calls.finish()
        self._decide(self._kind or "text")
        pieces = self._pieces(runs)
        if held := self._end(self._stop.finish()):
            pieces.append(self._piece("text", held))
        return [*pieces, *(self._piece(kind, "") for kind, tokens in self._tokens.items() if tokens)]

    def settle(self) -> None:
        """What comes from now on is the text."""
        assert self._splitter is not None
        self._splitter.settle()
        self.is_free = False

    def judge(self, raw: bytes, *, is_token: bool = False, is_hidden: bool = False) -> Verdict:
        """What a token would do, while the answer is free; nothing is changed."""
        assert self._splitter is not None
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        decoder.setstate(self._decoder.getstate())
        splitter = self._splitter.copy()
        runs = splitter.feed(decoder.decode(raw), is_token=is_token, is_hidden=is_hidden)
        is_text = any(kind == "text" and text.strip() for kind, text in runs)
        if not is_text and not (splitter.may_be_text and splitter.held_white > MOST_WHITE):
            return "thinks"
        return "says" if self._splitter.may_be_text else "crosses"

    @property
    def _kind(self) -> PartKind | None:
        if self.is_calling:
            return "call"
        return "text" if self._splitter is None else self._splitter.kind

    def _split(self, text: str, *, is_token: bool = False, is_hidden: bool = False) -> list[Run]:
        if self._splitter is None or self.is_calling:
            return self._parted([("text", text)] if text else [])
        return self._parted(self._splitter.feed(text, is_token=is_token, is_hidden=is_hidden))

    def _parted(self, runs: list[Run]) -> list[Run]:
        return runs if self._calls is None else self._calls.parted(runs)

    def _decide(self, kind: PartKind | None) -> None:
        """What the tokens belong to of which that was not known; None while it is not."""
        if kind is not None:
            self.reasoning_tokens += len(self._undecided) if kind == "reasoning" else 0
            self._tokens[kind] += [token for token in self._undecided if token is not None]
            self._undecided.clear()

    def _pieces(self, runs: Sequence[Run]) -> list[TextGenerated]:
        pieces: list[TextGenerated] = []
        if self.reasoning_tokens and "text" in self._heads and self._heads["text"].blank == "text":
            self._heads["text"].blank = "one"  # behind a marker a blank is not an indent
        for kind, text in runs:
            if kind in self._heads:
                text = self._heads[kind].feed(text)
            if kind == "text":
                text = self._stop.feed(text)
            text = self._end(text, kind)
            if not text:
                continue
            if kind == "call" and (held := self._end(self._stop.finish())):
                pieces.append(self._piece("text", held))
            pieces += [self._piece(earlier, "") for earlier in _BEFORE[kind] if self._tokens[earlier]]
            pieces.append(self._piece(kind, text))
        return pieces

    def _end(self, text: str, kind: PartKind = "text") -> str:
        return self._tails[kind].feed(text) if kind in self._tails else text

    def _piece(self, kind: PartKind, text: str) -> TextGenerated:
        tokens, self._tokens[kind] = tuple(self._tokens[kind]), []
        if text:
            self._said.add(kind)
        return TextGenerated(piece=text, kind=kind, tokens=tokens)
