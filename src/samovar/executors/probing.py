"""Whether an executor could answer from here: its program is found, its endpoint answers, its key is there.

Above: `samovar doctor`, and whoever asks before a run. Below: the table, and a member's own `probe` where it
has one; else what its declaration says is enough. Nothing is asked of a model, no key is sent or shown.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

from samovar.config.declared import DeclaredExecutor
from samovar.config.keys import NoKeyError, is_place, read_key
from samovar.config.masking import masked
from samovar.config.providers import PROGRAMS, PROVIDERS
from samovar.processes.given_variables import TEMPORARY, allowed

PROBE_S = 3.0
"""Within which a program or an endpoint has to answer."""
LAUNCHERS = frozenset(
    (
        "npx",
        "bunx",
        "uvx",
        "uv",
        "pipx",
        "docker",
        "podman",
        "node",
        "deno",
        "bun",
        "env",
        "sh",
        "bash",
        "sudo",
    )
)
"""Programs that start another one: their own version says nothing, and they may fetch what they start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One thing that was found out."""

    is_good: bool
    what: str
    """For a person; without secrets."""
    fix: str | None = None
    """A command, or what to write where."""


@runtime_checkable
class Probed(Protocol):
    """A member's class that finds out by itself."""

    @classmethod
    def probe(cls, declared: DeclaredExecutor) -> Sequence[Probe]:
        """What is found within `PROBE_S`, in a thread of its own. Raises nothing but `SamovarError`."""
        ...


def probe_declared(declared: DeclaredExecutor) -> list[Probe]:
    """What the declaration alone lets one find out."""
    name = declared.name
    kind = declared.kind or name
    program, provider = PROGRAMS.get(kind), PROVIDERS.get(kind)
    words = declared.command or ((program.name,) if program else ())
    url = declared.url or (os.environ.get(provider.url_variable, "") if provider else "")
    found: list[Probe] = []
    if words:
        found.append(probe_program(words, f"command in {declared.table}", asks_version=True))
    if url:
        found.append(probe_endpoint(url))
    if declared.key is not None:
        found.append(probe_place(declared.key, f"key in {declared.table}"))
    elif provider and not url:
        found.append(probe_place(f"env:{provider.key_variable}", f"key in {declared.table}"))
    found += probe_variables(declared.environment)
    return found


def probe_program(words: Sequence[str], where: str, *, asks_version: bool = False) -> Probe:
    """Whether a program is there, and if it is asked for, which version. `where`: what names it."""
    path = shutil.which(words[0])
    if path is None:
        return Probe(
            is_good=False,
            what=f"the program {masked(words[0])!r} is not found on PATH",
            fix=f"install it, or give its whole path as {where}",
        )
    is_launcher = Path(words[0]).name in LAUNCHERS or Path(words[0]).name.startswith("python")
    version = None if is_launcher or not asks_version else version_of(path)
    return Probe(is_good=True, what=path + (f" ({version})" if version else ""))


def version_of(path: str, timeout_s: float = PROBE_S) -> str | None:
    """What `PROGRAM --version` says on its first line; None if it says nothing in time."""
    try:
        process = subprocess.Popen(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=allowed((TEMPORARY,)),
            start_new_session=True,
        )
    except (OSError, ValueError):
        return None
    try:
        said, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        end_group(process)
    lines = said[:1000].decode("utf-8", "replace").strip().splitlines()
    return lines[0][:80] if lines else None


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that was started in a session of its own, and all it has started in there."""
    import signal

    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()
    process.wait()


def probe_endpoint(url: str, timeout_s: float = PROBE_S) -> Probe:
    """Whether something answers there by HTTP, whatever it says."""
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    shown = masked(url)
    if not is_url(url):
        return Probe(
            is_good=False, what=f"{shown} is not the URL of an endpoint", fix="write http://… or https://…"
        )
    if "@" in urlsplit(url).netloc:
        return Probe(
            is_good=False,
            what=f"{shown} has a name or a password in it",
            fix="take them out, and name the key with `key`",
        )
    try:
        with urlopen(Request(url, method="GET"), timeout=timeout_s):
            pass
    except HTTPError as error:  # it answers: what was asked for does not matter
        error.close()
    except (OSError, URLError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return Probe(
            is_good=False,
            what=f"{shown} does not answer: {masked(str(reason))}",
            fix=f"start what listens there, and try: curl -sS -o /dev/null {shown}",
        )
    except Exception as error:  # not HTTP at all, which http.client says in many ways
        return Probe(is_good=False, what=f"{shown} does not answer by HTTP: {type(error).__name__}")
    return Probe(is_good=True, what=f"{shown} answers")


def is_url(text: str) -> bool:
    """Whether it can be one of an endpoint."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def probe_place(place: str, where: str) -> Probe:
    """Whether a key is at a place: `env:NAME`, `file:PATH`. It is not shown, nor kept."""
    kind, _, name = place.partition(":")
    if not is_place(place):
        what, fix = f"{where} is not the place of a key", "write env:NAME or file:PATH"
        return Probe(is_good=False, what=what, fix=fix)
    try:
        read_key(place)
    except NoKeyError as error:
        fix = f"export {name}=…" if kind == "env" else f"ls -l {name}"
        return Probe(is_good=False, what=f"no key: {error}", fix=fix)
    if kind == "file" and Path(name).expanduser().stat().st_mode & 0o077:
        return Probe(is_good=False, what=f"the key {place} may be read by others", fix=f"chmod 600 {name}")
    return Probe(is_good=True, what=f"the key {place} is there")


def probe_variables(names: Sequence[str]) -> list[Probe]:
    """Variables that a program is to get: those that are not set."""
    missing = [name for name in names if name not in os.environ]
    fix = f"export {missing[0]}=…" if missing else None
    return [Probe(is_good=False, what=f"not set: {', '.join(missing)}", fix=fix)] if missing else []
