"""`samovar check`: reports every mistake in every file, with its line.

Above: the commands of `__init__.py`. Below: the library, and `checks/`: `mending.py` for --fix.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.text import Text

from samovar.app import open_library
from samovar.checks.checking import check_workflow
from samovar.checks.codes import codes
from samovar.checks.mending import Mended, mend
from samovar.checks.old_files import offered
from samovar.cli.console import make_console
from samovar.cli.output import write_json
from samovar.cli.showing import shown, visible
from samovar.cli.terminal import put
from samovar.cli.trusting import settings_for
from samovar.config import Settings
from samovar.errors import Fault, FaultsError, NotFoundError, Place, SamovarError, UsageError
from samovar.errors.counting import counted
from samovar.files import exists, is_file, is_folder, read_text
from samovar.folders import SUFFIXES, current_folder
from samovar.language.reading import much_to_keep
from samovar.library import Library
from samovar.preflight.executors import own_unfit_executors
from samovar.preflight.forms import unenforceable
from samovar.preflight.models import doubtful_models
from samovar.preflight.tool_sources import idle_rules, names_tools, undeclared_servers
from samovar.running.wire import fault_to_wire

Mending = Literal["none", "shown", "written"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    """The message about one file."""

    path: Path
    faults: tuple[Fault, ...]
    """With `mended`, those that are there afterwards."""
    mended: Mended | None = None

    @property
    def done(self) -> tuple[Fault, ...]:
        return self.mended.done if self.mended else ()

    @property
    def lines(self) -> Sequence[str]:
        """Those that the places of `faults` count."""
        if self.mended is None:
            return _lines(self.path)
        return self.mended.after.removeprefix("\ufeff").splitlines()


def check_paths(
    paths: Sequence[Path], *, strict: bool, lenient: bool, as_json: bool, mending: Mending = "none"
) -> int:
    """Checks files, or the workflows below folders, or those of the library. Returns the exit status.

    `mending`: what can be fixed is left, shown, or shown and written.
    """
    library, settings = open_library(current_folder()), settings_for({})
    files = dict.fromkeys(_files(paths, library))
    checked = [_check(path, library, settings, lenient, mending) for path in files]
    checked += _check_rules(files, library, settings)
    faults = [fault for one in checked for fault in one.faults]
    errors = sum(fault.severity == "error" for fault in faults)
    warnings = sum(fault.severity == "warning" for fault in faults)
    if as_json:
        wire = {"files": list(map(_to_wire, checked)), "errors": errors, "warnings": warnings}
        if mending != "none":
            wire["fixed"] = sum(len(one.done) for one in checked)
        write_json(wire)
    else:
        _show(checked, errors, warnings, mending)
    return 2 if errors else 1 if warnings and strict else 0


def _to_wire(checked: _Checked) -> dict[str, object]:
    wire: dict[str, object] = {
        "path": str(checked.path),
        "faults": [fault_to_wire(one) for one in checked.faults],
    }
    if checked.mended is not None:
        wire["fixed"] = [fault_to_wire(one) for one in checked.done]
        wire["not_fixed"] = [fault_to_wire(one) for one in checked.mended.left]
        wire["diff"] = checked.mended.diff
    return wire


def explain(code: str) -> int:
    """Writes what a code means, what to do, and an example. Raises `NotFoundError` for one there is not."""
    known = codes()
    if code not in known:
        raise NotFoundError("code", code, known)
    one = known[code]
    example = "".join(f"    {line}\n" for line in one.shown.splitlines())
    put(f"{one.means}\n{one.do}\n" + (f"\nFor example:\n\n{example}" if example else ""))
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
        if is_folder(path):
            found = workflows_below(path)
            if not found:
                raise UsageError(f"There is no workflow in the folder {path}.")
            files += found
        elif exists(path) or path.suffix or "/" in str(path):
            files.append(path)
        else:
            files.append(library.path_of(str(path)))
    return files


def workflows_below(folder: Path) -> list[Path]:
    """The files of a folder, and of those in it, that look like workflows."""
    inside = sorted(one for one in folder.rglob("*") if one.suffix in SUFFIXES and is_file(one))
    return [one for one in inside if not _is_below_prompts(one, folder) and _looks_like_workflow(one)]


def _is_below_prompts(file: Path, folder: Path) -> bool:
    """Whether a file is among the prompts in the folder, whatever the folder itself is called."""
    return "prompts" in file.relative_to(folder).parts[:-1]


def _looks_like_workflow(path: Path) -> bool:
    """Among the Markdown of a folder, only what has a diagram is taken for a workflow."""
    try:
        return "stateDiagram" in read_text(path)
    except SamovarError:
        return True


@much_to_keep()
def faults_of(
    path: Path, library: Library | None = None, settings: Settings | None = None, *, lenient: bool = False
) -> tuple[Fault, ...]:
    """Everything that is wrong or doubtful about a file, in its order."""
    library, settings = library or open_library(current_folder()), settings or settings_for({})
    try:
        own = library.path_of(str(path))
        text = read_text(own)
        found = _faults_within(path, library, settings, lenient=lenient)
    except SamovarError as error:
        return _as_faults(error, path)
    offer = None if lenient else offered(text, own, library, found)
    return (offer, *found) if offer is not None else found


def _faults_within(path: Path, library: Library, settings: Settings, *, lenient: bool) -> tuple[Fault, ...]:
    """Raises `SamovarError` but for faults of the file."""
    found: list[Fault] = []
    try:
        workflow = library.workflow(str(path), lenient=lenient)
    except FaultsError as error:
        found += error.faults
        if error.readable is None:
            return error.faults
        workflow = error.readable
    found += [*check_workflow(workflow, library), *doubtful_models(workflow, library, settings)]
    found += [*own_unfit_executors(workflow, library, settings), *unenforceable(workflow)]
    found += undeclared_servers(workflow, settings)
    return tuple(sorted(dict.fromkeys(found), key=lambda fault: (fault.place.line, fault.place.column)))


def _check(path: Path, library: Library, settings: Settings, lenient: bool, mending: Mending) -> _Checked:
    if mending == "none":
        return _Checked(path=path, faults=faults_of(path, library, settings, lenient=lenient))
    try:
        mended = mend(library.path_of(str(path)), library, lenient=lenient)
        if mending == "written":
            mended.write()
        return _Checked(path=path, faults=mended.faults, mended=mended)
    except SamovarError as error:
        return _Checked(path=path, faults=_as_faults(error, path))


def _check_rules(files: Iterable[Path], library: Library, settings: Settings) -> Iterator[_Checked]:
    """The files of settings with rules that allow nothing, if any workflow here has to do with rules."""
    for path in files:
        with suppress(SamovarError):
            if names_tools(library.workflow(str(path), lenient=True)):
                break
    else:
        return
    faults = idle_rules(settings)
    for where in dict.fromkeys(fault.place.path for fault in faults):
        if where is not None:
            yield _Checked(path=where, faults=tuple(one for one in faults if one.place.path == where))


def _as_faults(error: SamovarError, path: Path) -> tuple[Fault, ...]:
    if isinstance(error, FaultsError):
        return error.faults
    place = error.place or Place(path=path, line=1)
    return (Fault(code="unreadable", message=error.message, place=place),)


def _show(checked: Sequence[_Checked], errors: int, warnings: int, mending: Mending) -> None:
    console = make_console(sys.stdout)
    for one in checked:
        if one.mended is not None:
            _show_diff(console, one.mended.diff)
        lines = one.lines
        for fault in one.faults:
            line = Text(f"{fault.place}: ")
            line.append(fault.severity, style=_STYLES[fault.severity])
            line.append(f": {shown(fault.message)} ")
            line.append(f"[{fault.code}]", style="dim")
            console.print(line)
            if fault.place.path == one.path and 0 < fault.place.line <= len(lines):
                _show_line(console.print, lines[fault.place.line - 1], fault.place.column)
        if one.mended is not None and one.mended.left:
            _show_left(console, one.mended)
    counts = [(len(checked), "file"), (errors, "error"), (warnings, "warning")]
    said = [counted(count, what) for count, what in counts]
    if mending != "none":
        said.append(f"{sum(len(one.done) for one in checked)} {_WORDS[mending]}")
    console.print(", ".join(said))
    if mending == "none" and any(fault.fix for one in checked for fault in one.faults):
        console.print(Text("`samovar check --fix` fixes everything with one safe fix.", style="dim"))


_STYLES = {"error": "bold red", "warning": "bold yellow", "hint": "bold cyan"}
_WORDS = {"shown": "to be fixed", "written": "fixed"}
_DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def _show_diff(console: Console, diff: str) -> None:
    if not console.is_terminal:
        put(diff)
        return
    for line in diff.removesuffix("\n").split("\n") if diff else ():
        style = "bold" if line.startswith(("+++", "---")) else _DIFF_STYLES.get(line[:1], "")
        console.print(Text(line.rstrip("\r"), style=style))


def _show_left(console: Console, mended: Mended) -> None:
    count = len(mended.left)
    why = "the file could mean something else" if mended.is_read else "fix the errors first"
    console.print(Text(f"{mended.path}: {counted(count, 'fix', 'fixes')} not made: {why}.", style="yellow"))


def _show_line(show_text: object, line: str, column: int) -> None:
    """The line, and a caret below the column; a long line is cut around it."""
    start = max(0, column - 60)
    text = visible(line[start : start + 100].replace("\t", " "))
    assert callable(show_text)
    show_text(Text(f"    {text}", style="dim"))
    show_text(Text(" " * (4 + column - 1 - start) + "^", style="bold"))


def _lines(path: Path) -> list[str]:
    try:
        return read_text(path).splitlines()
    except SamovarError:
        return []
