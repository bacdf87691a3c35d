"""`samovar check`: everything that is wrong, of every file, with the line it stands in.

Above: the commands of `__init__.py`. Below: the library and `samovar.checks.checking`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from samovar.app import open_library
from samovar.checks.checking import check_workflow
from samovar.checks.codes import codes
from samovar.cli.live import make_console
from samovar.config import Settings, load_settings
from samovar.errors import Fault, FaultsError, NotFoundError, Place, SamovarError, UsageError
from samovar.library import SUFFIXES, Library, read_text
from samovar.outlook import doubtful_models
from samovar.wire import fault_to_wire


def check_paths(paths: Sequence[Path], *, strict: bool, lenient: bool, as_json: bool) -> int:
    """Checks files, or the workflows below folders, or those of the library. Returns the exit status."""
    library = open_library(Path.cwd())
    files = _files(paths, library)
    settings = load_settings({})
    faults = {path: faults_of(path, library, settings, lenient=lenient) for path in files}
    errors = sum(fault.severity == "error" for found in faults.values() for fault in found)
    warnings = sum(fault.severity == "warning" for found in faults.values() for fault in found)
    if as_json:
        listed = [
            {"path": str(path), "faults": [fault_to_wire(one) for one in found]}
            for path, found in faults.items()
        ]
        sys.stdout.write(
            json.dumps({"files": listed, "errors": errors, "warnings": warnings}, indent=2) + "\n"
        )
    else:
        _show(faults, errors, warnings)
    return 2 if errors else 1 if warnings and strict else 0


def explain(code: str) -> int:
    """Writes what a code means, what to do, and an example. Raises `NotFoundError` for one there is not."""
    known = codes()
    if code not in known:
        raise NotFoundError("code", code, known)
    one = known[code]
    example = "".join(f"    {line}\n" for line in one.shown.splitlines())
    sys.stdout.write(f"{one.means}\n{one.do}\n" + (f"\nFor example:\n\n{example}" if example else ""))
    return 0


def _files(paths: Sequence[Path], library: Library) -> list[Path]:
    if not paths:
        found = [entry.path for entry in library.workflows() if entry.source == "project"]
        if not found:
            raise UsageError(
                "There is no workflow in the project's library (.samovar/workflows). Name a file to check."
            )
        return found
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(one for one in path.rglob("*") if one.suffix in SUFFIXES and one.is_file())
            found = [one for one in inside if "prompts" not in one.parts[:-1] and _looks_like_workflow(one)]
            if not found:
                raise UsageError(f"There is no workflow in the folder {path}.")
            files += found
        elif path.exists() or path.suffix or "/" in str(path):
            files.append(path)
        else:
            files.append(library.workflow(str(path)).path or path)
    return files


def _looks_like_workflow(path: Path) -> bool:
    """Among the Markdown of a folder, only what has a diagram is taken for a workflow."""
    try:
        return "stateDiagram" in read_text(path)
    except SamovarError:
        return True


def faults_of(
    path: Path, library: Library | None = None, settings: Settings | None = None, *, lenient: bool = False
) -> tuple[Fault, ...]:
    """Everything that is wrong or doubtful about a file, in its order."""
    library, settings = library or open_library(Path.cwd()), settings or load_settings({})
    found: list[Fault] = []
    try:
        workflow = library.workflow(str(path), lenient=lenient)
    except FaultsError as error:
        found += error.faults
        if error.readable is None:
            return error.faults
        workflow = error.readable
    except SamovarError as error:
        place = error.place or Place(path=path, line=1)
        return (Fault(code=error.code, message=error.message, place=place),)
    found += [*check_workflow(workflow, library), *doubtful_models(workflow, library, settings)]
    return tuple(sorted(dict.fromkeys(found), key=lambda fault: (fault.place.line, fault.place.column)))


def _show(faults: dict[Path, tuple[Fault, ...]], errors: int, warnings: int) -> None:
    console = make_console(sys.stdout)
    for path, found in faults.items():
        lines = _lines(path)
        for fault in found:
            line = Text(f"{fault.place}: ")
            line.append(fault.severity, style="bold red" if fault.severity == "error" else "bold yellow")
            line.append(f": {fault.message} ")
            line.append(f"[{fault.code}]", style="dim")
            console.print(line)
            if fault.place.path == path and 0 < fault.place.line <= len(lines):
                _show_line(console.print, lines[fault.place.line - 1], fault.place.column)
    counts = ((len(faults), "file"), (errors, "error"), (warnings, "warning"))
    console.print(", ".join(f"{count} {what}" + "s" * (count != 1) for count, what in counts))


def _show_line(show: object, line: str, column: int) -> None:
    """The line, and a caret below the column; a long line is cut around it."""
    start = max(0, column - 60)
    shown = line[start : start + 100].replace("\t", " ")
    assert callable(show)
    show(Text(f"    {shown}", style="dim"))
    show(Text(" " * (4 + column - 1 - start) + "^", style="bold"))


def _lines(path: Path) -> list[str]:
    try:
        return read_text(path).splitlines()
    except SamovarError:
        return []
