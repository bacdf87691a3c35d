"""What a check-up finds in folders: settings, trust, stores of models, the default one, what is left over.

Above: `doctor.py`. Below: the settings, the projects, the stores. Nothing is written and nothing is fetched.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from samovar.app import budget_bytes, kept_tunings, open_store, open_stores, read_reference
from samovar.cli.checkup import Observation, Verdict
from samovar.config import Settings, settings_known
from samovar.config.masking import masked
from samovar.config.origins import files_there, read_origins
from samovar.config.strange_variables import strange_variables
from samovar.errors import ModelError, SamovarError
from samovar.errors.counting import counted
from samovar.executors.table import LOCAL, declared_executor, names_of
from samovar.files import exists, is_folder
from samovar.folders import PROJECT_FOLDERS, current_folder
from samovar.memory import in_words
from samovar.projects import trust
from samovar.projects.opening import uncounted
from samovar.projects.places import levels, state_folder, user_folder

LITTLE_DISK_BYTES = 1_000_000_000


def settings_read(error: SamovarError | None) -> Iterator[Observation]:
    """`error`: why they cannot be read."""
    if error is not None:
        for line in str(error).splitlines():
            yield Observation(
                about="settings", verdict="wrong", what=line, fix="mend it where the message says"
            )
        return
    files = [str(file.path) for file in files_there()]
    yield Observation(
        about="settings", what=f"from {', '.join(files)}" if files else "no file of them; the defaults"
    )
    for sentence in strange_variables().values():
        yield Observation(about="settings", verdict="doubtful", what=sentence, fix="samovar config")
    for note in read_origins().notes:
        fix = "write it in .samovar/config.toml"
        yield Observation(
            about="settings", verdict="doubtful", what=f"not taken over: {masked(note)}", fix=fix
        )


def project_trust() -> Iterator[Observation]:
    if trust.is_trusted_by_environment():
        yield Observation(about="trust", what=f"every project is trusted: {trust.VARIABLE} says so")
        return
    closed = uncounted(settings_known())
    for one in closed:
        yield Observation(about="trust", verdict="doubtful", what=one.line, fix=one.command)
    if closed:
        return
    for folder in levels(current_folder()):
        if any(is_folder(folder / name) for name in PROJECT_FOLDERS):
            kept = trust.kept_of(folder)
            how = "is trusted" if kept else "is not trusted; none of its settings opens anything"
            yield Observation(about="trust", what=f"{folder} {how}")
            return
    yield Observation(about="trust", what="no project here")


def stores(settings: Settings) -> Iterator[Observation]:
    """Each with the models in it."""
    for store in open_stores(settings).all:
        try:
            found = list(store.listed())
        except (OSError, ValueError, RuntimeError) as error:
            what = f"{store.title} cannot be looked through: {error}"
            yield Observation(about="models", verdict="doubtful", what=what)
            continue
        good = sum(one.path is not None for one in found)
        yield Observation(about="models", what=f"{store.title}: {counted(good, 'model')}")
        for one in found:
            if one.path is None and one.fault:
                yield Observation(about="models", verdict="doubtful", what=f"{store.title}: {one.fault}")


def default_model(settings: Settings) -> Iterator[Observation]:
    """Whether prompts that name no model can be answered."""
    from samovar.models.capabilities import Capability
    from samovar.models.fitting import predict_fitting
    from samovar.models.header import read_header, require

    model, found = settings.model, open_stores(settings)
    reference = read_reference(settings, model)
    if not found.is_here(reference):
        pull = f"samovar pull {model}"
        if not reference.is_fetched:
            try:
                found.find(reference)
            except ModelError as error:
                yield Observation(about="model", verdict=_as_needed(settings), what=str(error))
            return
        when = "the settings say offline" if settings.offline else "the first prompt fetches it"
        verdict: Verdict = _as_needed(settings) if settings.offline else "doubtful"
        yield Observation(about="model", verdict=verdict, what=f"{model} is not here yet; {when}", fix=pull)
        return
    try:
        header = read_header(found.find(reference))
        require(header, Capability.ANSWER, name=model)
        budget = budget_bytes(settings)
        cost = predict_fitting(
            header, budget, kv_type=settings.kv_type, asked_tokens=settings.context_tokens, name=model
        )
    except ModelError as error:
        fix = f"samovar rm {model} && samovar pull {model}" if reference.is_fetched else "samovar models"
        yield Observation(about="model", verdict=_as_needed(settings), what=str(error), fix=fix)
        return
    what = f"{model}: {in_words(cost.total_bytes)} in memory with {cost.context_tokens} tokens"
    if cost.total_bytes > budget:
        more = f"{what}, but models may take {in_words(budget)}"
        yield Observation(
            about="model", verdict=_as_needed(settings), what=more, fix=f"samovar models {model}"
        )
    else:
        yield Observation(about="model", what=f"{what}, fits")


def _as_needed(settings: Settings) -> Verdict:
    """`wrong` if some prompt would need a model on this machine, else `doubtful`."""
    try:
        kinds = [declared_executor(name, settings).kind for name in names_of(settings.executor)]
    except SamovarError:  # which is found elsewhere
        return "doubtful"
    return "wrong" if LOCAL in kinds else "doubtful"


def folders(settings: Settings) -> Iterator[Observation]:
    """Those that are written to: whether that can be, and what room there is."""
    store = open_store(settings)
    cache = store.folder.parent if store.is_anywhere else None
    places = {"cache": cache, "state": state_folder(), "config": user_folder()}
    for name, folder in places.items():
        if folder is None:
            fix = "export HOME=… (or SAMOVAR_CACHE_FOLDER=… for models alone)"
            yield Observation(about="folders", verdict="doubtful", what=f"no home folder for {name}", fix=fix)
            continue
        # What is there is looked at; of what is not, the folder that it would be made in.
        there = next((one for one in (folder, *folder.parents) if exists(one)), None)
        if there is None or not is_folder(there) or not os.access(there, os.W_OK | os.X_OK):
            fix = f"ls -ld {there or folder}" if name != "cache" else "export SAMOVAR_CACHE_FOLDER=…"
            what = f"{name}: {folder} cannot be written to"
            yield Observation(about="folders", verdict="doubtful", what=what, fix=fix)
            continue
        free = shutil.disk_usage(there).free
        what = f"{name}: {folder}, {in_words(free)} free"
        if name == "cache" and free < LITTLE_DISK_BYTES:
            yield Observation(about="folders", verdict="doubtful", what=what, fix="samovar snapshots --clear")
        else:
            yield Observation(about="folders", what=what)


def leftovers(settings: Settings) -> Iterator[Observation]:
    """What Samovar keeps on disk besides models, and what was broken off."""
    store = open_store(settings)
    if not store.is_anywhere:
        return
    root = store.folder.parent
    tuned = kept_tunings(settings)
    if tuned is not None and (kept := _files(tuned.folder, "*.json")):
        what = f"{len(kept)} measured by `samovar tune`, in {tuned.folder}"
        yield Observation(about="leftovers", what=f"{what}; the setting tune is {settings.tune}")
    copies = _files(root / "snapshots", "*")
    size = sum(map(_size, copies))
    what = f"{in_words(size)} of evaluated prompts, of {in_words(settings.snapshots_bytes)}"
    if size > max(settings.snapshots_bytes * 1.1, 1_000_000):
        fix = "samovar snapshots --clear"
        yield Observation(about="leftovers", verdict="doubtful", what=f"{what}: more than it may be", fix=fix)
    elif copies:
        yield Observation(about="leftovers", what=what)
    for part in sorted(set(store.folder.glob(".fetching-*")) if is_folder(store.folder) else ()):
        what = f"{part} is of a fetch that was broken off; the next fetch removes it after a day"
        yield Observation(about="leftovers", verdict="doubtful", what=what, fix=f"rm -r {part}")


def _files(folder: Path, pattern: str) -> list[Path]:
    try:
        return [path for path in folder.rglob(pattern) if path.is_file()]
    except OSError:
        return []


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
