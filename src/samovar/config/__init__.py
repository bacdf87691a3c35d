"""The settings: one frozen value from the command line, the environment and files.

Above: `app.py`, the doors, and actions, which find it in their context. Below: `setting.py`, `projects/`, and
pydantic-settings, which is imported when settings are loaded. Nearer wins: flags, then `SAMOVAR_*` variables,
then the project's `.samovar/config.toml`, from the current folder up to the repository's root, then the
user's `config.toml`. What a project's file opens counts only if the user trusts the project.
"""

from __future__ import annotations

from samovar.config.declared import DeclaredExecutor as DeclaredExecutor
from samovar.config.declared import DeclaredServer as DeclaredServer
from samovar.config.loading import load_settings as load_settings
from samovar.config.loading import source_of as source_of
from samovar.config.settings import Settings as Settings
from samovar.config.settings import settings_known as settings_known
