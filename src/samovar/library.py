"""Finds workflows and prompts by name.

Above: the runner, actions, the command line. Below: `reading.py`, `prompt.py`. The only module of the
workflow half that reads files; it reads none outside its folders but those a person names by path. Nearer
folders win; one bad file never hides another.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from samovar.errors import NotFoundError, SamovarError, UsageError
from samovar.files import exists, is_file, is_link, modified_ns, read_text
from samovar.folders import (
    ENDINGS,
    SUFFIXES,
    LibraryEntry,
    file_below,
    file_named,
    files_below,
    files_by_name,
    is_workflow,
    is_written_as_path,
    name_below,
    name_of,
)
from samovar.language.parsed_action import ParseAction, ParsedAction
from samovar.language.prompt import Prompt, parse_prompt
from samovar.language.reading import much_to_keep, parse_workflow
from samovar.language.workflow import State, Workflow
from samovar.projects.trust import text_digest

SYSTEM_PROMPT = ".system"
OF_TEXT = "text"
"""The name of a workflow that is not a file's."""


class Library:
    """Workflows and prompts in folders that each hold `workflows/` and `prompts/`."""

    def __init__(
        self, folders: Sequence[tuple[str, Path]], parse_action: ParseAction, *, start: Path | None = None
    ) -> None:
        """`folders`: (source, folder), nearest first. `start`: where relative paths that a person
        writes begin; None: in the current folder."""
        self._folders = tuple(folders)
        self._start = start or Path()
        self._parse_action = parse_action
        # By file, as it was when it was last read: its time of change, and what it says.
        self._workflows: dict[tuple[Path, bool], tuple[int, Workflow]] = {}
        self._prompts: dict[Path, tuple[int, Prompt]] = {}
        self._replaced: dict[str, Prompt] = {}
        # By kind: when its names were listed, in seconds of the monotonic clock, and they.
        self._listed: dict[str, tuple[float, frozenset[str]]] = {}

    @property
    def folders(self) -> tuple[tuple[str, Path], ...]:
        """The source and the folder of each, nearest first."""
        return self._folders

    # Workflows ---------------------------------------------------------------------------------------

    def workflow(self, reference: str, *, beside: Path | None = None, lenient: bool = False) -> Workflow:
        """The workflow at a path or of a name.

        `beside`: the folder of the file that names it, which is looked into first. Raises `NotFoundError`
        with the nearest name, `UsageError` for a file that cannot be read, `FaultsError` for its content.
        """
        path = self.path_of(reference, beside=beside)
        return self._read_workflow(path, self._workflow_name(path), lenient)

    def read(self, text: str, path: Path | None, *, lenient: bool = False) -> Workflow:
        """The workflow that a text would be, if it were that of the file; `path` None: of no file.

        Raises `FaultsError`.
        """
        name = OF_TEXT if path is None else self._workflow_name(path)
        return self._parse(text, path, name, lenient)

    def child(self, workflow: Workflow, name: str) -> Workflow:
        """The workflow that another one runs by this name: beside its file first, and read as that was.

        A text has nothing beside it: it names what the library has, or a file by its path.
        """
        if workflow.folder is None and not is_written_as_path(name):
            if (path := file_named(self._folders, "workflows", name)) is None:
                raise NotFoundError("workflow", name, self._names("workflows"))
            return self._read_workflow(path, self._workflow_name(path), workflow.is_lenient)
        return self.workflow(name, beside=workflow.folder, lenient=workflow.is_lenient)

    def children(self, workflow: Workflow) -> Iterator[tuple[State, ParsedAction, Workflow]]:
        """The workflows that its actions run, as far as that is written and the files can be read."""
        for state, action in workflow.actions():
            if action.runs is not None:
                with suppress(SamovarError):
                    yield state, action, self.child(workflow, action.runs)

    def tree(self, workflow: Workflow) -> Iterator[Workflow]:
        """A workflow and all that it runs, each file once, nearest first."""
        seen: set[object] = set()
        waiting = [workflow]
        while waiting:
            one = waiting.pop(0)
            if one.identity not in seen:
                seen.add(one.identity)
                yield one
                waiting += [child for _, _, child in self.children(one)]

    def is_path(self, reference: str) -> bool:
        """Whether a person who writes this means a file, and not a name of the library."""
        if is_written_as_path(reference) and exists(self._start / reference):
            return True
        return file_named(self._folders, "workflows", reference) is None

    def home_of(self, workflow: Workflow) -> tuple[str, Path] | None:
        """The folder of the library that a workflow is in, with its source; None for one from another
        place."""
        if workflow.path is None:
            return None
        path = workflow.path.absolute()
        below = (one for one in self._folders if path.is_relative_to(one[1].absolute() / "workflows"))
        return next(below, None)

    def hidden_by(self, workflow: Workflow) -> tuple[str, Path] | None:
        """What the user or Samovar has by the same name, and a project's workflow keeps from being found."""
        for source, folder in self._folders:
            if source != "project" and (found := file_below(folder / "workflows", workflow.name)):
                return source, found
        return None

    def path_of(self, reference: str, *, beside: Path | None = None) -> Path:
        """The file that `workflow` would read. Raises `NotFoundError`, `UsageError`."""
        is_path = bool(Path(reference).suffix) or "/" in reference
        there = self._start / reference
        if beside is not None:
            for folder in (beside, beside / "workflows"):
                if found := file_below(folder, reference):
                    return found
        elif is_written_as_path(reference) and exists(there):
            return there
        if found := file_named(self._folders, "workflows", reference):
            if beside is None and is_path and is_file(there):  # none of the two takes the other's place
                named = f"{reference} is both the name of a workflow ({found}) and a file here."
                raise UsageError(f"{named} Write ./{reference} for the file, {found} for the other.")
            return found
        if beside is None and reference and os.path.isdir(there):
            raise UsageError(f"{reference} is a folder; a workflow is a file.")
        if beside is None and exists(there):
            return there
        known = set(self._names("workflows"))
        near = [reference + ending for ending in ENDINGS if exists(self._start / (reference + ending))]
        if is_path and exists(there.parent):
            files = (one for one in there.parent.glob("*") if one.suffix in SUFFIXES)
            near = [str(Path(reference).with_name(one.name)) for one in files]
        if is_path and is_link(there):
            raise UsageError(f"{reference} is a link to a file that does not exist.")
        if beside is not None:
            known |= {name_of(path) for path in beside.glob("*.md")}
        elif near and not is_path:
            raise NotFoundError("workflow", reference, near)  # it is here, with an ending
        raise NotFoundError("workflow", reference, [*known, *near])

    def _workflow_name(self, path: Path) -> str:
        for _, folder in self._folders:
            if path.is_relative_to(folder / "workflows"):
                return name_below(folder / "workflows", path)
        return name_of(path)

    def _read_workflow(self, path: Path, name: str, lenient: bool) -> Workflow:
        changed_ns = modified_ns(path)
        read_ns, workflow = self._workflows.get((path, lenient), (None, None))
        if workflow is None or read_ns != changed_ns:
            text = read_text(path)
            workflow = replace(self._parse(text, path, name, lenient), digest=text_digest(text), source=text)
            self._workflows[path, lenient] = changed_ns, workflow
        return workflow

    def _parse(self, text: str, path: Path | None, name: str, lenient: bool) -> Workflow:
        with much_to_keep():
            return parse_workflow(
                text,
                name=name,
                path=path,
                parse_action=self._parse_action,
                lenient=lenient,
                partials=self.partial,
            )

    # Prompts -----------------------------------------------------------------------------------------

    def prompt(self, name: str, *, workflow: Workflow | None = None) -> Prompt:
        """The prompt of a name: the workflow's own, beside its file, then in the folders, nearest first.

        Raises `NotFoundError` with the nearest name, `UsageError`, `FaultsError`.
        """
        if name in (own := {**(workflow.prompts if workflow else {}), **self._replaced}):
            return own[name]
        if (path := self._prompt_path(name, workflow)) is None:
            raise NotFoundError("prompt", name, self._prompt_names(workflow))
        return self._read_prompt(path, name)

    def replace_prompts(self, texts: Mapping[str, str], workflow: Workflow) -> None:
        """From now on these are the texts of prompts, by name. Raises `NotFoundError`, `FaultsError`."""
        for name, text in texts.items():
            if name != SYSTEM_PROMPT:
                self.prompt(name, workflow=workflow)
            self._replaced[name] = parse_prompt(text, name=name, path=None, partials=self.partial)

    def _prompt_path(self, name: str, workflow: Workflow | None) -> Path | None:
        if workflow is not None and workflow.path is not None:
            beside = workflow.path.parent
            if found := file_below(beside / "prompts", name):
                return found
            if (found := file_below(beside, name)) and not is_workflow(found):
                return found
        return file_named(self._folders, "prompts", name)

    def _prompt_names(self, workflow: Workflow | None) -> set[str]:
        names = set(self._names("prompts"))
        if workflow is not None:
            names |= set(workflow.prompts)
            if workflow.path is not None:
                folder = workflow.path.parent / "prompts"
                names |= {name_below(folder, path) for path in files_below(folder)}
        return names

    def _read_prompt(self, path: Path, name: str) -> Prompt:
        changed_ns = modified_ns(path)
        read_ns, prompt = self._prompts.get(path, (None, None))
        if prompt is None or read_ns != changed_ns:
            prompt = parse_prompt(read_text(path), name=name, path=path, partials=self.partial)
            self._prompts[path] = changed_ns, prompt
        return prompt

    def partial(self, name: str) -> str | None:
        """The text of a prompt that another takes in."""
        if (found := self._replaced.get(name)) is None and (path := self._prompt_path(name, None)):
            found = self._read_prompt(path, name)
        return found.template.text if found else None

    def system_prompt(self, workflow: Workflow | None) -> Prompt | None:
        """The default system prompt: the prompt named `.system`; None when there is none."""
        own = workflow.prompts if workflow else {}
        if (found := self._replaced.get(SYSTEM_PROMPT) or own.get(SYSTEM_PROMPT)) is not None:
            return found
        path = self._prompt_path(SYSTEM_PROMPT, workflow)
        return None if path is None else self._read_prompt(path, SYSTEM_PROMPT)

    # Lists -------------------------------------------------------------------------------------------

    def workflows(self) -> list[LibraryEntry]:
        """Every workflow that can be named, by name; of equal names the nearest."""
        return self._entries("workflows")

    def prompts(self) -> list[LibraryEntry]:
        """Every prompt that can be named, by name; of equal names the nearest. Partials are left out."""
        return self._entries("prompts")

    def _names(self, kind: str) -> frozenset[str]:
        """Every name there is to offer. As many may be asked for in a row, they are listed once a second."""
        listed_s, names = self._listed.get(kind, (-math.inf, frozenset()))
        if time.monotonic() - listed_s > 1:
            names = frozenset(entry.name for entry in self._entries(kind))
            self._listed[kind] = time.monotonic(), names
        return names

    def _entries(self, kind: str) -> list[LibraryEntry]:
        found = [self._entry(kind, *one) for one in files_by_name(self._folders, kind).items()]
        return [entry for entry in found if entry is not None]

    def _entry(self, kind: str, name: str, files: Sequence[tuple[str, Path]]) -> LibraryEntry | None:
        """The nearest file of a name; None if that is a partial."""
        (source, path), *shadows = files
        item: Workflow | Prompt | None = None
        fault = None
        try:
            if kind == "workflows":
                item = self._read_workflow(path, name, False)
            else:
                item = self._read_prompt(path, name)
                if item.is_partial:
                    return None
        except SamovarError as error:
            fault = str(error).splitlines()[0]
        return LibraryEntry(
            name=name,
            path=path,
            source=source,
            title=item.title if item else None,
            description=item.description if item else None,
            fault=fault,
            is_exposed=isinstance(item, Workflow) and item.exposed is not None,
            shadows=tuple(shadows),
        )
