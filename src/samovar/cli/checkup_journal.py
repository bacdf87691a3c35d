"""What a check-up finds of the journal: its place, its size, its schema, its disk, who uses it, damage.

Above: `doctor.py`. Below: the settings; `journal/looking.py`, which changes nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from samovar.cli.checkup import Observation, Verdict
from samovar.config import Settings
from samovar.errors import JournalError, UsageError
from samovar.errors.counting import counted
from samovar.errors.durations import lasting
from samovar.errors.installing import install_command
from samovar.files import exists, is_file
from samovar.journal.opening import is_named, journal_file
from samovar.memory import in_words

ELSEWHERE = "export SAMOVAR_JOURNAL_FILE=/a/folder/on/this/machine/journal.db"


def journal(settings: Settings) -> Iterator[Observation]:
    if settings.journal == "off":
        yield Observation(about="journal", what="runs are not kept: the setting journal is off")
        return
    try:
        file = journal_file(settings)
    except UsageError as error:
        verdict: Verdict = "wrong" if is_named(settings) else "doubtful"
        yield Observation(about="journal", verdict=verdict, what=str(error), fix=ELSEWHERE)
        return
    yield from _disk(file)
    if not exists(file):
        yield Observation(about="journal", what=f"{file}: no run has been kept yet")
        return
    if not is_file(file):
        yield Observation(
            about="journal", verdict="wrong", what=f"{file} is not a regular file", fix=ELSEWHERE
        )
        return
    try:
        found = list(_content(file, settings))
    except JournalError as error:
        yield Observation(about="journal", verdict="wrong", what=str(error), fix=_way_out(file, str(error)))
        yield from _users(file)
        return
    yield from _rights(file)  # of what is a journal: those of another program's file are not ours to change
    yield from found


def _disk(file: Path) -> Iterator[Observation]:
    from samovar.journal.mounts import is_over_network

    if is_over_network(file.parent):
        what = f"{file} is on a file system of another machine, where SQLite's locks may not hold"
        yield Observation(about="journal", verdict="doubtful", what=what, fix=ELSEWHERE)


def _rights(file: Path) -> Iterator[Observation]:
    try:
        mode = file.stat().st_mode
    except OSError:  # which whoever opens it will say
        return
    if mode & 0o077:
        fix = f"chmod 600 {shlex.quote(str(file))}"
        yield Observation(about="journal", verdict="doubtful", what=f"{file} may be read by others", fix=fix)


def _content(file: Path, settings: Settings) -> Iterator[Observation]:
    from samovar.journal.looking import CHECK_S, KNOWN_SCHEMA, look

    found = look(file)
    size = f"{in_words(found.size_bytes)} of {in_words(settings.journal_bytes)}"
    parts = [f"{file}: {counted(found.runs, 'run')}, {size}", f"schema {found.schema}"]
    if found.schema < KNOWN_SCHEMA:
        parts.append(f"the next run that is kept brings it to {KNOWN_SCHEMA}")
    if found.driven:
        parts.append(f"{counted(len(found.driven), 'run')} in progress: {', '.join(found.driven[:5])}")
    if found.damage is not None:
        what = f"{file} is damaged: {' '.join(found.damage.split())[:200]}"
        yield Observation(about="journal", verdict="wrong", what=what, fix=_recover(file))
        return
    if not found.is_checked:
        what = f"{'; '.join(parts)}; the look for damage was broken off after {lasting(CHECK_S)}"
        fix = f"sqlite3 {shlex.quote(str(file))} 'PRAGMA quick_check'"
        yield Observation(about="journal", verdict="doubtful", what=what, fix=fix)
        return
    yield Observation(about="journal", what="; ".join([*parts, "whole"]))


def _users(file: Path) -> Iterator[Observation]:
    from samovar.journal.looking import users_of

    if users := users_of(file):
        yield Observation(about="journal", what=f"{file} is open in {', '.join(users[:10])}")


def _way_out(file: Path, said: str) -> str:
    if "later version" in said:
        return install_command("--upgrade", "samovar")
    if "damaged" in said:
        return _recover(file)
    return ELSEWHERE


def _recover(file: Path) -> str:
    name = shlex.quote(str(file))
    damaged = shlex.quote(f"{file}.damaged")
    return f"mv {name} {damaged} && sqlite3 {damaged} .recover | sqlite3 {name}"
