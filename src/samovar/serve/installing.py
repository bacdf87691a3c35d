"""A service of the user that starts the daemon: written, and never turned on by itself.

Above: `samovar serve --install`. Below: the system's folders of services: systemd's, or launchd's.
"""

from __future__ import annotations

import os
import plistlib
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from samovar.errors import UsageError
from samovar.files import write_whole

LABEL = "io.samovar.serve"
WORDS = ("-P", "-m", "samovar", "serve")


def unit(program: str) -> str:
    """The service as systemd reads it."""
    escaped = program.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f"""[Unit]
Description=Samovar: loads each model once for all processes

[Service]
ExecStart="{escaped}" {shlex.join(WORDS)}
Restart=on-failure
UMask=0077

[Install]
WantedBy=default.target
"""


def plist(program: str) -> str:
    """The service as launchd reads it."""
    known = {
        "Label": LABEL,
        "ProgramArguments": [program, *WORDS],
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
    }
    return plistlib.dumps(known).decode()


def install(put: Callable[[str], None]) -> int:
    """Writes the service, unless another is there, and shows how to turn it on. Raises `UsageError`."""
    home = Path.home()
    if sys.platform == "darwin":
        path, text = home / "Library" / "LaunchAgents" / f"{LABEL}.plist", plist(sys.executable)
        ways = (f"launchctl bootstrap gui/{os.getuid()} {shlex.quote(str(path))}",)
        off = f"launchctl bootout gui/{os.getuid()}/{LABEL}"
    else:
        config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
        path, text = config / "systemd" / "user" / "samovar.service", unit(sys.executable)
        ways = ("systemctl --user daemon-reload", "systemctl --user enable --now samovar")
        off = "systemctl --user disable --now samovar"
    if path.exists() and path.read_text(encoding="utf-8", errors="replace") != text:
        raise UsageError(f"{path} is there already and is another one. Delete or move it first.")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)
    put(f"{path}\n\nTurn it on:\n" + "".join(f"  {way}\n" for way in ways) + f"Turn it off:\n  {off}\n")
    return 0
