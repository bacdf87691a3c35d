"""The exit statuses of every command, in one table. The docs have it, and a test holds the commands to it.

Above: the errors and endings, each of which has one of these. Below: nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

STATUSES: Mapping[int, str] = {
    0: "It is done: a workflow completed, a script of a conversation ended, nothing is wrong.",
    1: "It was begun and failed: a run failed, was aborted, or went past a limit; a case failed; something "
    "is wrong (`check --strict`, `doctor`, `runs diff`).",
    2: "Nothing was begun: an argument, a file, a variable or a secret is not what the command takes, or a "
    "model or an executor that it needs is not there or cannot answer.",
    3: "A run was stuck: no transition fitted.",
    4: "A run waits for a person, and is kept (`samovar answer`).",
    129: "It was stopped by SIGHUP, as when a terminal is closed.",
    130: "It was stopped by Ctrl-C.",
    141: "Whoever read its output has gone.",
    143: "It was stopped by SIGTERM.",
}
"""By status, what it means."""
