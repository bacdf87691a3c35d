"""The values of a file of cases, checked for their types: a map, a text, a count, each with its place.

Above: `case_file.py`. Below: YAML within bounds. It does not know what a key means, nor which keys there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from samovar.errors import Fault, Place, nearest
from samovar.language.yaml_document import FrontMatter
from samovar.values import duration_s, to_text

Step = str | int
"""One step of the path to a value: a key, or an index from 0."""


class CheckedValues:
    """The values of one file. Mutable: the faults found so far."""

    def __init__(self, matter: FrontMatter, path: Path) -> None:
        self.matter, self.path = matter, path
        self.faults: list[Fault] = []
        for steps in matter.twice:
            self.fault("duplicate-key", f"{str(steps[-1])!r} appears here for the second time.", *steps)

    def place(self, *steps: Step) -> Place:
        """The place of a value, or the nearest known place around it."""
        for length in range(len(steps), 0, -1):
            if found := self.matter.spots.get(steps[:length]):
                return Place(path=self.path, line=found[0] - 1, column=found[1])
        return Place(path=self.path, line=1)

    def fault(self, code: str, message: str, *steps: Step) -> None:
        """Notes mistakes in the value at the end of these steps."""
        self.faults.append(Fault(code=code, message=message, place=self.place(*steps)))

    def map(self, value: Any, what: str, keys: Sequence[str] | None, *at: Step) -> dict[str, Any]:
        """The map, with text keys; empty if it is none. `keys` are all that it may have; None: any."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.fault("case", f"{what} must be `key: value` lines.", *at)
            return {}
        found = {to_text(key): item for key, item in value.items()}
        for key in found:
            if keys is not None and key not in keys:
                hint = nearest(key[:100], keys)
                self.fault("unknown-key", f"{what} has the unknown key {key!r}.{hint}", *at, key)
        return found

    def text(self, value: Any, what: str, *at: Step) -> str | None:
        """The text; None if it is none. `what` names it in the fault."""
        if isinstance(value, str):
            return value
        hint = (
            ""
            if isinstance(value, list | dict)
            else f", but {to_text(value) or 'null'!r:.40} is not a text: write it in quotes"
        )
        self.fault("case", f"{what} must be a text{hint}.", *at)
        return None

    def texts(self, value: Any, what: str, *at: Step) -> Iterator[str]:
        """The texts of a list, without what is none."""
        if not isinstance(value, list):
            self.fault("case", f"{what} must be a list of texts.", *at)
            return
        for index, item in enumerate(value):
            text = self.text(item, f"Each of {what}", *at, index)
            if text is not None:
                yield text

    def count(self, values: Mapping[str, Any], key: str, *at: Step) -> int:
        """The number at `key`, which is there; 0 if it is none that counts."""
        count = values[key]
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            self.fault("case", f"`{key}` must be a whole number of at least 0.", *at, key)
            return 0
        return count

    def duration_s(self, values: Mapping[str, Any], key: str, *at: Step, otherwise: str = "") -> float | None:
        """The seconds of the duration at `key`; None if there is none. `otherwise` ends the fault's list."""
        if key not in values:
            return None
        try:
            return duration_s(values[key])
        except ValueError:
            said = f"`{key}` must be a duration, as in 30, 30s or 2min{otherwise}."
            self.fault("case", said, *at, key)
            return None
