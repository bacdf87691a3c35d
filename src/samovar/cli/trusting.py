"""`samovar trust`, and the messages and questions of other commands about untrusted projects.

Above: the commands. Below: what the user trusts, the library. Anyone who asks shows all of what would be
done.
"""

from __future__ import annotations

import sys
import termios
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from samovar.app import open_library
from samovar.cli.output import write_json
from samovar.cli.showing import shown
from samovar.cli.terminal import put, say
from samovar.config import Settings, load_settings, settings_known
from samovar.config.strange_variables import misspelt, strange_variables
from samovar.errors import SamovarError, UsageError
from samovar.files import is_folder, read_text
from samovar.folders import PROJECT_FOLDERS, current_folder, workflows_of
from samovar.language.workflow import Workflow
from samovar.library import Library
from samovar.projects.lineage import is_within_run
from samovar.projects.opening import Opening, opening_of, uncounted
from samovar.projects.places import levels
from samovar.projects.trust import TrustedFolder, forget, keep, kept_of, text_digest, trusted_folders
from samovar.running.gate import path_below
from samovar.values import to_text

TRIES = 3


# For other commands ------------------------------------------------------------------------------------


def settings_for(given: Mapping[str, Any], *, trusts: bool = False) -> Settings:
    """The settings in force; one line on standard error for each file of a project with some that are not.

    One as well for each variable that may be a misspelt setting.
    """
    settings = load_settings(given, trusts=trusts)
    if not trusts:
        for one in uncounted(settings_known()):
            _say_once(one.line)
    for sentence in strange_variables().values():
        if misspelt(sentence):
            _say_once(f"warning: {sentence}")
    return settings


@cache
def _say_once(line: str) -> None:
    """A command may read the settings several times."""
    say(f"samovar: {shown(line)}")


def allower() -> Callable[[str], bool] | None:
    """Asks at the terminal whether a project may do something this once; None without a terminal."""
    if not _is_terminal():
        return None

    def allow(doing: str) -> bool:
        say(f"samovar: {shown(doing)}")
        return _says_yes("Run it this once? [y/N] ")

    return allow


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _says_yes(question: str) -> bool:
    """Asks until there is an answer; Enter and the end of input are a no. What was typed before is none."""
    with suppress(termios.error):
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
    for _ in range(TRIES):
        say(question, end="")
        line = sys.stdin.readline()
        if not line:
            say("")
            return False
        said = line.strip().lower()
        if said in ("y", "yes"):
            return True
        if said in ("", "n", "no"):
            return False
        say("Type y or n, and Enter.")
    return False


# samovar trust -----------------------------------------------------------------------------------------


def trust_folder(folder: Path | None, *, revoke: bool, yes: bool) -> int:
    """Trusts what the project has from this folder up to its root, or no longer; says what that is."""
    if is_within_run():
        raise UsageError(
            "This command was started by a run, and a run cannot decide what you trust. Call "
            "`samovar trust` in your own terminal."
        )
    start = current_folder() if folder is None else folder
    if not is_folder(start):
        raise UsageError(f"There is no folder {start}.")
    start = start.resolve()
    if revoke:
        return _revoke(start)
    folders = _with_something(start)
    if not folders:
        raise UsageError(
            f"There is nothing to trust in {start}: no .samovar folder here, nor above it up to the "
            "repository's root."
        )
    asked = [_Asked.of(one) for one in folders]
    put("".join(f"{shown(line)}\n" for one in asked for line in one.lines))
    if not any(one.is_new for one in asked):
        put("You already trust this, as it is now.\n")
        return 0
    if not yes and not _is_terminal():
        raise UsageError("There is no terminal to ask at. Read the text above, then call it with --yes.")
    if not yes and not _says_yes("Trust this as it is now? [y/N] "):
        raise UsageError("Nothing was changed: this is not trusted.")
    for one in asked:
        keep(one.folder, one.opening.digest, one.workflows)
        put(f"trusted: {shown(str(one.folder))}\n")
    return 0


def _with_something(start: Path) -> list[Path]:
    """The folders of the project that have something to trust, the nearest first."""
    return [one for one in levels(start) if any(is_folder(one / name) for name in PROJECT_FOLDERS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A folder that the user is asked about."""

    folder: Path
    opening: Opening
    workflows: Mapping[str, str]
    """The digests of its workflows, by path below the folder; of those that can be read."""
    lines: tuple[str, ...]
    """What trusting it allows."""
    is_new: bool
    """It is not trusted as it is."""

    @classmethod
    def of(cls, folder: Path) -> _Asked:
        opening, kept = opening_of(folder, settings_known()), kept_of(folder)
        trusted = kept.workflows if kept else {}
        workflows: dict[str, str] = {}
        said: list[str] = []
        library = open_library(folder)
        for name, path in workflows_of(folder):
            below = path_below(folder, path)
            try:
                workflow = library.workflow(str(path))
            except SamovarError as error:
                said.append(f"  workflow {name}: cannot be read: {str(error).splitlines()[0]}")
                continue
            workflows[below] = workflow.digest
            is_new = kept is not None and trusted.get(below) != workflow.digest
            since = (
                "" if not is_new else " (changed since then)" if below in trusted else " (added since then)"
            )
            said += [f"  workflow {name}{since}{line}" for line in _effects_of(library, workflow)]
        since = " (changed since you trusted it)" if opening.standing == "changed" else ""
        settings = [f"  setting {name} = {to_text(value)}{since}" for name, value in opening.values.items()]
        nothing = ["  no settings that need trust, and no workflow with effects"]
        head = f"{folder}, trusted on {_day(kept)}" if kept else f"{folder}"
        return cls(
            folder=folder,
            opening=opening,
            workflows=workflows,
            lines=(head, *(settings + said or nothing)),
            is_new=opening.standing != "trusted" or workflows != trusted,
        )


def _effects_of(library: Library, workflow: Workflow) -> Iterator[str]:
    hidden = library.hidden_by(workflow)
    if hidden is not None:
        yield f" is run in place of {hidden[1]} ({hidden[0]})"
    for state in workflow.states.values():
        if state.action is not None and state.action.effect is not None:
            yield f": {state.name} {state.action.effect}: {state.action.doing}"


def _revoke(start: Path) -> int:
    kept = {one.folder for one in trusted_folders()}
    gone = [one for one in levels(start) if one in kept and forget(one)]
    if not gone:
        raise UsageError(f"{start} is not trusted. `samovar trust --list` shows all that are.")
    put("".join(f"no longer trusted: {shown(str(one))}\n" for one in gone))
    return 0


def list_trusted(*, as_json: bool) -> int:
    """The folders that are trusted, since when, and whether that still holds."""
    rows = [(one, _state(one), one.changed(_digests(one))) for one in trusted_folders()]
    if as_json:
        write_json(
            {
                "trusted": [
                    {"folder": str(one.folder), "since_s": one.since_s, "state": state, "changed": changed}
                    for one, state, changed in rows
                ]
            }
        )
        return 0
    why = {"trusted": "", "changed": "  its settings have changed: not trusted", "gone": "  not there"}
    for one, state, changed in rows:
        also = f"  asked about again: {', '.join(changed)}" if changed and state == "trusted" else ""
        put(f"{_day(one)}  {shown(str(one.folder))}{why[state]}{shown(also)}\n")
    if not rows:
        say("No folder is trusted.")
    return 0


def _day(one: TrustedFolder) -> str:
    return datetime.fromtimestamp(one.since_s).astimezone().strftime("%Y-%m-%d")


def _state(one: TrustedFolder) -> str:
    if not is_folder(one.folder):
        return "gone"
    try:
        same = opening_of(one.folder, settings_known()).digest == one.opens
    except UsageError:
        same = False
    return "trusted" if same else "changed"


def _digests(one: TrustedFolder) -> dict[str, str | None]:
    """Those of its workflows' texts as they are now."""
    digests: dict[str, str | None] = {}
    for below in one.workflows:
        with suppress(SamovarError):
            digests[below] = text_digest(read_text(one.folder / below))
    return digests
