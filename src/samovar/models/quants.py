"""Which of a repository's files is meant: by a quantization such as `Q4_K_M`, or by none at all.

Above: the stores that keep repositories. Below: `split.py`. The rules are those of llama.cpp's `-hf`
(`common/download.cpp`): `Q4_K_M` if it is there, else the first of `Q4…`, else the first; upper and lower
case are the same. Files that belong to a model without being one are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from samovar.models.split import first_name

USUAL = "Q4_K_M"
"""What is taken where nobody says what."""
_LABEL = re.compile(
    r"(?:^|[-._/])((?:I?Q\d|TQ\d|MXFP\d|NVFP\d|BF16|F16|F32)[A-Z0-9_]*)(?=[-._/]|$)", re.IGNORECASE
)


def is_model_file(name: str) -> bool:
    """Whether it may answer: no projector, importance matrix, or head that only predicts further tokens."""
    base = name.rpartition("/")[2].lower()
    beside = "mmproj" in base or "imatrix" in base or base.startswith("mtp-")
    return base.endswith(".gguf") and not beside


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
    usual = (name for name in models if _has(name, USUAL))
    fours = (name for name in models if (quant_of(name) or "").startswith("Q4"))
    return next((name for those in (usual, fours, iter(models)) for name in those), None)


def _has(name: str, quant: str) -> bool:
    """Whether a part of the name, between dots, hyphens and slashes, is this quantization."""
    pattern = rf"(?:^|[-._/]){re.escape(quant)}(?=[-./])"
    return re.search(pattern, name, re.IGNORECASE) is not None
