"""The folder of models from packages, in the user's cache: `package:NAME/FILE.gguf`.

Above: `stores.py`, `package.py`. Below: `stored.py`. A file comes into it by `os.replace` only, from a
temporary folder beside it, so that what is there is whole.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from samovar.errors import ModelFetchError, ModelNotFoundError
from samovar.files import is_file, is_folder
from samovar.models.reference import ALIASES, Reference, Scheme, is_package_file
from samovar.models.stored import Stored

LEFTOVER_AGE_S = 86_400
_TEMPORARY = ".fetching-"


class Store:
    """See `stored.ModelStore`. Use `temporary` to bring something in."""

    scheme: ClassVar[Scheme] = "package"
    title: ClassVar[str] = "Samovar's own cache"

    def __init__(self, root: Path | None = None) -> None:
        """`root`: the cache folder; None is the user's own."""
        self._root = _own_cache() if root is None else _whole(root)

    @property
    def is_anywhere(self) -> bool:
        """Whether there is a folder for it: not for a user without a home folder, if none is set."""
        return self._root is not None

    @property
    def folder(self) -> Path:
        """Where models are, or would be. Raises `ModelFetchError` if there is no place for it."""
        if self._root is None:
            raise ModelFetchError(
                "There is no home folder to keep models in. Set HOME, or SAMOVAR_CACHE_FOLDER to a folder "
                "that you may write to."
            )
        return self._root / "models"

    def path_of(self, package: str, version: str | None, file: str) -> Path:
        """Where a package's file is, or would be. Two files of a wheel may share a name: folders are kept."""
        return self.folder / (f"{package}=={version}" if version else package) / file

    def files(self) -> list[Path]:
        """The models that are there, sorted."""
        try:
            found = (
                list(self.folder.glob("*/**/*.gguf")) if self.is_anywhere and is_folder(self.folder) else []
            )
        except (OSError, RecursionError):
            return []
        return sorted(
            path for path in found if not path.relative_to(self.folder).parts[0].startswith(_TEMPORARY)
        )

    def find(self, reference: Reference) -> Path:
        path = self.path_of(reference.package or "", reference.version, reference.file or "")
        if not is_file(path):
            raise ModelNotFoundError(f"{reference.text} has not been fetched: samovar pull {reference.text}")
        return path

    def listed(self) -> Iterator[Stored]:
        for path in self.files():
            inside = path.relative_to(self.folder).as_posix()
            reference = f"package:{inside}"
            if is_package_file(inside):
                short = [alias for alias, target in ALIASES.items() if target == reference]
                names = (*short, reference)
                yield Stored(reference=names[0], scheme=self.scheme, path=path, names=names[1:])

    def remove(self, reference: Reference) -> int:
        path = self.find(reference)
        freed = path.stat().st_size
        path.unlink()
        for folder in path.parents:
            if folder == self.folder:
                break
            try:
                folder.rmdir()
            except OSError:  # there is more in it
                break
        return freed

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """A folder on the same file system as the models; it is gone afterwards, on every path.

        Raises `ModelFetchError` when the store cannot be written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=self.folder))
        except OSError as error:
            raise ModelFetchError(
                f"Models cannot be stored in {self.folder}: {error.strerror or error}. "
                "Set SAMOVAR_CACHE_FOLDER to a folder with room that you may write to."
            ) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _sweep(self) -> None:
        """Removes what killed fetches left behind."""
        for folder in self.folder.glob(_TEMPORARY + "*"):
            try:
                if time.time() - folder.stat().st_mtime > LEFTOVER_AGE_S:
                    shutil.rmtree(folder, ignore_errors=True)
            except OSError:
                continue


def _own_cache() -> Path | None:
    """The user's own cache folder; None for a user without a home folder."""
    import platformdirs

    try:
        folder = platformdirs.user_cache_path("samovar")
    except RuntimeError:  # neither HOME nor the system knows of one
        return None
    return folder if folder.is_absolute() else None


def _whole(folder: Path) -> Path | None:
    """A folder that may begin with `~`; None if there is no home folder for that."""
    try:
        return folder.expanduser()
    except RuntimeError:
        return None
