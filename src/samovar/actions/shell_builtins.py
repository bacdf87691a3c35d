"""The shell's own commands: which ones read words as code, and which variables they set.

Above: `shell_syntax.py`. Below: `programs.py`, `shell_words.py`. What a variable holds can become code later,
so that anyone who reads a command keeps which variables hold a value (`Known`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from samovar.actions.program_tables import SHOW_ENVIRONMENT, TOKENS, reads_as_code
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
        "source",
        ".",
        "wait",
        "hash",
        "enable",
    ]
)
"""Read any argument as code, or as the name of a variable, which may hold code."""
_DECLARERS = frozenset(["export", "readonly", "declare", "typeset", "local"])
_NAMED = re.compile(r"([A-Za-z_]\w*)(?:\[[^\]]*\])?\+?=")
_SUBSCRIPT = re.compile(r"\{?(?:[A-Za-z_]\w*)?\[([^\]]*)")
_COMPARES_NUMBERS = frozenset(["-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-v", "-R"])
_NAME = re.compile(r"[A-Za-z_]\w*")

AS_NAME = "it is read as the name of a variable, which may contain code"
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
    def any(self) -> int:
        """The number of some value, of which nothing more is known."""
        return next(iter(self.holding.values()))

    def named(self, text: str) -> int | None:
        """The number of a value that a variable holds whose name is in the text."""
        return next((self.holding[name] for name in _NAME.findall(text) if name in self.holding), None)

    @property
    def size(self) -> int:
        return len(self.holding) + len(self.integers) + (self.input is not None)


def refusal(command: SimpleCommand, known: Known) -> Refused | None:
    """Why a value must not be in the command, for what the shell makes of it; None if it may.

    Keeps in `known` which variables hold a value from now on.
    """
    # What expands to nothing leaves its place to the next word.
    words = [word for word in command.words if word.value is not None or not EXPANSION.fullmatch(word.text)]
    start = start_of(words)
    name = EXPANSION.sub("", words[start].text) if start < len(words) else ""
    after = words[start + 1 :]
    spelled = command.words[command.words.index(words[start]) + 1 :] if name else []
    held = first_held(after)
    if name in _DECLARERS and held and any("$" in word.text.partition("=")[0] for word in spelled):
        return refused(f"the options and names of `{name}` are only known in the run", held)
    if name in _CODE_READERS and held:
        return refused(f"`{name}` reads it as code", held)
    if why := _always(name, after, known):
        return why
    if name in _DECLARERS and (why := _declared(name, after, known)):
        return why
    if why := _assigned(words[:start], known):
        return why
    if why := _set(name, after, command, known):
        return why
    if name in ("test", "[", "printf") and (why := _named(name, spelled)):
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
        return refused("it is in the subscript of an array, which is read as arithmetic", word)
    return in_arithmetic(match.group(1), known)


def _always(name: str, words: Sequence[Word], known: Known) -> Refused | None:
    """Why a command must not be beside a value, wherever that is."""
    if name == "alias" and any("=" in word.text for word in words):
        return Refused("`alias` changes what the words of commands mean", known.any)
    if name == "set" and any(re.match(r"-\w*k|keyword\Z", word.text) for word in words):
        return Refused("`set -k` makes variables of arguments", known.any)
    if name in ("eval", "trap"):
        for word in words:
            tokens = {*TOKENS.split(word.text)}
            number = next(
                (known.holding[one] for one in _NAME.findall(word.text) if one in known.holding), None
            )
            if number is None and (SHOW_ENVIRONMENT & tokens or re.search(r"\$\{?[@*!\d]", word.text)):
                number = known.holding.get("@", known.any if SHOW_ENVIRONMENT & tokens else None)
            if number is not None:
                return Refused(
                    f"`{name}` reads its words as code, and one of them is a variable with this value", number
                )
    return None


def kept(name: str, number: int, known: Known) -> Refused | None:
    """Why a variable must not hold a value; keeps that it does from now on."""
    if "$" in name or "\0" in name:
        return Refused("only the run knows the name of the variable that it is kept in", number)
    if name in known.integers or reads_as_code(name):
        return Refused(f"the shell reads the value of `{name}` as code", number)
    known.hold(name, number)
    return None


def _declared(name: str, words: Sequence[Word], known: Known) -> Refused | None:
    computes = any(re.match(r"[-+]\w*[in]", word.text) for word in words)
    if any(re.match(r"-\w*n", word.text) for word in words) and name not in ("export", "readonly"):
        return Refused(f"`{name} -n` makes a name stand for another variable", known.any)
    for word in words:
        if computes and (match := _NAME.match(word.text)):
            known.integers.add(match.group())
        if word.value is None:
            continue
        if "=" not in word.text.split("\0")[0]:
            return refused(f"`{name}` reads it as the name of a variable, which may contain code", word)
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
            # Arithmetic, and what reads code, continue from a name to what that holds.
            number = next(
                (
                    known.holding[one]
                    for one in _NAME.findall(word.text[match.end() :])
                    if one in known.holding
                ),
                None,
            )
            if number is not None and (why := kept(name, number, known)):
                return why
            if name in ("BASH_ALIASES", "BASH_CMDS"):
                return Refused(f"`{name}` changes what the words of commands mean", known.any)
            continue
        if why := in_subscript(word, known):
            return why
        if name in known.integers or reads_as_code(name):
            return refused(f"the shell reads the value of `{name}` as code", word)
        known.hold(name, word.value)
    return None


def _set(name: str, words: Sequence[Word], command: SimpleCommand, known: Known) -> Refused | None:
    """Keeps what a command sets besides assignments."""
    held = first_held(words)
    if name in ("for", "select") and words:
        names, number = [words[0].text], held.value if held else None
        if len(words) == 1:
            number = known.holding.get("@")
    elif name in ("read", "mapfile", "readarray"):
        names = [word.text for word in words if word.text[:1] != "-"] + ["REPLY", "MAPFILE"]
        number = command.fed
    elif name == "getopts":
        names = [word.text for word in words] + ["OPTARG"]
        number = known.holding.get("@")
    elif name == "printf" and words[:1] and words[0].text[:2] == "-v":
        names, number = (
            [words[0].text[2:] or words[min(1, len(words) - 1)].text],
            held.value if held else None,
        )
    elif name in ("cd", "pushd"):
        names, number = ["PWD", "OLDPWD", "DIRSTACK"], held.value if held else None
    elif name == "[[":
        names, number = ["BASH_REMATCH"], held.value if held else None
    elif name == "set":
        names, number = ["@"], held.value if held else None
    else:
        return None
    known.written.update(names)
    found = (kept(one.partition("[")[0], number, known) for one in names) if number is not None else ()
    return next(filter(None, found), None)


def _named(name: str, words: Sequence[Word]) -> Refused | None:
    if name == "printf":
        first, held = (words[0].text if words else ""), first_held(words)
        if held and ((first[:1] in ("$", "\0") and len(words) > 1) or re.match(r"-v.*[\0$]", first)):
            return refused("`printf` may read the word before it as -v; put -- there", held)
        options: tuple[str, ...] = ("-v",)
    else:
        options = ("-v", "-R")
    for before, word in pairwise(words):
        is_computed = name != "printf" and before.text[:1] in ("$", "\0")
        if word.value is not None and (before.text in options or is_computed):
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
