"""Writes a file whole or not at all.

Above: what people are left with (cases, reports of tests). Below: nothing of the project.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from samovar.errors import UsageError


def write_whole(path: Path, text: str) -> None:
    """Replaces a file's content, or makes it; at no moment is there a part of it. Links are followed.

    Raises `UsageError` where it cannot be written; what was there stays.
    """
    target = path.resolve()
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        temporary = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        else:
            temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
