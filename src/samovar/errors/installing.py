"""The command that installs a package where this process would find it: by its own interpreter's pip.

Above: messages about packages that are missing. Below: the interpreter.
"""

from __future__ import annotations

import shlex
import sys


def install_command(*requirements: str) -> str:
    """`/…/python -m pip install 'samovar[openai]'`, as a shell reads it."""
    words = (sys.executable or "python", "-m", "pip", "install", *requirements)
    return shlex.join(words)
