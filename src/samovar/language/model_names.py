"""Names in a front matter, with their places: of an executor, or of a model that may be beside its file.

Above: the values of workflows, and whatever looks for models. Below: the errors. It loads nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from samovar.errors import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A name in the front matter."""

    text: str
    """As written."""
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelName(Named):
    """A model as a file names it. A relative file is looked for beside that file, no matter who uses the
    name."""

    folder: Path | None
    """Folder of the file that names it; None for a text without a file."""

    @property
    def reference(self) -> str:
        """The model reference: beside the file that names it, if that is a model's file, else as written."""
        return beside(self.folder, self.text)


def beside(folder: Path | None, model: str) -> str:
    """The reference for a model that is named in `folder`, where its file may be."""
    if folder is None or ":" in model or not model.endswith(".gguf"):
        return model
    path = folder / model
    return str(path) if path.is_file() else model
