"""Where a command's prompts will be answered: by a running daemon or in this process.

Above: `run.py`, `rows.py` and `chat_models.py`. Below: the app, which finds the daemon.
"""

from __future__ import annotations

from samovar.app import budget_bytes
from samovar.cli.showing import shown
from samovar.cli.terminal import say
from samovar.config import Settings
from samovar.executors.finding import find_daemon


def room_bytes(settings: Settings) -> int:
    """The bytes that models may take where prompts will be answered.

    A line on standard error says so if a daemon runs that does not answer for these settings.
    """
    daemon, line = find_daemon(settings)
    if line is not None:
        say(f"samovar: {shown(line)}")
    return budget_bytes(settings) if daemon is None else daemon.hello.budget_bytes
