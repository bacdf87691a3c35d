"""All stores of models on this machine, and the one that a reference means.

Above: `app.py`, the command line, `offers.py`. Below: a file for each store, and `stored.py`, their contract.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from samovar.errors import ModelNotFoundError, UsageError
from samovar.models.hub_cache import HubCache, folder_of_hub_cache
from samovar.models.lm_studio import LmStudio, folder_of_lm_studio
from samovar.models.ollama import Ollama, folders_of_ollama
from samovar.models.reference import Reference
from samovar.models.split import first_part, real_path
from samovar.models.store import Store
from samovar.models.stored import ModelStore, Stored


class Stores:
    """Use `find` for a reference, and `listed` for everything."""

    def __init__(self, own: Store, hub: HubCache, ollama: Ollama, lm_studio: LmStudio) -> None:
        self.own, self.hub = own, hub
        self.all: tuple[ModelStore, ...] = (own, hub, ollama, lm_studio)
        self._by_scheme = {store.scheme: store for store in self.all}

    @classmethod
    def of_this_machine(
        cls, cache_folder: Path | None = None, environment: Mapping[str, str] = os.environ
    ) -> Stores:
        """Where the programs that own them keep them. `cache_folder`: Samovar's own; None is the user's."""
        own, home = Store(cache_folder), home_folder()
        return cls(
            own,
            HubCache(
                folder_of_hub_cache(environment, home),
                own.folder.parent / "repositories" if own.is_anywhere else None,
            ),
            Ollama(folders_of_ollama(environment, home)),
            LmStudio(folder_of_lm_studio(home)),
        )

    @property
    def memory(self) -> Path | None:
        """Where it is remembered how headers are read; None: nowhere."""
        return self.own.folder.parent / "headers.json" if self.own.is_anywhere else None

    def find(self, reference: Reference) -> Path:
        """The local file, of several parts the first. Raises `ModelNotFoundError` if it is not here.

        A path is not looked at here: the header's reader reports mistakes in it.
        """
        if reference.path is not None:
            return first_part(reference.path)
        return first_part(self._by_scheme[reference.scheme].find(reference))

    def is_here(self, reference: Reference) -> bool:
        """Whether nothing needs to be fetched."""
        try:
            self.find(reference)
        except ModelNotFoundError:
            return False
        return True

    def listed(self) -> Iterator[Stored]:
        """Every model of every store; a store that cannot be looked through is a row with a fault."""
        for store in self.all:
            try:
                yield from store.listed()
            except (OSError, ValueError, RuntimeError) as error:
                fault = f"{store.title} cannot be read completely: {error}."
                yield Stored(reference=f"{store.scheme}:…", scheme=store.scheme, fault=fault)

    def remove(self, reference: Reference) -> int:
        """Deletes a model of Samovar's own store or of the hub's cache, and returns the bytes that are free.

        Raises `ModelNotFoundError`, and `UsageError` for what is not Samovar's to delete.
        """
        if reference.path is None:
            return self._by_scheme[reference.scheme].remove(reference)
        path = real_path(reference.path)
        for one in self.listed():
            if one.path is not None and real_path(one.path) == path:
                raise UsageError(f"{reference.text} is {one.reference}: use that name to delete it.")
        raise UsageError(
            f"{reference.text} is your own file, outside every model store: delete it like any other file."
        )


def home_folder() -> Path | None:
    """The user's own; None for a user without one."""
    try:
        return Path.home()
    except RuntimeError:
        return None
