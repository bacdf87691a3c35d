"""Rules in the setting `allow` that can never allow anything: misspelt, or about nothing that there is.

Above: `samovar check`. Below: `permission.py`, which knows what a rule allows; the table; what is kept of the
tools of servers. A rule that allows nothing does no harm, but somebody meant something by it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

from samovar.config import Settings
from samovar.errors import nearest
from samovar.tools import pinned
from samovar.tools.permission import ANY_OPERANDS, ANY_WORDS, KINDS, may_run
from samovar.tools.table import BUILT_IN

_HOST = re.compile(r"[\w.*?\[\]!:-]+")


def why_never(rule: str, settings: Settings) -> str | None:
    """Why a rule allows nothing, in a sentence; None if it may allow something."""
    kind, colon, pattern = (part.strip() for part in rule.partition(":"))
    if not colon or kind not in _KINDS:
        hint = nearest(kind, KINDS) if colon else ""
        return f"A rule begins with one of {', '.join(f'{one}:' for one in KINDS)}.{hint}"
    return _KINDS[kind](pattern, settings) if pattern else f"Nothing follows `{kind}:`."


def _write(pattern: str, settings: Settings) -> str | None:
    names = pattern.removeprefix("./").split("/")
    if pattern.startswith(("/", "~")):
        return "Tools write only below the folder of the run: a rule names a path from there, as in out/**."
    if ".." in names:
        return "Tools write only below the folder of the run, and no path there has `..` in it."
    if not all(names) or "." in names:
        return "A path of files has no empty name and no `.` in it, as in out/** or out/a.txt."
    return None


def _shell(pattern: str, settings: Settings) -> str | None:
    *fixed, last = pattern.split()
    if last not in (ANY_WORDS, ANY_OPERANDS):
        return None
    if not fixed:
        return "A rule names a program, as in git log *."
    if not may_run([f"shell:{pattern}"], [*fixed, "x"]):
        return f"No words are allowed behind `{' '.join(fixed)}`, which takes code from them."
    return None


def _fetch(pattern: str, settings: Settings) -> str | None:
    if not _HOST.fullmatch(pattern):
        return "A rule names a host, as in docs.example.org, and not an address."
    return None


def _tool(pattern: str, settings: Settings) -> str | None:
    source, dot, name = pattern.partition(".")
    if source in BUILT_IN:
        rules = {"files": "write:PATTERN", "shell": "shell:WORDS", "web": "fetch:HOST"}
        other = f" It is allowed by {rules[source]}." if source in rules else ""
        return f"`tool:` is about tools of servers, and {source!r} is not one.{other}"
    servers = {one.name: one for one in settings.servers}
    if not servers:
        return "It is about tools of servers, and the settings declare none."
    if any(sign in source for sign in "*?["):
        return None
    if source not in servers:
        return f"The settings declare no server {source!r}.{nearest(source, servers)}"
    if not dot:
        return f"A tool is named with its server, as in {source}.*."
    known = pinned.names(servers[source])
    if known and not any(fnmatchcase(one, name) for one in known):
        return f"The server {source!r} had no tool {name!r} when it was last used.{nearest(name, known)}"
    return None


_KINDS: Mapping[str, Callable[[str, Settings], str | None]] = {
    "write": _write,
    "shell": _shell,
    "fetch": _fetch,
    "tool": _tool,
}
