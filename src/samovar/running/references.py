"""References in place of secrets, for what a journal keeps, and the secrets again for a run that continues.

Above: `visiting.py`. Below: `secrecy.py`, which knows how a secret may be written. A reference names the
variable that had the secret; a run that continues is given that again, and so finds the same texts. What a
model or a command wrote cannot be a reference: if one is put, its marks are escaped in all the rest.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from samovar.errors import JournalError
from samovar.values import Record, literal, to_text
from samovar.values.certainty import Answered
from samovar.values.secrecy import forms_of, texts_in

_MARK = "\x00"
_MARKED = re.compile(r"\x00(?:e|s([^\x00]*)\x00)")
_NUMBER = re.compile(r"\x00n([^\x00]*)\x00")

_REFERENCE = re.compile(r"\x00(?:e|[sn]([^#\x00]*)[^\x00]*\x00)")

T = TypeVar("T")


def named(plain: Any) -> Any:
    """What was concealed, in types that JSON has, for people: `[secret NAME]` in place of each reference."""
    if isinstance(plain, str):
        return _REFERENCE.sub(_name_of, plain) if _MARK in plain else plain
    if isinstance(plain, dict):
        return {named(key): named(one) for key, one in plain.items()}
    return [named(one) for one in plain] if isinstance(plain, list) else plain


def _name_of(found: re.Match[str]) -> str:
    return _MARK if found.group(1) is None else f"[secret {found.group(1)}]"


class References:
    """References of one run. Mutable: it only learns."""

    def __init__(self) -> None:
        self._by_text: dict[str, str] = {}
        self._by_name: dict[str, str] = {}
        self._whole: dict[str, str] = {}
        """Texts that are secret only if they are all of a value, being short."""
        self._pattern: re.Pattern[str] | None = None

    @classmethod
    def of(cls, named: Mapping[str, str]) -> References:
        """Those of secrets that are no variables: keys, by the places where they are."""
        references = cls()
        for name, secret in named.items():
            references.learn(name, secret)
        return references

    @property
    def is_empty(self) -> bool:
        """There is no secret."""
        return not self._by_name

    def learn(self, name: str, value: object) -> None:
        """From now on the texts of this value are references. `name`: of the variable, with its path."""
        for number, text in enumerate(texts_in(value)):
            self._add(self._whole, f"{name}#{number}", text)
            for form, written in enumerate(dict.fromkeys(forms_of(text))):
                self._add(self._by_text, f"{name}#{number}:{form}", written)

    def _add(self, texts: dict[str, str], name: str, text: str) -> None:
        self._by_name[name] = text
        if texts.setdefault(text, name) == name:
            self._pattern = None

    def has_secret(self, text: str) -> bool:
        """Whether a secret may be in a text, as it is or as it is written within JSON."""
        known = (*self._by_text, *self._whole)
        return any(one in text or json.dumps(one)[1:-1] in text for one in known)

    def conceal(self, value: T) -> T:
        """A copy with references in place of secrets. Nothing is copied if there is no secret."""
        return value if self.is_empty else self._walk(value, self._conceal_text)  # type: ignore[return-value]

    def reveal(self, value: T) -> T:
        """What was concealed. Raises `JournalError`, which ends the run, for a secret that is not known."""
        return self._walk(value, self._reveal_text)  # type: ignore[return-value]

    def _conceal_text(self, text: str) -> str:
        if text.strip() in self._whole:
            begin, _, end = text.partition(text.strip())
            return f"{begin}{_MARK}s{self._whole[text.strip()]}{_MARK}{end}"
        if self._pattern is None:
            longest = sorted(self._by_text, key=len, reverse=True)
            self._pattern = re.compile("|".join([_MARK, *map(re.escape, longest)]))
        return self._pattern.sub(self._reference, text)

    def _reference(self, found: re.Match[str]) -> str:
        if found.group() == _MARK:
            return f"{_MARK}e"
        return f"{_MARK}s{self._by_text[found.group()]}{_MARK}"

    def _reveal_text(self, text: str) -> str:
        return _MARKED.sub(self._secret, text) if _MARK in text else text

    def _secret(self, found: re.Match[str]) -> str:
        name = found.group(1)
        return _MARK if name is None else self._named(name)

    def _named(self, name: str) -> str:
        if name not in self._by_name:
            variable = name.partition("#")[0]
            raise JournalError(f"The secret {variable!r} is not the one that the run started with.")
        return self._by_name[name]

    def _walk(self, value: object, change: Callable[[str], str]) -> object:
        if value is None or isinstance(value, bool | Enum | Path):
            return value
        if isinstance(value, Record):
            parts = {name: self._walk(one, change) for name, one in value._parts.items() if name != "json"}
            if isinstance(value, Answered):
                return Answered(change(str(value)), parts, self._walk(value.chosen, change))  # type: ignore[arg-type]
            return Record(change(str(value)), {name: one for name, one in parts.items() if name != "text"})
        if isinstance(value, str):
            if (number := _NUMBER.fullmatch(value)) and change == self._reveal_text:
                return literal(self._named(number.group(1)))
            return change(value)
        if isinstance(value, int | float):
            text = to_text(value)  # a number that is a secret becomes a text, and a number again
            return f"{_MARK}n{self._whole[text]}{_MARK}" if self._is_secret_number(text, change) else value
        if isinstance(value, Mapping):
            return {self._walk(key, change): self._walk(one, change) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self._walk(one, change) for one in value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._fields(value, change)
        return value

    def _is_secret_number(self, text: str, change: Callable[[str], str]) -> bool:
        return change == self._conceal_text and text in self._whole

    def _fields(self, value: Any, change: Callable[[str], str]) -> object:
        fields = (one.name for one in dataclasses.fields(value) if one.init)
        return dataclasses.replace(
            value, **{name: self._walk(getattr(value, name), change) for name in fields}
        )
