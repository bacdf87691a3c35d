"""What the tools of servers were like when they were first used, so that a change of them is asked about.

Above: the servers of a run. Below: the user's folder of state, files. One small file for each server; its
tools by name, each with a digest of its definition. Without a home folder nothing is kept, and each time is
the first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from samovar.config.declared import DeclaredServer
from samovar.errors import UsageError
from samovar.files import write_whole
from samovar.generation import ToolDefinition
from samovar.projects.places import state_folder


def digest_of(definition: ToolDefinition) -> str:
    """The same for the same name, description and parameters."""
    text = json.dumps([definition.name, definition.description, definition.parameters], ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def changed(server: DeclaredServer, definitions: Sequence[ToolDefinition]) -> tuple[str, ...]:
    """The names of tools that are new, or not as they were kept; none for a server that is used first."""
    kept = _read(_file_of(server))
    if kept is None:
        return ()
    return tuple(one.name for one in definitions if kept.get(one.name) != digest_of(one))


def keep(server: DeclaredServer, definitions: Sequence[ToolDefinition]) -> None:
    """They are known as they are from now on. What cannot be kept is asked about again."""
    file = _file_of(server)
    if file is None:
        return
    record = {"server": server.name, "tools": {one.name: digest_of(one) for one in definitions}}
    text = json.dumps(record, ensure_ascii=True) + "\n"
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


def _read(file: Path | None) -> Mapping[str, str] | None:
    try:
        record: Any = {} if file is None else json.loads(file.read_text(encoding="utf-8"))
        return {str(name): str(one) for name, one in record["tools"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
