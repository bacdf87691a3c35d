"""Replaces small files and links that others may be reading or writing: completely or not at all.

Above: the hub's cache and its fetches, `glances.py`, `tuned.py`. Below: nothing. It is done by `os.replace`,
from a name that no other program or thread uses.
"""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path


def write_over(path: Path, content: str | bytes) -> None:
    """Replaces a small file; a text is in UTF-8. Raises `OSError`."""
    temporary = _name_beside(path)
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def link_to(target: Path, link: Path) -> None:
    """Gives a file one more name, or a copy if the system has no links. Raises `OSError`."""
    if os.path.realpath(link) == os.path.realpath(target):
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    temporary = _name_beside(link)
    try:
        try:
            temporary.symlink_to(os.path.relpath(target, link.parent))
        except OSError:
            shutil.copyfile(target, temporary)
        os.replace(temporary, link)
    finally:
        temporary.unlink(missing_ok=True)


def _name_beside(path: Path) -> Path:
    return path.with_name(f".{os.getpid()}-{threading.get_ident()}.samovar")
