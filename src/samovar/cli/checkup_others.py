"""What a check-up finds of others: executors and their endpoints, servers of tools, optional packages.

Above: `doctor.py`. Below: the executors' table, `probing.py`, `mcp_greeting.py`. No key is sent or shown.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from samovar.cli.checkup import Check, Observation
from samovar.config import DeclaredServer, Settings
from samovar.errors import NotFoundError, SamovarError
from samovar.errors.installing import install_command
from samovar.executors.probing import (
    Probe,
    Probed,
    probe_declared,
    probe_endpoint,
    probe_place,
    probe_program,
    probe_variables,
)
from samovar.executors.table import LOCAL, declared_executor, known_executors, member, names_of
from samovar.files import is_folder

NOT_FOR_USERS = ("test", "bench")
"""Extras that only work on Samovar itself needs."""


def executor_checks(settings: Settings) -> Mapping[str, Check]:
    """One for each executor, since each may have to wait for an answer."""
    chosen = names_of(settings.executor)
    names = dict.fromkeys((*chosen, *known_executors(settings)))
    return {f"executor {name}": partial(_executor, name, settings, name in chosen) for name in names}


def _executor(name: str, settings: Settings, is_chosen: bool) -> Iterator[Observation]:
    is_declared = any(one.name == name for one in settings.executors)
    try:
        declared = declared_executor(name, settings)
        kind: Any = member(name, settings)
    except SamovarError as error:
        fix = "samovar config executor" if isinstance(error, NotFoundError) else "samovar config executors"
        yield Observation(about="executors", verdict="wrong", what=str(error), fix=fix)
        return
    said = f"{name}, of kind {declared.kind}" if declared.kind != name else name
    chosen = ", which answers where no other is named" if is_chosen else ""
    if declared.kind == LOCAL:
        yield Observation(about="executors", what=f"{said}: models on this machine{chosen}")
        return
    probes = kind.probe(declared) if isinstance(kind, Probed) else probe_declared(declared)
    if not probes:
        yield Observation(about="executors", what=f"{said}: nothing to look at{chosen}")
    for one in probes:
        yield _judged("executors", said + chosen, one, is_used=is_declared or is_chosen, is_chosen=is_chosen)


def _judged(about: str, said: str, probe: Probe, *, is_used: bool, is_chosen: bool = False) -> Observation:
    what = f"{said}: {probe.what}"
    if probe.is_good:
        return Observation(about=about, what=what)
    if not is_used:  # a kind that nobody has declared or named
        return Observation(about=about, what=f"{what}; nothing here uses it", fix=probe.fix)
    return Observation(about=about, verdict="wrong" if is_chosen else "doubtful", what=what, fix=probe.fix)


def server_checks(settings: Settings, *, connects: bool) -> Mapping[str, Check]:
    """One for each server. `connects`: those that are programs are started, and greeted."""
    return {f"server {one.name}": partial(_server, one, connects) for one in settings.servers}


def _server(server: DeclaredServer, connects: bool) -> Iterator[Observation]:
    where = server.table
    if bool(server.command) == bool(server.url):
        fix = "samovar config servers"
        what = f"{where} needs a command or a url, and not both"
        yield Observation(about="servers", verdict="wrong", what=what, fix=fix)
        return
    probes = [probe_program(server.command, f"command in {where}")] if server.command else []
    if server.url:
        probes.append(probe_endpoint(server.url))
    probes += [probe_place(place, f"{name} in {where}") for name, place in server.headers.items()]
    probes += probe_variables(server.environment)
    if server.folder is not None and not is_folder_named(server.folder):
        probes.append(Probe(is_good=False, what=f"its folder {server.folder} is not there"))
    for one in probes:
        yield _judged("servers", server.name, one, is_used=True)
    if connects and server.command and probes[0].is_good:
        from samovar.cli.mcp_greeting import greet

        yield _judged("servers", server.name, greet(server), is_used=True, is_chosen=True)


def is_folder_named(text: str) -> bool:
    """Whether a folder is there that may begin with `~`."""
    try:
        return is_folder(Path(text).expanduser())
    except RuntimeError:
        return False


def extras() -> Iterator[Observation]:
    """The optional packages, by the extra that asks for them."""
    try:
        about = importlib.metadata.metadata("samovar")
    except importlib.metadata.PackageNotFoundError:
        yield Observation(
            about="extras", what="Samovar is not installed as a package, so its extras are not known"
        )
        return
    wanted: dict[str, list[str]] = {}
    for line in about.get_all("Requires-Dist") or ():
        if found := re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", line):
            name = re.match(r"[\w.-]+", line)
            wanted.setdefault(found[1], []).append(name[0] if name else line)
    for extra, packages in wanted.items():
        if extra in NOT_FOR_USERS:
            continue
        missing = [package for package in packages if not _is_installed(package)]
        if missing:
            what, fix = f"{extra}: not installed", install_command(f"samovar[{extra}]")
            yield Observation(about="extras", what=what, fix=fix)
        else:
            yield Observation(about="extras", what=f"{extra}: installed")


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
