"""Whether the model of a conversation can answer, before anything is said to it.

Above: `chatting.py`, `chat_commands.py`. Below: what is checked of the models of a run, with the same errors
and exit statuses.
"""

from __future__ import annotations

from samovar.app import open_library
from samovar.cli.drawing import room_bytes
from samovar.config import Settings
from samovar.folders import current_folder
from samovar.preflight.models import check_models
from samovar.running.runner import RunnerSettings
from samovar.running.talking import talk_workflow


def check_model(settings: Settings, model: str | None, executor: str | None) -> None:
    """Raises as `check_models` for a model of this machine that cannot answer. None: what is configured.

    A line on standard error says so if a running daemon cannot be used.
    """
    library = open_library(current_folder())
    asked = RunnerSettings(settings=settings, model=model, executor=executor)
    check_models(talk_workflow(library), library, settings, asked, budget=room_bytes(settings))
