"""What programs make of their arguments and their input: which read one as code, or take one for an option.

Above: `quoting.py` for the commands of a shell, `command.py` for those without one. Below: `shell_words.py`.
What it knows are tables; a program that is in none of them is taken for one that reads no code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from samovar.actions.shell_words import EXPANSION, Refused, Word, first_held, refused


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SHELLS = _words(
    "sh bash dash ash zsh ksh mksh rksh yash posh fish csh tcsh su runuser script flock sg busybox toybox"
)
"""Take the text of a command after `-c`."""
_LAUNCHERS = _words("su runuser script flock sg busybox toybox")
"""Of these, what are not shells, but start one."""
_SENDERS = _words("ssh rsh slogin mosh watch parallel at batch tmux screen byobu")
"""Give words of theirs to a shell."""
_QUEUES = _words("at batch parallel")
"""Read what they start from their input."""
_READERS = _words("eval source .")
"""Read as shells do, and are part of one."""
_INTERPRETER = re.compile(
    r"(?:python[\d.]*|pypy[\d.]*|perl[\d.]*|ruby[\d.]*|node|deno|bun|php[\d.]*|lua[\d.]*)\Z"
)
_CODE_OPTION = re.compile(r"(?:-[A-Za-z]*[ceErp]|--eval|--print|--command|--run)(?:=|\Z)")
_CODE_ATTACHED = re.compile(r"-[A-Za-z]*[ceErp]|--(?:eval|print|command|run)=")
_OPTION_WITH_VALUE = re.compile(r"(?:-[WXQIrmo]|--require|--import|-[A-Za-z]*[oO]|--rcfile|--init-file)\Z")
_COMMAND_OPTION = re.compile(r"[-+][A-Za-z]*c[A-Za-z]*\Z|--(?:session-)?command\Z")
_COMMAND_ATTACHED = re.compile(r"-[A-Za-z]*c|--(?:session-)?command=")
_PROGRAM_TEXT = re.compile(r"(?:[gmn]?awk|sed|jq|yq|psql|sqlite3|mysql|mariadb|bc|dc)\Z")
"""Take a small program as an argument, which only they can read."""
_WRAPPERS = {
    "env": "uC", "exec": "a", "command": "", "builtin": "", "nohup": "", "sudo": "ugpCThrRDU", "doas": "uC",
    "time": "fo", "timeout": "sk", "nice": "n", "ionice": "cnp", "setsid": "", "stdbuf": "ioe", "chroot": "",
    "xargs": "IdEnLPsa", "chrt": "", "taskset": "", "busybox": "", "toybox": "",
}  # fmt: skip
"""Stand before the command that they start; with the letters of their options that take a value."""
_OPERANDS = {"timeout": 1, "chroot": 1, "taskset": 1, "chrt": 1}
"""How many words of their own these have before it."""
_FILTERS = _words(
    "grep egrep fgrep rg tr cut sort uniq head tail wc cat tac tee rev fold fmt nl paste join comm diff "
    "cmp column base64 md5sum sha1sum sha256sum sha512sum echo printf test [ true false read"
)
"""Do not start what they are given, and read no code."""
_ENDS_OPTIONS = _words(
    "rm cp mv ln ls cat tac touch mkdir rmdir chmod chown chgrp grep egrep fgrep rg head tail sort uniq "
    "wc cut diff cmp comm join paste nl od fold tee stat file du df tar gzip gunzip zcat bzip2 xz zip "
    "unzip basename dirname realpath readlink md5sum sha1sum sha256sum sha512sum split install curl wget "
    "rsync scp less mktemp pandoc patch"
)
"""Take what follows `--` for no option."""
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(?:\[[^\]]*\])?\+?=")
_TOKENS = re.compile(r"[\s;|&()'\"`]+")

NESTED = "it stands in the text of a nested shell; hand it over as an argument: sh -c 'echo \"$1\"' sh VALUE"
_PROGRAM = "it stands in the text of a program for `{}`; hand it over as an argument, which the program reads"
_AS_OPTION = "`{}` may read it as an option, which can hold code; put -- before it"
_SENT = "it stands in the text of a nested shell, on which quotes here have no hold"
_NAMED = "it names the program, which could be a shell that reads the other words; write the program's name"
_SPLIT = "the shell splits it into words, of which the first names a program; write the program's name"
_FED = "it is given to `{}` as input, which may read it as commands"


def refusal(words: Sequence[Word], fed: int | None) -> Refused | None:
    """Why a value must not stand in one of the words, or be the input of their program; None if it may."""
    start = start_of(words)
    return (
        _as_program(words, start, fed)
        or _as_code(words)
        or _as_text_of_interpreter(words)
        or _as_env_text(words)
        or (None if fed is None else _as_input(words, start, fed))
    )


def start_of(words: Sequence[Word]) -> int:
    """Where the program itself is, after assignments and what starts it for others."""
    at, wrapper = 0, ""
    while at < len(words):
        word = words[at]
        if _ASSIGNMENT.match(word.text):
            at += 1
        elif word.name in _WRAPPERS:
            wrapper, at = word.name, at + 1
            at = _after_options(words, at, _WRAPPERS[wrapper])
            operands = _OPERANDS.get(wrapper, 0)
            at += operands if at + operands < len(words) else 0
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
    if start == len(words) or words[start].value is None:
        return None
    program = words[start]
    if program.splits:
        return refused(_SPLIT, program)
    others = [*words[:start], *words[start + 1 :]]
    if fed is not None or first_held(others) or any(word.name in SHELLS for word in others):
        return refused(_NAMED, program)
    return None


def _as_code(words: Sequence[Word]) -> Refused | None:
    """A value in the text of a shell, in one of its options, or in a word that is sent to one."""
    sender, shell = False, _Shell("")
    for index, word in enumerate(words):
        held = word.value is not None
        if sender and held:
            return refused(_SENT, word)
        sender = sender or word.name in _SENDERS
        if held and (shell.expects_text or (shell.name and _COMMAND_ATTACHED.match(word.text))):
            return refused(NESTED, word)
        if held and shell.takes_options and word.begins_with_value:
            return refused(_AS_OPTION.format(shell.name), word)
        is_its_name = shell.take(words[index - 1].text, word.text)
        if word.name in SHELLS and not is_its_name:
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
    """The next word that is no option is the text of a command."""
    expects_name: bool = False
    """The next word is what that text has as $0."""

    def take(self, before: str, text: str) -> bool:
        """Takes the next word behind it. Gives whether that is only a name."""
        is_name, self.expects_name = self.expects_name, False
        if _COMMAND_OPTION.match(text):
            self.expects_text = bool(self.name)
        elif text[:1] in ("-", "+") and text != "-":
            self.takes_options = self.takes_options and text != "--"
        elif not EXPANSION.fullmatch(text) and not _OPTION_WITH_VALUE.match(before):
            self.expects_name = self.expects_text and self.name not in _LAUNCHERS
            self.takes_options = self.expects_text = False
        return is_name


def _as_text_of_interpreter(words: Sequence[Word]) -> Refused | None:
    name, expects_code = "", False
    for index, word in enumerate(words):
        text, held = word.text, word.value is not None
        if name:
            is_code = expects_code or _CODE_ATTACHED.match(text)
            if held and is_code:
                return refused(_PROGRAM.format(name), word)
            if held and word.begins_with_value and words[index - 1].text != "--":
                return refused(_AS_OPTION.format(name), word)
            expects_code = bool(_CODE_OPTION.match(text))
            is_operand = text[:1] != "-" and not _OPTION_WITH_VALUE.match(words[index - 1].text)
            name = "" if (is_operand and not EXPANSION.fullmatch(text)) or text == "--" else name
        elif _INTERPRETER.match(word.name):
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
        if is_env:
            splits = splits or bool(re.match(r"-\w*S|--split-string", word.text))
            is_option = word.text[:1] == "-" or _ASSIGNMENT.match(word.text)
            is_env = splits or (bool(is_option) and word.text != "--")
        is_env = is_env or word.name == "env"
    return None


def _as_input(words: Sequence[Word], start: int, fed: int) -> Refused | None:
    """Why the program must not get a value as its input."""
    if start == len(words):
        return None
    program = words[start]
    if EXPANSION.search(program.text):
        return Refused("it is the input of a program that only the run knows, which could be a shell", fed)
    if program.name in _FILTERS and start == 0:
        return None
    for word in words:
        for name in (word.name, *(part.rsplit("/", 1)[-1] for part in _TOKENS.split(word.text))):
            if name in SHELLS or name in _READERS:
                return Refused(_FED.format(name), fed)
    by_xargs = any(word.name == "xargs" for word in words)
    for index, word in enumerate(words):
        name = word.name
        if _INTERPRETER.match(name) and (by_xargs or _reads_input(words, index + 1)):
            return Refused(_FED.format(name), fed)
        if name in _SENDERS and (by_xargs or name in _QUEUES or _is_bare(words, index + 1)):
            return Refused(_FED.format(name), fed)
    return None


def _reads_input(words: Sequence[Word], begin: int) -> bool:
    """Whether an interpreter with the arguments from there on reads its program from its input."""
    for word in islice(words, begin, None):
        if word.text in ("-", "/dev/stdin") or word.through == "<(…)":
            return True
        if word.text[:1] != "-" or _CODE_OPTION.match(word.text) or word.text.startswith("-m"):
            return False
    return True


def _is_bare(words: Sequence[Word], begin: int) -> bool:
    """Whether a sender with the arguments from there on has a host at most, and no command."""
    at = _after_options(words, begin, "BbcDEeFIiJLlmOopQRSWw")
    return len(words) - at < 2


def doubts(words: Sequence[Word]) -> Iterator[tuple[int, str]]:
    """What is doubtful about values in the words of a program, each with the number of the value."""
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
    if _PROGRAM_TEXT.match(name) and before != "-v" and (is_first or before in ("-c", "-e")):
        return f"`{name}` may read the value as part of a program; hand it over as an argument of its own."
    if prefix or is_ended:
        return None
    if name == "git":
        return "`git` may read the value as an option; put --end-of-options before it, or -- before a path."
    if name == "find":
        is_operand = before[:1] == "-" and before not in ("-L", "-P", "-H", "-o", "-a", "-not")
        return None if is_operand else "`find` may read the value as an expression; write ./ before a path."
    if name in _ENDS_OPTIONS and not (name.endswith("grep") and before == "-e"):
        return f"`{name}` may read the value as an option; put -- before it."
    return None
