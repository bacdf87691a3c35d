"""What some commands make of their arguments: which read one as code, and which take one for an option.

Above: `quoting.py`, `shell_syntax.py`. Below: nothing. A simple command is the list of its words; a value in
a word is NUL.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_SHELLS = frozenset(
    ["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "su", "script", "flock", "sg", "busybox"]
)
"""Take the text of a command after `-c`."""
_SENDERS = frozenset(["ssh", "rsh", "watch", "parallel", "at", "batch"])
"""Give all their words to a shell."""
_READERS = frozenset(
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
        "[[",
    ]
)
"""Read any argument as code, or as the name of a variable, which may hold code."""
_DECLARERS = frozenset(["export", "readonly", "declare", "typeset", "local"])
_WRAPPERS = frozenset(
    [
        "env",
        "exec",
        "command",
        "builtin",
        "nohup",
        "sudo",
        "doas",
        "time",
        "timeout",
        "nice",
        "ionice",
        "setsid",
        "stdbuf",
        "chroot",
        "xargs",
        "if",
        "then",
        "else",
        "elif",
        "while",
        "until",
        "do",
        "!",
        "{",
        "}",
        "coproc",
    ]
)
"""Stand before the command that they start."""
_NO_OPTIONS = frozenset(
    ["echo", "printf", "test", "[", ":", "true", "false", "export", "cd", "for", "case", "exit", "return"]
)
"""Take no options, or none that does harm."""
_PROGRAMS = re.compile(r"(?:[gm]?awk|sed|perl|python[\d.]*|ruby|node|php|lua|jq|psql|sqlite3|mysql)\Z")
"""Take a program as an argument."""
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(?:\[[^\]]*\])?\+?=")
_EXPANSION = re.compile(r"\$\{[^{}]*\}")
_SEVERAL = re.compile(r"\$\{[^}]*\s")
_SUBSCRIPT = re.compile(r"[A-Za-z_]\w*\[[^\]]*\0")
_COMMAND_OPTION = re.compile(r"-[A-Za-z]*c[A-Za-z]*\Z|--command\Z")

_NESTED = "it stands in the text of a nested shell; hand it over as an argument: sh -c 'echo \"$1\"' sh VALUE"


def refusal(words: Sequence[str], word: str | None) -> str | None:
    """Why a value must not stand in `word`, which follows `words`; None where it may.

    With None for `word`: why a value must not be piped into the command that `words` are.
    """
    if word is None:
        return _piped(words[_start(words) :])
    if any(_SEVERAL.search(other) for other in (*words, word)):
        return "a ${…} before it may become several words; put that in quotes"
    if _is_shell_text(words, word):
        return _NESTED
    # What expands to nothing leaves its place to the next word.
    words = [other for other in words if not _EXPANSION.fullmatch(other)]
    start = _start(words)
    if start == len(words) and _SUBSCRIPT.match(word):
        return "it stands in the subscript of an array, which is read as arithmetic"
    names = [_base(name) for name in words]
    name = _EXPANSION.sub("", names[start]) if start < len(words) else ""
    if name in _READERS:
        return f"`{name}` reads it as code"
    if any(name in _SENDERS for name in names[start:]):
        return "it stands in the text of a nested shell, on which quotes here have no hold"
    if name in _DECLARERS and "=" not in word.split("\0")[0]:
        return f"`{name}` reads it as the name of a variable, which may hold code"
    if name in ("test", "[") and words[-1] in ("-v", "-R"):
        return "it is read as the name of a variable, which may hold code"
    if name == "printf" and words[start + 1 :] == ["-v"]:
        return "it is read as the name of a variable, which may hold code"
    if "env" in names and any(re.match(r"-\w*S|--split-string", other) for other in [*words, word]):
        return "`env -S` splits it into words"
    return None


def _is_shell_text(words: Sequence[str], word: str) -> bool:
    names = [_base(name) for name in words]
    # A command whose name only the run knows may be a shell.
    shells = [index for index, name in enumerate(names) if name in _SHELLS or "$" in name or "\0" in name]
    for shell in shells:
        if re.match(r"-\w*c.*\0|--command=", word, re.DOTALL):
            return True
        for index in range(shell + 1, len(words)):
            if _COMMAND_OPTION.match(words[index]):
                if all(after[:1] in ("-", "+") and after != "-" for after in words[index + 1 :]):
                    return True
                break
    return False


def _piped(words: Sequence[str]) -> str | None:
    names = [_base(name) for name in words]
    if names and names[0] in _SHELLS and all(word.startswith("-") and word != "-c" for word in words[1:]):
        return "it is piped into a shell, which reads it as commands"
    return None


def warning(words: Sequence[str], word: str) -> str | None:
    """What is doubtful about a value in the word after `words`, of which `word` comes before the value."""
    start = _start(words)
    if start == len(words):
        return None
    name = _base(words[start])
    if _PROGRAMS.match(name) and (re.search(r"\W", word) or words[-1] in ("-c", "-e")):
        return f"`{name}` may read the value as part of a program; hand it over as an argument of its own."
    if word or "--" in words[start:]:
        return None
    if name in _NO_OPTIONS:
        return None
    return f"`{name}` may read the value as an option; put -- before it."


def _start(words: Sequence[str]) -> int:
    """Where the command itself is, after assignments and what starts it for others."""
    at = 0
    while at < len(words):
        word = words[at]
        if _ASSIGNMENT.match(word):
            at += 1
        elif _base(word) in _WRAPPERS:
            at += 1
            while at < len(words) and (words[at].startswith("-") or re.fullmatch(r"\d+\w?", words[at])):
                at += 1
        else:
            break
    return at


def _base(word: str) -> str:
    return word.rsplit("/", 1)[-1]
