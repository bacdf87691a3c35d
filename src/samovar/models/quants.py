"""Chooses a file of a repository: by a quantization such as `Q4_K_M`, or without one.

Above: the stores that keep repositories. Below: `split.py`. The rules are those of llama.cpp's `-hf`
(`common/download.cpp`), so that both take the same file out of the cache that they share: `Q4_K_M` if it is
there, else `Q8_0`, else the first; upper and lower case are the same. Files that belong to a model without
being one are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from samovar.errors import nearest
from samovar.models.split import first_name

USUAL = ("Q4_K_M", "Q8_0")
"""What is taken if nobody says what: the first of these that is there."""
BESIDE = ("mmproj", "imatrix", "mtp-", "eagle3-", "dflash-", "dspark-")
"""In the names of projectors, importance matrices, and heads and drafts that only help to predict."""
_LABEL = re.compile(
    r"(?:^|[-._/])((?:I?Q\d|TQ\d|MXFP\d|NVFP\d|BF16|F16|F32)[A-Z0-9_]*)(?=[-._/]|$)", re.IGNORECASE
)


def is_model_file(name: str) -> bool:
    """Whether it may answer: no projector, importance matrix, or head that only predicts further tokens."""
    base = name.rpartition("/")[2].lower()
    return base.endswith(".gguf") and not any(word in base for word in BESIDE)


def models_of(names: Iterable[str]) -> list[str]:
    """The models among files, each by its first part, in the order of their names."""
    return sorted({first_name(name) for name in names if is_model_file(name)})


def quant_of(name: str) -> str | None:
    """The quantization that a file's name says, in capitals; None if it says none."""
    found = _LABEL.findall(name.removesuffix(".gguf"))
    return found[-1].upper() if found else None


def choose(names: Iterable[str], quant: str | None) -> str | None:
    """The file that is meant, of several parts the first; None if there is none.

    `quant`: None for the usual one.
    """
    models = models_of(names)
    if quant is not None:
        return next((name for name in models if _has(name, quant)), None)
    usual = (name for one in USUAL for name in models if _has(name, one))
    return next(iter([*usual, *models]), None)


def _has(name: str, quant: str) -> bool:
    """Whether a part of the name, between dots, hyphens and slashes, is this quantization."""
    pattern = rf"(?:^|[-._/]){re.escape(quant)}(?=[-./])"
    return re.search(pattern, name, re.IGNORECASE) is not None


def file_meant(names: list[str], file: str | None, quant: str | None) -> str | None:
    """The file that is meant, by its name in upper or lower case, or by its quantization; else None."""
    if file is None:
        return choose(names, quant)
    same = {name.lower(): name for name in names} | {name: name for name in names}
    found = same.get(file, same.get(file.lower()))
    return None if found is None else first_name(found)


def shortest_end(names: list[str], name: str) -> str:
    """What to write after a repository for one of its files: its quantization if that leads to it."""
    quant = quant_of(name)
    return f":{quant}" if quant and choose(names, quant) == name else f"/{name}"


def guess(names: list[str], file: str | None) -> str:
    """A sentence that offers the file that may be meant, or says which models there are."""
    models = models_of(names)
    near = nearest(file, models) if file is not None else ""
    if near.startswith(" Did"):
        return near
    more = f" and {len(models) - 8} more" if len(models) > 8 else ""
    return f" There is: {', '.join(models[:8])}{more}." if models else " There is no GGUF model in it."
