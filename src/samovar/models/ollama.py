"""Ollama's store of models, read in place: `ollama:NAME[:TAG]`.

Above: `stores.py`. Below: `stored.py`. A manifest `manifests/HOST/NAMESPACE/NAME/TAG` names the file of its
weights, `blobs/sha256-…`, a GGUF as it was published. Of its other layers the template is another language
than the model's own, which is in the GGUF.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from samovar.errors import ModelFileError, ModelNotFoundError, UsageError, nearest
from samovar.files import exists, is_file, is_folder
from samovar.models.lm_studio import folders_in, from_home
from samovar.models.reference import NEWEST, Reference, Scheme
from samovar.models.stored import Stored

WEIGHTS = "application/vnd.ollama.image.model"
OFFICIAL = "library"
"""The namespace of models whose names have none."""
LONGEST_MANIFEST_BYTES = 1 << 20
_DIGEST = re.compile(r"[A-Za-z0-9_+.-]+[:-][A-Za-z0-9]+")


class Ollama:
    """See `stored.ModelStore`."""

    scheme: ClassVar[Scheme] = "ollama"
    title: ClassVar[str] = "Ollama"

    def __init__(self, folders: Sequence[Path]) -> None:
        """`folders`: each with `manifests` and `blobs` in it, or not there; the first with a model wins."""
        self.folders = tuple(folders)

    def find(self, reference: Reference) -> Path:
        name, tag = reference.name or "", reference.tag
        for folder in self.folders:
            for manifest in _manifests_of(folder, name):
                if is_file(manifest / tag):
                    return _weights(manifest / tag, folder, reference.text)
        self._say_unreadable(reference)
        known = [one.reference.removeprefix("ollama:") for one in self.listed()]
        wanted = _shortest(reference)
        raise ModelNotFoundError(
            f"{reference.text} is not in Ollama's store."
            f"{nearest(wanted, known)} To fetch it: ollama pull {wanted}"
        )

    def _say_unreadable(self, reference: Reference) -> None:
        """Raises `ModelNotFoundError` if a store is there that this user may not read."""
        for folder in self.folders:
            if not _may_be_read(folder):
                raise ModelNotFoundError(
                    f"{reference.text} cannot be looked up: this user may not read {folder}. Join "
                    "the group that owns it (sudo usermod -aG ollama $USER, and log in "
                    "again), or make it readable (sudo chmod -R a+rX on it)."
                )

    def listed(self) -> Iterator[Stored]:
        seen: set[str] = set()
        for folder in self.folders:
            if not _may_be_read(folder):
                yield Stored(
                    reference="ollama:…", scheme=self.scheme, fault=f"This user may not read {folder}."
                )
            for host in folders_in(folder / "manifests"):
                is_usual = is_folder(host / OFFICIAL)
                for manifest in sorted(path for path in _files(host) if path.parent != host):
                    name = _name(manifest, host, is_usual)
                    if name in seen:
                        continue
                    seen.add(name)
                    yield self._stored(name, manifest, folder)

    def _stored(self, name: str, manifest: Path, folder: Path) -> Stored:
        try:
            path, fault = _weights(manifest, folder, name), None
        except (ModelFileError, ModelNotFoundError) as error:
            path, fault = None, error.message
        return Stored(reference=name, scheme=self.scheme, path=path, fault=fault)

    def remove(self, reference: Reference) -> int:
        raise UsageError(
            f"{reference.text} belongs to Ollama, whose models share files. Delete it there: "
            f"ollama rm {_shortest(reference)}"
        )


def _manifests_of(folder: Path, name: str) -> list[Path]:
    """The folders of tags that a name may mean: with or without the host it came from."""
    hosts = folders_in(folder / "manifests")
    first, _, rest = name.partition("/")
    named = [host / rest for host in hosts if rest and host.name == first]
    short = name if "/" in name else f"{OFFICIAL}/{name}"
    return named + [host / short for host in hosts]


def _name(manifest: Path, host: Path, is_usual: bool) -> str:
    """The shortest reference that leads to a manifest."""
    parts = manifest.relative_to(host).parts[:-1]
    if not is_usual:
        parts = (host.name, *parts)
    elif parts[0] == OFFICIAL:
        parts = parts[1:]
    return _bare(f"ollama:{'/'.join(parts)}:{manifest.name}")


def _shortest(reference: Reference) -> str:
    """As Ollama itself calls it."""
    return f"{reference.name}" if reference.tag == NEWEST else f"{reference.name}:{reference.tag}"


def _bare(name: str) -> str:
    return name.removesuffix(f":{NEWEST}")


def _weights(manifest: Path, folder: Path, name: str) -> Path:
    """The file of a manifest's weights."""
    weights = [one for one in _layers(manifest) if isinstance(one, dict) and one.get("mediaType") == WEIGHTS]
    digest = weights[0].get("digest") if weights else None
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ModelFileError(
            f"{name} has no GGUF file in Ollama's store: it is for another engine (such as an -mlx one), or "
            f"runs elsewhere (such as a -cloud one). Its manifest is {manifest}."
        )
    blobs = folder / "blobs"
    if not _may_be_read(blobs):
        raise ModelNotFoundError(f"{name} is in Ollama's store, but this user may not read {blobs}.")
    for blob in (blobs / digest.replace(":", "-"), blobs / digest):
        if is_file(blob):
            return blob
    raise ModelNotFoundError(
        f"{name} is not complete in Ollama's store: {blobs / digest.replace(':', '-')} is "
        f"missing. To fetch it again: ollama pull {name.removeprefix('ollama:')}"
    )


def _layers(manifest: Path) -> list[Any]:
    """What a manifest says of each of its files."""
    try:
        with manifest.open("rb") as file:
            told = json.loads(file.read(LONGEST_MANIFEST_BYTES))
    except OSError as error:
        raise ModelNotFoundError(f"{manifest} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{manifest} is damaged: it is not an Ollama manifest.") from error
    layers = (told.get("layers") or []) if isinstance(told, dict) else []
    if not isinstance(layers, list):
        raise ModelFileError(f"{manifest} is damaged: it is not an Ollama manifest.")
    return layers


def _files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.rglob("*") if is_file(path) and not path.name.startswith(".")]
    except (OSError, ValueError, RecursionError):
        return []


def _may_be_read(folder: Path) -> bool:
    """Whether a folder's names may be read; True if there is none."""
    try:
        next(iter(folder.iterdir()), None)
    except PermissionError:
        return False
    except (OSError, ValueError):
        return True
    return True


def folders_of_ollama(environment: Mapping[str, str], home: Path | None) -> list[Path]:
    """Where Ollama keeps models: what its own variable says, or the user's folder and the service's."""
    own = environment.get("OLLAMA_MODELS", "")
    if own:
        return [from_home(own, home)]
    folders = [] if home is None else [home / ".ollama" / "models"]
    service = Path("/usr/share/ollama/.ollama/models")
    return [*folders, *([service] if exists(service) or not _may_be_read(service) else ())]
