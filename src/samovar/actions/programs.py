"""Programs that read their arguments or input as code, or a value as an option.

Above: `quoting.py` for the commands of a shell, `command.py` for those without one. Below: `shell_words.py`.
What it knows are tables; a program that is in none of them is taken for one that reads no code.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from samovar.actions.program_tables import (
    ASSIGNMENT,
    CODE_ATTACHED,
    CODE_OPTION,
    COMMAND_ATTACHED,
    COMMAND_OPTION,
    COMMANDED,
    FILTERS,
    INTERPRETER,
    LAUNCHERS,
    OPERANDS,
    OPTION_WITH_VALUE,
    PROGRAM_TEXT,
    QUEUES,
    READERS,
    SENDERS,
    TOKENS,
    WRAPPERS,
    is_shell,
    reads_as_code,
)
from samovar.actions.shell_words import EXPANSION, Refused, Word, first_held, refused

NESTED = "it is in the text of a nested shell; pass it as an argument: sh -c 'echo \"$1\"' sh VALUE"
_PROGRAM = "it is in the text of a program for `{}`; pass it as an argument that the program reads"
_AS_OPTION = "`{}` may read it as an option, which can contain code; put -- before it"
_SENT = "it is in the text of a nested shell, where quotes here have no effect"
_NAMED = "it names the program, which could be a shell that reads the other words; write the program's name"
_LIST = 'it may be a list whose items become the program and its options; write "${t}s"'
_UNKNOWN = "it is the input of a program that only the run knows, which could be a shell"
_COMPUTED_NAME = "the program, which only the run knows, could read it as code; write the program's name"
_STARTS = ("-exec", "-execdir", "-ok", "-okdir")
"""Behind these, `find` has a program."""
_SPLIT = "the shell splits it into words, and the first one names a program; write the program's name"
_FED = "it is the input of `{}`, which may read it as commands"


def refusal(words: Sequence[Word], fed: int | None) -> Refused | None:
    """Why a value must not be in one of the words, or be the input of their program; None if it may."""
    start = start_of(words)
    return (
        _as_env_text(words)
        or _as_program(words, start, fed)
        or _as_assignment(words, start)
        or _as_code(words)
        or _as_text_of_interpreter(words)
        or (None if fed is None else _as_input(words, start, fed))
    )


def start_of(words: Sequence[Word]) -> int:
    """Where the program itself is, after assignments and what starts it for others."""
    at, wrapper = 0, ""
    while at < len(words):
        word = words[at]
        if ASSIGNMENT.match(word.text):
            at += 1
        elif word.name in WRAPPERS:
            wrapper, at = word.name, at + 1
            at = _after_options(words, at, WRAPPERS[wrapper])
            at = min(at + OPERANDS.get(wrapper, 0), len(words))
        else:
            break
    return at


def _after_options(words: Sequence[Word], at: int, with_value: str) -> int:
    while at < len(words) and words[at].text[:1] == "-" and words[at].text != "-":
        text = words[at].text
        at += 1
        if text == "--":
            break
        if len(text) == 2 and text[1] in with_value:
            at += 1
    return at


def _as_program(words: Sequence[Word], start: int, fed: int | None) -> Refused | None:
    for before, word in pairwise(words):
        if before.text in _STARTS and word.value is not None:
            return refused(_NAMED, word)
    if start == len(words):
        return None
    program = words[start]
    others = [*words[:start], *words[start + 1 :]]
    if program.value is None:
        is_known = program.text[-1:] and "$" not in program.name and "\0" not in program.name
        if (program.computed or "$" in program.text) and not (is_known and not program.computed):
            held = first_held(others)
            return refused(_COMPUTED_NAME, held) if held else None
        return None
    if program.splits:
        return refused(_SPLIT, program)
    if any(word.name in WRAPPERS for word in words[:start]):
        return refused(_NAMED, program)
    if fed is not None or first_held(others) or any(is_shell(word.name) for word in others):
        return refused(_NAMED, program)
    return None


def _as_assignment(words: Sequence[Word], start: int) -> Refused | None:
    """A value in a variable that is read as code: set before the program, by `env`, or as if by `set -k`."""
    if words and words[0].name in FILTERS:
        return None
    for index, word in enumerate(words):
        if word.value is None or "=" not in word.text:
            continue
        name = re.split(r"\[|\+?=", word.text, maxsplit=1)[0]
        if reads_as_code(name) and (name != "ENV" or index < start):
            return refused(f"what `{name}` holds is read as code", word)
    return None


def list_refusal(words: Sequence[Word], lists: Collection[int]) -> Refused | None:
    """Why a list must not be in one of the words with these numbers, which are lists perhaps."""
    if words[0].name not in WRAPPERS and not ASSIGNMENT.match(words[0].text):
        return None
    start = start_of(words)
    return next((refused(_LIST, words[at]) for at in sorted(lists) if at <= start), None)


def _as_code(words: Sequence[Word]) -> Refused | None:
    """A value in the text of a shell, in one of its options, or in a word that is sent to one."""
    sender, shell = False, _Shell("")
    for index, word in enumerate(words):
        held = word.value is not None
        if sender and held:
            return refused(_SENT, word)
        sender = sender or word.name in SENDERS
        if held and (shell.expects_text or (shell.name and COMMAND_ATTACHED.match(word.text))):
            return refused(NESTED, word)
        if held and shell.takes_options and word.begins_with_value:
            return refused(_AS_OPTION.format(shell.name), word)
        is_its_name = shell.take(words[index - 1].text, word.text)
        if is_shell(word.name) and not is_its_name:
            shell = _Shell(word.name, takes_options=True)
        elif not shell.name and ((held and word.text[:1] != "-") or (not index and "$" in word.text)):
            # A command whose name only the run knows may be a shell.
            shell = _Shell(word.name)
    return None


@dataclass(slots=True)
class _Shell:
    """A shell among the words of a command. Mutable: how far its own words have been read."""

    name: str
    """Empty: there has been none."""
    takes_options: bool = False
    expects_text: bool = False
    """The next word that is not an option is the text of a command."""
    expects_name: bool = False
    """The next word is what that text has as $0."""

    def take(self, before: str, text: str) -> bool:
        """Takes the next word behind it. Gives whether that is only a name."""
        is_name, self.expects_name = self.expects_name, False
        if COMMAND_OPTION.match(text):
            self.expects_text = bool(self.name)
        elif text[:1] in ("-", "+") and text != "-":
            self.takes_options = self.takes_options and text != "--"
        elif not EXPANSION.fullmatch(text) and not OPTION_WITH_VALUE.match(before):
            self.expects_name = self.expects_text and self.name not in LAUNCHERS
            self.takes_options = self.expects_text = False
        return is_name


def _as_text_of_interpreter(words: Sequence[Word]) -> Refused | None:
    name, expects_code = "", False
    for index, word in enumerate(words):
        text, held = word.text, word.value is not None
        if name:
            is_code = expects_code or CODE_ATTACHED.match(text)
            if held and is_code:
                return refused(_PROGRAM.format(name), word)
            if held and word.begins_with_value and words[index - 1].text != "--":
                return refused(_AS_OPTION.format(name), word)
            expects_code = bool(CODE_OPTION.match(text))
            is_operand = text[:1] != "-" and not OPTION_WITH_VALUE.match(words[index - 1].text)
            name = (
                ""
                if (is_operand and not expects_code and not EXPANSION.fullmatch(text)) or text == "--"
                else name
            )
        elif INTERPRETER.match(word.name):
            name, expects_code = word.name, False
    return None


def _as_env_text(words: Sequence[Word]) -> Refused | None:
    is_env = splits = False
    for word in words:
        if is_env and word.value is not None:
            if splits or re.match(r"-\w*S|--split-string", word.text):
                return refused("`env -S` splits it into words", word)
            if word.begins_with_value:
                return refused(_AS_OPTION.format("env"), word)
            if "=" not in re.split(r"[\0$]", word.text)[0]:
                return refused("`env` may read it as the name of a variable or of a program", word)
        if is_env:
            splits = splits or bool(re.match(r"-\w*S|--split-string", word.text))
            is_option = word.text[:1] == "-" or ASSIGNMENT.match(word.text)
            is_env = splits or ((bool(is_option) or "=" in word.text) and word.text != "--")
        is_env = is_env or word.name == "env"
    return None


def _as_input(words: Sequence[Word], start: int, fed: int) -> Refused | None:
    """Why the program must not get a value as its input."""
    if why := _from_input(words, start):
        return Refused(why, fed)
    if start == len(words):
        unknown = any(EXPANSION.search(word.text) for word in words)
        return Refused(_UNKNOWN, fed) if unknown and any(word.name in WRAPPERS for word in words) else None
    program = words[start]
    if program.computed or EXPANSION.search(program.text):
        return Refused(_UNKNOWN, fed)
    if program.name in FILTERS and start == 0:
        return None
    if program.name in COMMANDED or _is_program_file(words, start):
        return Refused(_FED.format(program.name), fed)
    for index, word in enumerate(words):
        for name in (word.name, *(part.rsplit("/", 1)[-1] for part in TOKENS.split(word.text))):
            if is_shell(name) or (name in READERS and (name != "." or index == start)):
                return Refused(_FED.format(name), fed)
    by_xargs = any(word.name == "xargs" for word in words)
    for index, word in enumerate(words):
        name = word.name
        if INTERPRETER.match(name) and (by_xargs or _reads_input(words, index + 1)):
            return Refused(_FED.format(name), fed)
        if name in SENDERS and (by_xargs or name in QUEUES or _is_bare(words, index + 1)):
            return Refused(_FED.format(name), fed)
    return None


def _from_input(words: Sequence[Word], start: int) -> str | None:
    """Why `xargs` must not get a value: what it makes of it can become a program, or code for one."""
    at = next((index for index, word in enumerate(words[: start + 1]) if word.name == "xargs"), None)
    if at is None:
        return None
    if start == len(words):
        is_alone = not any(word.name in WRAPPERS or "=" in word.text for word in words[at + 1 :])
        return None if is_alone else _NAMED
    replaced = None
    for before, word in pairwise(words[at : start + 1]):
        if before.text == "-I":
            replaced = word.text
        elif re.match(r"-[Ii]|--replace", word.text) and word.text != "-I":
            replaced = re.sub(r"-[Ii]|--replace=?", "", word.text, count=1) or "{}"
    if replaced and replaced in words[start].text:
        return _NAMED
    if words[start].name == "find" and replaced is None:
        return "`xargs` passes it to `find`, which may read it as an expression that starts a program"
    return None


def _is_program_file(words: Sequence[Word], start: int) -> bool:
    """Whether awk, sed, make or the like reads its program from its input."""
    name = words[start].name
    if not PROGRAM_TEXT.match(name) and name not in ("make", "gmake"):
        return False
    from_input = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
    return any(
        (before.text in ("-f", "-nf", "-rf", "-Ef", "--file", "--makefile") and word.text in from_input)
        or word.text.partition("=")[2] in from_input
        or re.match(r"-\w*f(?:-|/dev/stdin|/dev/fd/0)\Z", word.text)
        for before, word in pairwise(words)
    )


def _reads_input(words: Sequence[Word], begin: int) -> bool:
    """Whether an interpreter with the arguments from there on reads its program from its input."""
    for word in islice(words, begin, None):
        if word.text in ("-", "/dev/stdin") or word.through == "<(…)":
            return True
        if word.text[:1] != "-" or CODE_OPTION.match(word.text) or word.text.startswith("-m"):
            return False
    return True


def _is_bare(words: Sequence[Word], begin: int) -> bool:
    """Whether a sender with the arguments from there on has a host at most, and no command."""
    at = _after_options(words, begin, "BbcDEeFIiJLlmOopQRSWw")
    return len(words) - at < 2
