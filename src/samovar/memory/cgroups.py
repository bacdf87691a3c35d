"""The cgroups that limit this process on Linux: its own and all above it, of both versions.

Above: `__init__.py`, and the engine's `cores.py`, each of which reads the files of its controller. Below:
files of `/proc` and `/sys`. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
"""Where `/proc` and `/sys` are; tests have others."""


def folders(root: Path, controller: str) -> Iterator[tuple[Path, int]]:
    """(folder, 1 or 2 for the version whose files are in it), from this process's group up.

    A container sees its own group as the root of the mount, whatever the path in `/proc/self/cgroup` says
    (cgroup_namespaces(7)): so where that path is not under the mount, only the mount itself is looked at.
    """
    for mount, path, version in _hierarchies(root, controller):
        for folder in [mount / path, *(mount / path).parents] if path.parts else [mount]:
            if folder.is_relative_to(mount):
                yield folder, version


def _hierarchies(root: Path, controller: str) -> Iterator[tuple[Path, Path, int]]:
    """(mount, path of this process below it, version) of version 2, and of 1 if it is used."""
    mounts = root / "sys" / "fs" / "cgroup"
    for line in text_of(root / "proc" / "self" / "cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, written = rest.partition(":")
        path = Path(written.lstrip("/"))
        if ".." in path.parts:  # a group outside of what this namespace sees
            path = Path()
        if number == "0" and not controllers:
            unified = mounts / "unified"  # if both versions are mounted
            yield unified if unified.is_dir() else mounts, path, 2
        elif controller in controllers.split(","):
            mount = mounts / controller
            yield mount if mount.is_dir() else mounts / controllers, path, 1


def number_of(text: str) -> int | None:
    """A whole number from 0 on; None for `max` and whatever else there may be."""
    return int(text) if text.strip().isascii() and text.strip().isdigit() else None


def text_of(path: Path) -> str:
    """What is in the file; empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
