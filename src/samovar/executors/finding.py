"""Whether a daemon runs that may answer: a look that costs nothing if there is none.

Above: `app.py` and the doors. Below: the place of its socket; `daemon.py`, imported only if there is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from samovar.config import Settings
from samovar.files import exists
from samovar.projects.places import SOCKET, serve_folder

if TYPE_CHECKING:
    from samovar.executors.daemon import RunningDaemon


def find_daemon(settings: Settings) -> tuple[RunningDaemon | None, str | None]:
    """The daemon that answers for these settings; and the line about one that does not, if there is one."""
    folder = None if settings.daemon == "off" else serve_folder()
    if folder is None or not exists(folder / SOCKET):
        return None, None
    from samovar.executors.daemon import running_daemon

    return running_daemon(settings)
