"""Hides secrets: the texts of all values that a secret ever had, and copies without them.

Above: the recorder of a run, which makes every copy, and doors that show values before a run. Below: the
values. It replaces texts in whatever is shown or kept; the values of a run stay as they are.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from samovar.errors import FaultsError, SamovarError
from samovar.values import Record, to_text

HIDDEN = "***"
"""Stands where a secret was."""
LEAST_CHARS = 6
"""Characters of a text that is hidden everywhere: a shorter one occurs in other texts by chance."""
LEAST_CUT_CHARS = 4
"""Characters of the rest of a secret beside `…`, where a text was cut."""

_WHOLE_FIELDS = frozenset({"what", "value", "sets", "text"})
"""Fields of events with texts and values of the run. A short secret is hidden there too, if it is all of
one."""

T = TypeVar("T")


class Secrets:
    """The texts to hide. Mutable: it only learns."""

    def __init__(self, values: Iterable[object] = ()) -> None:
        self._texts: set[str] = set()
        self._values: set[str] = set()
        for value in values:
            self.learn(value)

    @property
    def texts(self) -> frozenset[str]:
        """All that are hidden."""
        return frozenset(self._texts)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is hidden within texts."""
        return not self._texts

    def learn(self, value: object) -> None:
        """From now on no text of the value is shown: of a list or a map each one in it, long keys too."""
        known = len(self._texts)
        for text in texts_in(value):
            if text in self._values:
                continue
            self._values.add(text)
            self._texts.update(forms_of(text))
        if len(self._texts) != known:
            self.__dict__.pop("_pattern", None)

    @property
    def has_short(self) -> bool:
        """Whether one is too short to be hidden within other texts."""
        return any(len(value) < LEAST_CHARS for value in self._values)

    def mask_whole(self, text: str) -> str:
        """As `mask`, and nothing of a text that is a secret, however short."""
        return HIDDEN if text.strip() in self._values else self.mask(text)

    def is_in(self, text: str) -> bool:
        """Whether a secret is in the text, however short it is."""
        return any(value in text for value in self._values)

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        """Finds the longest secret if several begin."""
        found = sorted(self._texts, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, found))) if found else None

    def mask(self, text: str) -> str:
        """The text without secrets, nor the rest of one beside `…`, where it was cut."""
        if self._pattern is None:
            return text
        text = self._pattern.sub(HIDDEN, text)
        return self._without_rests(text) if "…" in text else text

    def _without_rests(self, text: str) -> str:
        parts = text.split("…")
        for number in range(len(parts)):
            if 0 < number < len(parts) - 1 and self._is_within_one(parts[number]):
                parts[number] = HIDDEN  # it was cut at both ends
                continue
            if number < len(parts) - 1:
                length = max(_overlap(parts[number], secret) for secret in self._texts)
                if length >= LEAST_CUT_CHARS:
                    parts[number] = parts[number][:-length] + HIDDEN
            if number:
                length = max(_overlap(parts[number][::-1], secret[::-1]) for secret in self._texts)
                if length >= LEAST_CUT_CHARS:
                    parts[number] = HIDDEN + parts[number][length:]
        return "…".join(parts)

    def _is_within_one(self, part: str) -> bool:
        return len(part) >= LEAST_CUT_CHARS and any(part in secret for secret in self._texts)

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where whole secrets are."""
        return (found.span() for found in self._pattern.finditer(text)) if self._pattern else iter(())

    def copy(self, value: T) -> T:
        """A value, an event or a record without secrets. What has none in it comes back as it is."""
        return self._copy(value) if self._values else value  # type: ignore[return-value]

    def copy_value(self, value: object) -> object:
        """As `copy`, for a value of the run: each text in it that is a secret is hidden, however short."""
        return self._copy(value, whole=True) if self._values else value

    def _copy(self, value: object, *, whole: bool = False) -> object:
        mask, known = (self.mask_whole, self._values) if whole else (self.mask, self._texts)
        if isinstance(value, Enum | Path):
            return value
        if isinstance(value, Record):
            parts = {name: self._copy(part, whole=whole) for name, part in value.parts.items()}
            return Record(mask(str(value)), parts)
        if isinstance(value, str):
            return mask(value)
        if isinstance(value, Mapping):
            return self._copy_map(value, whole=whole, whole_keys=whole)
        if isinstance(value, list | tuple):
            return type(value)(self._copy(item, whole=whole) for item in value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._copy_fields(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and to_text(value) in known:
            return HIDDEN
        return value

    def _copy_map(
        self, value: Mapping[Any, object], *, whole: bool, whole_keys: bool
    ) -> dict[object, object]:
        """With as many keys as before, also if several are hidden."""
        copies: dict[object, object] = {}
        for key, item in value.items():
            shown = self._copy(key, whole=whole_keys)
            if shown in copies or (shown != key and shown in value):
                shown = next(one for n in count(2) if (one := f"{shown} ({n})") not in copies)
            copies[shown] = self._copy(item, whole=whole)
        return copies

    def _copy_fields(self, value: Any) -> object:
        now = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
        copies = {name: self._copy(one, whole=name in _WHOLE_FIELDS) for name, one in now.items()}
        if "sets" in now:  # its keys are names of variables
            copies["sets"] = self._copy_map(now["sets"], whole=True, whole_keys=False)
        return value if copies == now else dataclasses.replace(value, **copies)

    def copy_values(self, value: object) -> object:
        """A copy of maps and lists whose names are known to all, as of an object for programs, and stay."""
        if isinstance(value, Mapping):
            return {name: self.copy_values(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.copy_values(item) for item in value]
        return self.copy(value)

    @contextmanager
    def kept_out_of_errors(self) -> Iterator[None]:
        """Errors that are raised within say nothing of secrets."""
        try:
            yield
        except SamovarError as error:
            error.message = self.mask(error.message)
            error.args = (error.message,)
            if isinstance(error, FaultsError):
                error.faults = self.copy(error.faults)
            raise

    def held_back(self, text: str) -> int:
        """How many characters at the end of a text that grows may become a secret."""
        return max((_overlap(text, secret, whole=False) for secret in self._texts), default=0)


class Stream:
    """A text that comes in pieces, without secrets. Mutable: what is held back, since it may become one."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets, self._held = secrets, ""

    def next(self, piece: str) -> str:
        """What can be shown now."""
        text = self._held + piece
        end = len(text) - self._secrets.held_back(text)
        # A secret whose end may begin another one is held back with it.
        end = next((start for start, after in self._secrets.spans(text) if start < end < after), end)
        self._held = text[end:]
        return self._secrets.mask(text[:end])

    def rest(self) -> str:
        """The held-back part, when no more comes."""
        held, self._held = self._held, ""
        return self._secrets.mask(held)


def _overlap(text: str, secret: str, *, whole: bool = True) -> int:
    """The length of the longest beginning of `secret` that the text ends in; not `whole`: short of it all."""
    most = min(len(text), len(secret) - (not whole))
    first = secret[0]
    start = text.find(first, len(text) - most)
    while start >= 0:
        if secret.startswith(text[start:]):
            return len(text) - start
        start = text.find(first, start + 1)
    return 0


def texts_in(value: object) -> Iterator[str]:
    """The texts of a value; those of a list or a map one by one."""
    if isinstance(value, Mapping):
        keys = (to_text(key) for key in value)
        yield from (key.strip() for key in keys if len(key.strip()) >= LEAST_CHARS)  # a short one is a name
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from texts_in(item)
    elif not isinstance(value, bool) and (text := to_text(value).strip()):
        yield text


def forms_of(value: str) -> Iterator[str]:
    """The texts to hide for one: itself, its lines, and how they are written within others."""
    lines = [line.strip() for line in value.splitlines()]
    on_one = (" ".join(text.split()) for text in (value, *lines))  # as what is shown in brief is written
    as_path = str(Path(value)) if "/" in value and "\0" not in value else value  # without `//` and `/.`
    for text in dict.fromkeys((value, *lines, *on_one, as_path)):
        if len(text) >= LEAST_CHARS:
            yield text
            # Within a map as JSON, and within the quotes of a message.
            yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1])
            yield repr(text + '"')[1:-2]  # as both kinds of quotes in one text are written
