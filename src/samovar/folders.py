"""The folders of the library, and the files in them by name. Nothing is parsed.

Above: `library.py`, which reads the files, and completion, which only lists them. Below: `projects/`,
for where they are, and `files.py`. What may not be looked at counts as not there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from samovar.errors import SamovarError, UsageError
from samovar.files import is_file, is_folder, read_text
from samovar.projects.places import levels, user_folder

SUFFIXES = (".md", ".markdown", ".mermaid", ".liquid")
ENDINGS = ("", *SUFFIXES, ".md.liquid", ".markdown.liquid", ".mermaid.liquid", ".liquid.md")
"""What a name may leave out, in the order it is tried."""
PROJECT_FOLDERS = (".samovar", ".swissarmyhammer", ".sah")
_DIAGRAM = re.compile(r"^[^\S\n]*stateDiagram(?:-v2)?[^\S\n]*$", re.M)
BUILTIN_FOLDER = Path(__file__).resolve().parent / "builtin"
"""The folder of the workflows and prompts that come with Samovar."""


def current_folder() -> Path:
    """The folder that the process is in. Raises `UsageError` if it was deleted, or may not be asked for."""
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise UsageError("The current folder was deleted. Change to another one with `cd`.") from error
    except OSError as error:
        raise UsageError(
            f"The current folder cannot be used: {error.strerror}. Change to another one with `cd`."
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryEntry:
    """One file of the library."""

    name: str
    path: Path
    source: str
    """Which folder it is in: `project`, `user`, `built-in`."""
    title: str | None
    description: str | None
    fault: str | None
    """Why it cannot be used; None when it can."""
    is_exposed: bool = False
    """It is a workflow that other programs may use as a tool."""
    shadows: tuple[tuple[str, Path], ...] = ()
    """What else has the name and is not reached: source and file, nearest first."""


def find_project_folders(start: Path) -> list[tuple[str, Path]]:
    """The project's folders, from `start` up to the repository's root or the home folder, nearest first."""
    below = (folder / name for folder in levels(start) for name in PROJECT_FOLDERS)
    return [("project", folder) for folder in below if is_folder(folder)]


def is_written_as_path(reference: str) -> bool:
    """Whether it can only be a file: it begins as a path from here or the root, or has a suffix."""
    return reference.startswith(("./", "../", "/")) or Path(reference).suffix in SUFFIXES


def name_of(path: Path) -> str:
    """A file's name without its suffixes."""
    name = path.name
    while Path(name).suffix in SUFFIXES and Path(name).stem:
        name = Path(name).stem
    return name


def library_folders(start: Path) -> list[tuple[str, Path]]:
    """What can be named from the folder `start`: the source and the folder of each library, nearest first."""
    user = user_folder()
    own = [("user", user)] if user else []
    return [*find_project_folders(start), *own, ("built-in", BUILTIN_FOLDER)]


def file_below(folder: Path, name: str) -> Path | None:
    """The file of that name in `folder`, if it is there and does not leave it."""
    if not is_folder(folder) or "\0" in name:
        return None
    for ending in ENDINGS:
        path = os.path.join(folder, name + ending)
        if os.path.splitext(path)[1] not in SUFFIXES:
            continue  # no name, no matter who says it, leads to a file that is none of the library's kinds
        try:
            if os.path.isfile(path) and Path(path).resolve().is_relative_to(folder.resolve()):
                return Path(path)
        except OSError:
            return None
    return None


def file_named(folders: Sequence[tuple[str, Path]], kind: str, name: str) -> Path | None:
    """The file that has the name in the nearest folder; `kind`: `workflows` or `prompts`."""
    found = (file_below(folder / kind, name) for _, folder in folders)
    return next((path for path in found if path is not None), None)


def name_below(folder: Path, path: Path) -> str:
    """The name that a file in the folder has: its path there without suffixes."""
    return (path.parent / name_of(path)).relative_to(folder).as_posix()


def files_below(folder: Path) -> Iterator[Path]:
    """The library files below a folder that do not lead out of it, sorted."""
    if not is_folder(folder):
        return
    root = folder.resolve()
    for path in sorted(folder.rglob("*")):
        try:
            if path.suffix in SUFFIXES and is_file(path) and path.resolve().is_relative_to(root):
                yield path
        except OSError:
            continue


def workflows_of(project: Path) -> Iterator[tuple[str, Path]]:
    """Every file of a project's workflows, hidden ones too, with its name."""
    for folder in (project / name / "workflows" for name in PROJECT_FOLDERS):
        yield from ((name_below(folder, path), path) for path in files_below(folder))


def files_by_name(folders: Sequence[tuple[str, Path]], kind: str) -> Mapping[str, Sequence[tuple[str, Path]]]:
    """Every name of a kind (`workflows`, `prompts`), sorted, with the source and path of each of its files.

    The file that is taken comes first.
    """
    found: dict[str, list[tuple[str, Path]]] = {}
    for source, folder in folders:
        here: dict[str, list[tuple[str, Path]]] = {}
        for path in files_below(folder / kind):
            here.setdefault(name_below(folder / kind, path), []).append((source, path))
        for name, files in here.items():
            # If there are two endings, the one that a look-up takes.
            first = file_below(folder / kind, name)
            files.sort(key=lambda file: file[1] != first)
            found.setdefault(name, []).extend(files)
    return dict(sorted(found.items()))


def is_workflow(path: Path) -> bool:
    """Whether a Markdown file has a state diagram, so that it is not the text of a prompt."""
    try:
        return _DIAGRAM.search(read_text(path)) is not None
    except SamovarError:
        return False
