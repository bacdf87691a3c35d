"""What the tools of servers were like when they were first used, so that a change of them is asked about.

Above: the servers of a run. Below: the user's folder of state, files. One file for each server; its tools by
name, each with a digest of its definition, and the definition itself, to show what has changed. Without a
home folder nothing is kept, and each time is the first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samovar.config.declared import DeclaredServer
from samovar.errors import UsageError
from samovar.files import write_whole
from samovar.generation import ToolDefinition
from samovar.projects.places import state_folder

MOST_KEPT_CHARS = 2_000_000
"""Of the definitions of one server; of what is beyond them, only digests are kept."""


def digest_of(definition: ToolDefinition) -> str:
    """The same for the same name, description and parameters."""
    text = json.dumps([definition.name, definition.description, definition.parameters], ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def changed(server: DeclaredServer, definitions: Sequence[ToolDefinition]) -> tuple[str, ...]:
    """The names of tools that are new, or not as they were kept; none for a server that is used first."""
    kept = _read(_file_of(server))
    if kept is None:
        return ()
    digests = {name: one.digest for name, one in kept.items()}
    return tuple(one.name for one in definitions if digests.get(one.name) != digest_of(one))


def before(server: DeclaredServer) -> Mapping[str, ToolDefinition]:
    """Its tools as they were kept, by name; without those of which only a digest is there."""
    kept = _read(_file_of(server)) or {}
    return {name: one.definition for name, one in kept.items() if one.definition is not None}


def names(server: DeclaredServer) -> tuple[str, ...]:
    """Of its tools when it was last used; none if it never was."""
    return tuple(_read(_file_of(server)) or ())


def keep(server: DeclaredServer, definitions: Sequence[ToolDefinition]) -> None:
    """They are known as they are from now on. What cannot be kept is asked about again."""
    file = _file_of(server)
    if file is None:
        return
    left, tools = MOST_KEPT_CHARS, dict[str, object]()
    for one in definitions:
        left -= len(one.description) + len(one.parameters)
        whole = {"description": one.description, "parameters": one.parameters} if left >= 0 else {}
        tools[one.name] = {"digest": digest_of(one), **whole}
    text = json.dumps({"server": server.name, "tools": tools}, ensure_ascii=True) + "\n"
    try:
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            write_whole(file, text)
    except (OSError, UsageError):
        return


def _file_of(server: DeclaredServer) -> Path | None:
    state = state_folder()
    if state is None:
        return None
    what = json.dumps([server.name, server.command, server.url, server.folder], ensure_ascii=True)
    return state / "servers" / f"{hashlib.sha256(what.encode('ascii')).hexdigest()[:32]}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What a tool was like."""

    digest: str
    definition: ToolDefinition | None = None
    """None: there was no room for it."""

    @classmethod
    def read(cls, name: str, record: Any) -> _Kept:
        """Raises what a record that is none does. What is not as its digest says is not shown as it was."""
        if isinstance(record, str):  # of an older file
            return cls(digest=record)
        digest = str(record["digest"])
        if "parameters" not in record:
            return cls(digest=digest)
        own = ToolDefinition(
            name=name, description=str(record["description"]), parameters=str(record["parameters"])
        )
        return cls(digest=digest, definition=own if digest_of(own) == digest else None)


def _read(file: Path | None) -> Mapping[str, _Kept] | None:
    try:
        record: Any = {} if file is None else json.loads(file.read_text(encoding="utf-8"))
        return {str(name): _Kept.read(str(name), one) for name, one in record["tools"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
