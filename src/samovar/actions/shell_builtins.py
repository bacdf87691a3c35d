"""What the shell itself makes of words: which of its commands read one as code, and which variables they set.

Above: `shell_syntax.py`. Below: `programs.py`, `shell_words.py`. What a variable holds can become code later,
so that whoever reads a command keeps which variables hold a value (`Known`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from samovar.actions.programs import start_of
from samovar.actions.shell_words import EXPANSION, Refused, SimpleCommand, Word, first_held, refused

_CODE_READERS = frozenset(
    [
        "eval",
        "trap",
        "alias",
        "let",
        "unset",
        "read",
        "getopts",
        "readarray",
        "mapfile",
        "bind",
        "complete",
        "compgen",
        "fc",
    ]
)
"""Read any argument as code, or as the name of a variable, which may hold code."""
_DECLARERS = frozenset(["export", "readonly", "declare", "typeset", "local"])
_CODE_VARIABLES = re.compile(
    r"(?:PS[0-4]|PROMPT_COMMAND|ENV|BASH_ENV|BASH_FUNC_.*|S?RANDOM|SECONDS|LINENO|HISTCMD|OPTIND|BASHPID|"
    r"EPOCHSECONDS|SHELLOPTS|BASHOPTS)\Z"
)
"""Shells read these as code, or as arithmetic."""
_NAMED = re.compile(r"([A-Za-z_]\w*)(?:\[[^\]]*\])?\+?=")
_SUBSCRIPT = re.compile(r"\{?(?:[A-Za-z_]\w*)?\[([^\]]*)")
_COMPARES_NUMBERS = frozenset(["-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-v", "-R"])
_NAME = re.compile(r"[A-Za-z_]\w*")

AS_NAME = "it is read as the name of a variable, which may hold code"
_ARITHMETIC = "arithmetic reads it as an expression"


@dataclass(slots=True)
class Known:
    """Which variables hold a value, as far as a command has been read. Only grows."""

    holding: dict[str, int] = field(default_factory=dict)
    """By name, the number of a value; `@` stands for the positional parameters."""
    integers: set[str] = field(default_factory=set)
    """Declared so that what is assigned to them is arithmetic, or a name."""
    written: set[str] = field(default_factory=set)
    """All that are assigned."""
    input: int | None = None
    """A value that any command may read, since where it goes is not seen."""

    def hold(self, name: str, number: int) -> None:
        self.holding.setdefault(name, number)

    @property
    def size(self) -> int:
        return len(self.holding) + len(self.integers) + (self.input is not None)


def refusal(command: SimpleCommand, known: Known) -> Refused | None:
    """Why a value must not stand in the command, for what the shell makes of it; None if it may.

    Keeps in `known` which variables hold a value from now on.
    """
    # What expands to nothing leaves its place to the next word.
    words = [word for word in command.words if word.value is not None or not EXPANSION.fullmatch(word.text)]
    start = start_of(words)
    name = EXPANSION.sub("", words[start].text) if start < len(words) else ""
    after = words[start + 1 :]
    held = first_held(after)
    if name in _CODE_READERS and held:
        return refused(f"`{name}` reads it as code", held)
    if name in _DECLARERS and (why := _declared(name, after, known)):
        return why
    if why := _assigned(words[:start], known):
        return why
    _set(name, after, command, known)
    if name in ("test", "[", "printf") and (why := _named(name, after)):
        return why
    if _is_comparison(words) and (why := _compared(words, known)):
        return why
    if name == "let":
        for word in after:
            if why := in_arithmetic(word.text, known):
                return why
    return next(filter(None, (in_subscript(word, known) for word in words)), None)


def in_subscript(word: Word, known: Known) -> Refused | None:
    """Why the subscript of an array in a word must not hold a value, which would be read as arithmetic."""
    match = _SUBSCRIPT.match(word.text)
    if match is None:
        return None
    if word.value is not None and re.search(r"[\0$]", match.group(1)):
        return refused("it stands in the subscript of an array, which is read as arithmetic", word)
    return in_arithmetic(match.group(1), known)


def _declared(name: str, words: Sequence[Word], known: Known) -> Refused | None:
    computes = any(re.match(r"[-+]\w*[in]", word.text) for word in words)
    for word in words:
        if computes and (match := _NAME.match(word.text)):
            known.integers.add(match.group())
        if word.value is None:
            continue
        if "=" not in word.text.split("\0")[0]:
            return refused(f"`{name}` reads it as the name of a variable, which may hold code", word)
        if computes:
            return refused(f"`{name} -i` reads it as arithmetic, and -n as a name", word)
    return _assigned(words, known)


def _assigned(words: Sequence[Word], known: Known) -> Refused | None:
    for word in words:
        match = _NAMED.match(word.text)
        if match is None:
            continue
        name = match.group(1)
        known.written.add(name)
        if word.value is None:
            continue
        if why := in_subscript(word, known):
            return why
        if name in known.integers or _CODE_VARIABLES.match(name):
            return refused(f"the shell reads what `{name}` holds as code", word)
        known.hold(name, word.value)
    return None


def reads_as_code(name: str) -> bool:
    """Whether shells read what a variable of this name holds as code."""
    return bool(_CODE_VARIABLES.match(name))


def _set(name: str, words: Sequence[Word], command: SimpleCommand, known: Known) -> None:
    """Keeps what a command sets besides assignments."""
    held = first_held(words)
    if name in ("for", "select") and words:
        names, number = [words[0].text], held.value if held else None
        if len(words) == 1:
            number = known.holding.get("@")
    elif name in ("read", "mapfile", "readarray"):
        names = [word.text for word in words if _NAME.fullmatch(word.text)] + ["REPLY", "MAPFILE"]
        number = command.fed
    elif name == "getopts":
        names = [word.text for word in words] + ["OPTARG"]
        number = known.holding.get("@")
    elif name == "printf" and words[:1] and words[0].text == "-v" and len(words) > 1:
        names, number = [words[1].text], held.value if held else None
    elif name in ("cd", "pushd"):
        names, number = ["PWD", "OLDPWD", "DIRSTACK"], held.value if held else None
    elif name == "[[":
        names, number = ["BASH_REMATCH"], held.value if held else None
    elif name == "set":
        names, number = ["@"], held.value if held else None
    else:
        return
    known.written.update(names)
    if number is not None:
        for one in names:
            known.hold(one, number)


def _named(name: str, words: Sequence[Word]) -> Refused | None:
    options = ("-v",) if name == "printf" else ("-v", "-R")
    for before, word in pairwise(words):
        if before.text in options and word.value is not None:
            return refused(AS_NAME, word)
    return None


def _is_comparison(words: Sequence[Word]) -> bool:
    return bool(words) and (words[0].text == "[[" or words[-1].text == "]]")


def _compared(words: Sequence[Word], known: Known) -> Refused | None:
    if not any(word.text in _COMPARES_NUMBERS for word in words):
        return None
    for word in words:
        if word.value is not None:
            return refused("`[[` reads it as code", word)
        if why := in_arithmetic(word.text, known):
            return why
    return None


def in_arithmetic(text: str, known: Known) -> Refused | None:
    """Why a text must not be read as arithmetic: it names a variable that holds a value."""
    for name in _NAME.findall(text):
        if name in known.holding:
            return Refused(f"{_ARITHMETIC} (${name} holds it)", known.holding[name])
    return None


def mentioned(text: str, known: Known) -> Iterator[tuple[str, int]]:
    """The variables of a text that hold a value, as far as a `$` is before them."""
    for name in re.findall(r"\$\{?[!#]?([A-Za-z_]\w*|[@*\d])", text):
        key = name if name[:1].isalpha() or name[:1] == "_" else "@"
        if key in known.holding:
            yield name, known.holding[key]
