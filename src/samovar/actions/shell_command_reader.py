"""The simple commands of a shell command: the words of each, and the input it may read from others.

Above: `shell_syntax.py`. Below: `shell_word_reader.py`, and `shell_judge.py` for each that has been read.
"""

from __future__ import annotations

import re

from samovar.actions.shell_builtins import Known, in_subscript
from samovar.actions.shell_frames import BETWEEN, CLOSERS, OPENERS, Flow, ShellFrame
from samovar.actions.shell_judge import doubts, judge, shows_values
from samovar.actions.shell_text import ShellText
from samovar.actions.shell_word_reader import IN_ARITHMETIC, WordReader
from samovar.actions.shell_words import SimpleCommand, Word

_SPLIT = 'the output of the $(…) around it is split into words; put that in quotes: "$(…)"'


_DESCRIPTOR = re.compile(r"\d+|\{[A-Za-z_]\w*(?:\[[^\]]*\])?\}")
"""Directly before a `<` or `>`, this is which file it redirects."""


class CommandReader(WordReader):
    """Reads simple commands. Mutable: warnings about those that have been read."""

    def __init__(self, text: ShellText, known: Known, *, is_bash: bool) -> None:
        super().__init__(text, known)
        self._is_bash = is_bash
        self.doubts: list[tuple[int, str]] = []

    def _end_word(self) -> None:
        frame = self.stack[-1]
        if frame.in_word:
            word = Word(
                "".join(frame.word),
                frame.value,
                frame.through,
                quoted=frame.has_quotes,
                splits=frame.splits,
                several=frame.several,
                computed=frame.computed and frame.word != ["[", "["],
            )
            if word.text == "case" and frame.closes:
                self.text.refuse("a `case` is inside brackets, and shells differ on where they end")
            frame.flow.hold(word.value)
            frame.flow.is_piped = False
            if frame.redirect:
                frame.command.redirects.append((frame.redirect, word))
                frame.redirect = ""
            else:
                self._add(frame, word)
        frame.word, frame.in_word = [], False
        frame.value, frame.through = None, ""
        frame.has_quotes = frame.splits = frame.several = frame.computed = False
        frame.braces = 0

    def _end_descriptor(self) -> None:
        """Ends the word before a `<` or `>`, which is part of it if it is a number or a `{name}`."""
        frame = self.stack[-1]
        text = "".join(frame.word[:300])
        if frame.has_quotes or frame.value is not None or not _DESCRIPTOR.fullmatch(text):
            self._end_word()
            return
        if len(text) > 1 and not self._is_bash:
            self.text.refuse("shells differ on numbers above 9, and on {name}, before < and >")
        self._check(in_subscript(Word(text), self._known))
        frame.word, frame.in_word, frame.braces, frame.computed = [], False, 0, False

    def _add(self, frame: ShellFrame, word: Word) -> None:
        """A word of a command, or a keyword before, within or behind commands."""
        words, text = frame.command.words, word.text
        if frame.is_array:
            self._check(in_subscript(word, self._known))
            return
        if frame.skips:
            frame.skips -= 1
            return
        is_loop_body = text == "do" and len(words) == 2 and words[0].text in ("for", "select")
        if word.quoted or not (frame.at_start or is_loop_body):
            words.append(word)
            frame.at_start = False
        elif is_loop_body:
            self._finish_command(frame, "\n")
        elif text == "function":
            self._know_function()
            frame.skips = 1
        elif text == "coproc":
            self._know_function()
        elif text in OPENERS:
            frame.flow.open(text)
            if text in ("for", "select", "case"):
                words.append(word)
                frame.at_start = False
        elif text in CLOSERS:
            frame.flow.close(text)
        elif text not in BETWEEN:
            words.append(word)
            frame.at_start = text == "time"

    def _end_command(self, operator: str) -> None:
        self._end_word()
        self._finish_command(self.stack[-1], operator)

    def _finish_command(self, frame: ShellFrame, operator: str) -> None:
        command, flow = frame.command, frame.flow
        frame.command, frame.redirect, frame.at_start, frame.skips = SimpleCommand(), "", True, 0
        if command.words or command.redirects:
            command.fed = flow.fed
            self._check(judge(command, self._known, is_group=flow.is_after_group))
            flow.hold(command.fed)
            if shows_values(command):
                flow.hold(self._known.any)
            self.doubts += doubts(command)
        if operator == "|":
            flow.pipe()
        elif operator != "\n" or not flow.is_piped:
            flow.end()

    def _know_function(self) -> None:
        """What a function is given, and reads, may be any value of the command."""
        self._known.hold("@", self.text.first)
        self._known.input = self.text.first if self._known.input is None else self._known.input

    def _end_bare(self, frame: ShellFrame) -> None:
        outer = self.stack[-1].bare
        number = frame.flow.any if frame.flow.any is not None else frame.flow.base
        if not frame.gives:
            outer.flow.hold(number)
            outer.flow.is_piped = False
            outer.flow.is_after_group, outer.at_start = True, True
            return
        self._into_word("")
        if number is not None and frame.gives != ">(…)":
            quoted = self.stack[-1].is_quoted or frame.gives != "$(…)"
            self._hold(number, "" if frame.is_array else frame.gives, splits=not quoted)

    @staticmethod
    def _is_assigned(bare: ShellFrame) -> bool:
        """The word being read is `NAME=…` before any other, which the shell does not split."""
        text = "".join(bare.word[:300])
        return not bare.command.words and bool(re.match(r"[A-Za-z_]\w*=", text))

    def _open_bare(self, gives: str) -> None:
        """Opens `$(`, `<(`, `>(`, `=(`, or `(`, which gives nothing."""
        around = self.stack[-1]
        bare = around.bare
        fed = bare.flow.fed
        if gives:
            self._into_word("" if gives == "=(…)" else "${}")
        if gives == ">(…)":
            fed = self.text.first if fed is None else fed
        split = bare.split
        if around.kind == "arithmetic":
            split = IN_ARITHMETIC
        elif gives == "$(…)" and split is None and not around.is_quoted and not self._is_assigned(bare):
            split = _SPLIT
        arithmetic = around.is_arithmetic or around.kind == "arithmetic"
        flow = Flow(base=fed, fed=fed)
        self.stack.append(
            ShellFrame("bare", closes=")", gives=gives, split=split, is_arithmetic=arithmetic, flow=flow)
        )
