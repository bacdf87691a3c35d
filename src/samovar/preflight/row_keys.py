"""Keys of rows: digests of all that a row's result depends on, so that the same work is done once.

Above: `rows.py`. Below: the library, the settings, the journal's contract. A secret is in no digest: whoever
reads the journal could try which text it is of.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

from samovar.actions.prompt import ExecutePrompt
from samovar.actions.workflow import RunWorkflow
from samovar.config import Settings
from samovar.errors import SamovarError
from samovar.folders import files_by_name
from samovar.journal.row_key import RowKey
from samovar.language.prompt import Prompt
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.running.runner import RunnerSettings
from samovar.values import plain

_OF_SETTINGS = ("model", "aliases", "executor", "context_tokens", "kv_type", "value_bytes")
_OF_RUN = (
    "model",
    "executor",
    "seed",
    "deterministic",
    "no_effects",
    "lenient",
    "transitions",
    "duration_s",
    "tokens",
    "depth",
    "prompt_timeout_s",
    "items",
    "answers",
    "yes",
    "surroundings",
)
_CHUNK_BYTES = 1_000_000
_TAKES_OTHERS = re.compile(rb"\{%-?\s*(?:render|include)\b")
"""A text that takes in others of the library."""


class RowKeys:
    """Makes the keys of the rows of one file."""

    def __init__(self, workflow: Workflow, library: Library, settings: Settings, run: RunnerSettings) -> None:
        self._secret = frozenset(workflow.secret_names)
        self._files = tuple(one.name for one in workflow.parameters if one.type == "file")
        place = str(workflow.path.absolute()) if workflow.path else workflow.name
        self._subject = {"workflow": place}
        self._work = {
            "texts": texts_of(workflow, library),
            "settings": {name: _json(getattr(settings, name)) for name in _OF_SETTINGS},
            "executors": [_json(asdict(one)) for one in settings.executors],
            "run": {name: _json(getattr(run, name)) for name in _OF_RUN},
        }

    def of(self, variables: Mapping[str, object]) -> RowKey:
        """The key of a row, by the variables that its run begins with."""
        said = {name: _json(one) for name, one in variables.items() if name not in self._secret}
        files = {name: _digest_of_file(variables.get(name)) for name in self._files}
        subject = {**self._subject, "row": said}
        return RowKey(
            work=_digest({**subject, **self._work, "files": files})[:32], subject=_digest(subject)[:32]
        )


def texts_of(workflow: Workflow, library: Library) -> Mapping[str, str]:
    """Digests of all the files that a run of the workflow takes its texts from, as far as that is known.

    If only the run knows which prompt it asks, or which workflow it runs, those are all that it could name.
    """
    files: set[Path] = set()
    for one in library.tree(workflow):
        files |= {one.path} if one.path else set()
        files |= _path_of(partial(library.system_prompt, one))
        for _, action in one.actions():
            if isinstance(action, ExecutePrompt):
                files |= _asked(action, one, library)
            elif isinstance(action, RunWorkflow) and action.runs is None:
                files |= _all("workflows", library)
    texts = {path: path.read_bytes() for path in sorted(files)}
    if any(_TAKES_OTHERS.search(text) for text in texts.values()):
        texts |= {path: path.read_bytes() for path in _all("prompts", library)}
    return {str(path): hashlib.sha256(text).hexdigest() for path, text in texts.items()}


def _asked(action: ExecutePrompt, workflow: Workflow, library: Library) -> set[Path]:
    """The files of the prompt that it asks, and of the workflows that may be its tools."""
    files = _all("workflows", library) if action.using.has_tools else set()
    name = action.name
    if name is not None and not name.is_literal:
        return files | _all("prompts", library)
    if name is None:
        return files
    return files | _path_of(lambda: library.prompt(name.text({}), workflow=workflow))


def _path_of(find: Callable[[], Prompt | None]) -> set[Path]:
    """The file of a prompt; none if there is none, which its run will report."""
    with suppress(SamovarError):
        found = find()
        return {found.path} if found is not None and found.path is not None else set()
    return set()


def _all(kind: str, library: Library) -> set[Path]:
    found = files_by_name(library.folders, kind)
    return {path for files in found.values() for _, path in files}


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _digest_of_file(value: object) -> str | None:
    """Of what a file says; None if there is none, which its run will report."""
    if not isinstance(value, str):
        return None
    digest = hashlib.sha256()
    try:
        with Path(value).open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except (OSError, ValueError):
        return None
    return digest.hexdigest()


def _json(value: object) -> object:
    """The value as JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): _json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_json(one) for one in value]
    made = plain(value)
    return made if made is None or isinstance(made, str | int | float | bool) else str(made)
