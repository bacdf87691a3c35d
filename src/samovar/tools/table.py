"""The sources of tools by their names: those that are built in, and the servers that the settings declare.

Above: `toolbox.py`, and what looks at prompts before a run. Below: the members.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from samovar.config import Settings
from samovar.config.declared import DeclaredServer
from samovar.errors import UsageError
from samovar.tools.base import Source
from samovar.tools.files import TOOLS as FILES
from samovar.tools.files import FileTools
from samovar.tools.served import ServerTools
from samovar.tools.shell import TOOLS as SHELL
from samovar.tools.shell import ShellTools
from samovar.tools.web import TOOLS as WEB
from samovar.tools.web import WebTools
from samovar.tools.workflows import WorkflowTools

BUILT_IN: Mapping[str, type[Source]] = {
    "files": FileTools,
    "shell": ShellTools,
    "web": WebTools,
    "workflow": WorkflowTools,
}
KNOWN: Mapping[str, tuple[str, ...]] = {
    "files": tuple(one.name for one in FILES),
    "shell": tuple(one.name for one in SHELL),
    "web": tuple(one.name for one in WEB),
}
"""The tools of those sources whose tools are always the same, by source."""


def sources(settings: Settings, more: Iterable[DeclaredServer] = ()) -> Mapping[str, Source]:
    """By name, in the order in which their tools are offered. Raises `UsageError` for a server's name.

    `more`: servers that nobody has declared.
    """
    check_servers(settings)
    found: dict[str, Source] = {name: kind() for name, kind in BUILT_IN.items()}
    return found | {one.name: ServerTools(one) for one in (*settings.servers, *more)}


def source_names(settings: Settings) -> tuple[str, ...]:
    """Of all that there are."""
    return (*BUILT_IN, *(one.name for one in settings.servers))


def nearby(pattern: str, names: Sequence[str]) -> Sequence[str] | None:
    """What may be meant by a pattern that names nothing; None: it may name something.

    `names`: of all sources. What servers and workflows have is only known when they are asked.
    """
    source = pattern.partition(".")[0]
    if source in KNOWN:
        return None if any(fnmatchcase(one, pattern) for one in KNOWN[source]) else KNOWN[source]
    return None if source in names else [f"{name}.{pattern.partition('.')[2]}" for name in names]


def check_servers(settings: Settings) -> None:
    """Raises `UsageError` for a server with the name of a source that is built in."""
    for server in settings.servers:
        if server.name in BUILT_IN:
            raise UsageError(f"{server.table} needs another name: {server.name} is built in.")
