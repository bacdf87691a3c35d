"""What a program wants to do itself, taken apart so that the user's rules can be asked about all of it.

Above: the turns of programs, which are asked for permission. Below: the waist's values. Pure. Nothing is
guessed: of what is not understood to the last word there are no deeds, and the person is asked.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from samovar.executors.base import Deed

BUILTINS = frozenset(
    (
        *(".", ":", "[", "[[", "alias", "bg", "bind", "break", "builtin", "caller", "case", "cd", "command"),
        *("compgen", "complete", "compopt", "continue", "coproc", "declare", "dirs", "disown", "do", "done"),
        *("elif", "else", "enable", "esac", "eval", "exec", "exit", "export", "fc", "fg", "fi", "for"),
        *("function", "getopts", "hash", "help", "history", "if", "in", "jobs", "kill", "let", "local"),
        *("logout", "mapfile", "popd", "printf", "pushd", "read", "readarray", "readonly", "return"),
        *("select", "set", "shift", "shopt", "source", "suspend", "test", "then", "time", "times", "trap"),
        *("type", "typeset", "ulimit", "umask", "unalias", "unset", "until", "wait", "while"),
    )
)
"""Words at the beginning of a command that a shell takes itself, so that they change it, or mean others."""
_PLAIN = re.compile(r"""(?:[A-Za-z0-9_./:,@%+= -]|'[^'\n\0]*'|"[^"\\$`!\n\0]*")+""")
"""A line of which a shell makes nothing but words: no variables, globs, pipes, redirections, comments."""
_PATHS = ("file_path", "filePath", "path", "abs_path", "absolute_path", "notebook_path")
"""Under which names programs have the path of a file that they write."""
_CLAUDE_KEYS: Mapping[str, frozenset[str]] = {
    "Bash": frozenset(("command", "description", "timeout")),
    "Write": frozenset(("file_path", "content")),
    "Edit": frozenset(("file_path", "old_string", "new_string", "replace_all")),
    "MultiEdit": frozenset(("file_path", "edits")),
    "WebFetch": frozenset(("url", "prompt")),
}
"""The tools of Claude Code that rules can speak of, and what they are given; with more, a person decides."""


def deeds_of_claude(tool: str, given: Mapping[str, Any]) -> tuple[Deed, ...]:
    """Of a tool of Claude Code; empty if it is not known what it does."""
    if tool not in _CLAUDE_KEYS or not given.keys() <= _CLAUDE_KEYS[tool]:
        return ()
    if tool == "Bash":
        return _run(given.get("command"))
    if tool == "WebFetch":
        return _texts("fetch", [given.get("url")])
    return _texts("write", [given.get("file_path")])


def deeds_of_acp(call: Any) -> tuple[Deed, ...]:
    """Of what a program asks for by the Agent Client Protocol; empty if it is not known what it does."""
    kind, given = getattr(call, "kind", None), getattr(call, "raw_input", None)
    given = given if isinstance(given, dict) else {}
    if kind == "execute":
        is_known = given.keys() <= _CLAUDE_KEYS["Bash"]
        return _run(given.get("command")) if is_known else ()
    if kind == "fetch":
        return _texts("fetch", [given.get("url")])
    if kind != "edit":
        return ()
    paths = [one.path for one in getattr(call, "locations", None) or ()]
    paths += [one.path for one in getattr(call, "content", None) or () if getattr(one, "type", "") == "diff"]
    return _texts("write", [*paths, *(given[name] for name in _PATHS if name in given)])


def words_of(line: str) -> tuple[str, ...] | None:
    """The words that any shell makes of a line, if that is all that it does with it."""
    if not _PLAIN.fullmatch(line):
        return None
    words = tuple(shlex.split(line))
    if not words or words[0] in BUILTINS or "=" in words[0] or any(word[:1] == "=" for word in words):
        return None
    # What a path means depends on the folder that the shell has been taken to since.
    return None if "/" in words[0] and not words[0].startswith("/") else words


def _run(command: object) -> tuple[Deed, ...]:
    words: tuple[str, ...] | None = None
    if isinstance(command, str):
        words = words_of(command)
    elif isinstance(command, list) and command and all(isinstance(word, str) for word in command):
        words = tuple(command)
    return (Deed(kind="shell", words=words),) if words else ()


def _texts(kind: Any, texts: Iterable[object]) -> tuple[Deed, ...]:
    found = list(texts)
    if not found or not all(isinstance(text, str) and text for text in found):
        return ()
    return tuple(Deed(kind=kind, words=(str(text),)) for text in dict.fromkeys(found))
