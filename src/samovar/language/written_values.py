"""Converts values of a YAML or JSON file for parameters: texts stay as written.

Above: files of variables, cases, and the arguments of actions. Below: `parameters.py`. It reads no file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from samovar.language.parameters import Parameter
from samovar.values import to_text


def as_written(
    values: Mapping[str, object], parameters: Sequence[Parameter], source: Callable[..., str | None]
) -> dict[str, object]:
    """Values of a YAML or JSON file as the parameters take them: a text parameter gets what was written.

    `source` gives how the number or truth at some steps is written, as `1.10` for 1.1; None if that is not
    known, so that the value's own text is taken.
    """
    kinds = {one.name: "multi_choice" if one.has_texts else one.type for one in parameters}

    def text(value: object, *steps: str | int) -> object:
        return (source(*steps) or to_text(value)) if isinstance(value, bool | int | float) else value

    found = dict(values)
    for name, value in values.items():
        if kinds.get(name) in ("string", "choice", "file", "folder"):
            found[name] = text(value, name)
        elif kinds.get(name) == "multi_choice" and isinstance(value, list):
            found[name] = [text(item, name, index) for index, item in enumerate(value)]
    return found
