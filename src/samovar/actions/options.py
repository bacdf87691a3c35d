"""The `using` options of a prompt: their names, their values, and the values of one request.

Above: `prompt.py`. Below: the generation values. What is written literally is checked when the file is
read; what comes from a variable, when the prompt is performed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from samovar.actions.form_options import (
    WHOLE_TEXTS,
    found_schema,
    held_twice,
    read_choices,
    read_form,
    read_schema_option,
)
from samovar.actions.given import Pair, Value
from samovar.actions.scanner import Scanner
from samovar.actions.template_options import WITHOUT_TEMPLATE, read_template, read_think
from samovar.errors import ActionError
from samovar.generation import MOST_SEED, NO_TEMPLATE, Options, Sampling
from samovar.language.model_names import beside
from samovar.language.workflow import Workflow
from samovar.values import duration_s, is_finite, is_utf8, to_text

if TYPE_CHECKING:
    from samovar.actions.defaults import PromptDefaults

UNSUPPORTED = frozenset(("tools",))
"""Options of the language that this version has not."""
OF_VERIFY = ("verify", "repairs", "verify_timeout")
"""Those that `verifying.py` takes."""

Read = Callable[[object], object]
"""What an option's value means. Raises `ValueError` saying what was expected."""


def _whole(least: int, most: int | None = None) -> Read:
    expected = "a whole number" + (f", at least {least}" if most is None else f" from {least} to {most}")

    def read(value: object) -> int:
        number = _number(value)
        if number is None or number != int(number) or number < least or (most is not None and number > most):
            raise ValueError(expected)
        return int(number)

    return read


def _real(least: float, most: float, *, above: bool = False) -> Read:
    expected = (
        f"a number above {least:g}, at most {most:g}" if above else f"a number from {least:g} to {most:g}"
    )

    def read(value: object) -> float:
        number = _number(value)
        if number is None or not least <= number <= most or (above and number == least):
            raise ValueError(expected)
        return float(number)

    return read


def _number(value: object) -> int | float | None:
    """The finite number that a value is, or that a text spells."""
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            try:
                value = float(value)
            except ValueError:
                return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not is_finite(value):
        return None
    return value


def _text(value: object) -> str:
    if not isinstance(value, str | int | float) or isinstance(value, bool) or not to_text(value).strip():
        raise ValueError("a text that is not empty")
    return to_text(value)


def _names(value: object) -> str:
    """One name, or several, in a list or with commas between them."""
    return ", ".join(map(_text, value)) if isinstance(value, list | tuple) and value else _text(value)


def _one_of(*words: str) -> Read:
    def read(value: object) -> str:
        if value not in words:
            raise ValueError(" or ".join(words))
        return str(value)

    return read


def _flag(value: object) -> bool:
    text = to_text(value).lower() if isinstance(value, str | bool) else ""
    if text not in ("true", "false"):
        raise ValueError("true or false")
    return text == "true"


def _duration(value: object) -> float:
    seconds = duration_s(value)
    if seconds <= 0:
        raise ValueError("a duration above 0")
    return seconds


_ESCAPES = {r"\n": "\n", r"\t": "\t", r"\r": "\r", r"\\": "\\"}


def _stops(value: object) -> tuple[str, ...]:
    """One text, or a list of them. `\\n` and `\\t` mean what they mean everywhere."""
    texts = [to_text(item) for item in value] if isinstance(value, list | tuple) else [to_text(value)]
    if not texts or not all(texts):
        raise ValueError('a text that is not empty, or a list of them, as in ["END", "\\n\\n"]')
    if not all(map(is_utf8, texts)):
        raise ValueError(WHOLE_TEXTS)
    return tuple(re.sub(r"\\[ntr\\]", lambda found: _ESCAPES[found.group()], text) for text in texts)


OPTIONS: Mapping[str, Read] = {
    "model": _text,
    "executor": _names,
    "session": _text,
    "fork": _text,
    "system": to_text,
    "choices": read_choices,
    "schema": read_schema_option,
    "show_schema": _flag,
    "regex": read_form,
    "grammar": read_form,
    "max_tokens": _whole(1),
    "temperature": _real(0, 2),
    "top_p": _real(0, 1, above=True),
    "top_k": _whole(0),
    "min_p": _real(0, 1),
    "repeat_penalty": _real(0, 10, above=True),
    "seed": _whole(0, MOST_SEED),
    "stop": _stops,
    "timeout": _duration,
    "overflow": _one_of("error", "drop_oldest"),
    "deterministic": _flag,
    "think": read_think,
    "template": read_template,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The options of one request, defaults filled in."""

    model: str | None
    """A reference; None: the executor's own."""
    executor: str | None
    """A name; None: that of the settings."""
    session: str | None
    fork: str | None
    system: str | None
    """None: the default system prompt."""
    options: Options


@dataclass(frozen=True, slots=True, kw_only=True)
class Using:
    """The options a prompt is written with."""

    pairs: tuple[Pair, ...] = ()

    @classmethod
    def parse(cls, line: Scanner, pairs: list[Pair]) -> Using:
        """Checks the names and the literal values; faults are noted on the line."""
        known = []
        for pair in pairs:
            if pair.key in UNSUPPORTED:
                line.note("unsupported", f"The option {pair.key!r} is not supported yet.", pair.place)
            elif pair.key not in OPTIONS:
                line.unknown(pair, (*OPTIONS, *OF_VERIFY))
            else:
                known.append(pair)
                if pair.value.is_literal:
                    cls._check(line, pair)
        keys = {pair.key: pair for pair in known}
        if "template" in keys and _literal(keys["template"]) == NO_TEMPLATE:
            for key in WITHOUT_TEMPLATE.keys() & keys.keys():
                line.note("option-value", WITHOUT_TEMPLATE[key], keys[key].place)
        if wrong := held_twice(keys):
            line.note("option-value", wrong[1], keys[wrong[0]].place)
        if "session" in keys and "fork" in keys and _literal(keys["fork"]) == _literal(keys["session"], " "):
            line.note("option-value", _ITSELF, keys["fork"].place)
        return cls(pairs=tuple(known))

    @staticmethod
    def _check(line: Scanner, pair: Pair) -> None:
        try:
            OPTIONS[pair.key](pair.value.given)
        except ValueError as error:
            message = f"`{pair.key}` cannot be {_shown(pair.value.given)}: {_expected(error)}"
            line.note("option-value", message, pair.value.place)

    def of(self, key: str) -> Value | None:
        """The value an option is written with."""
        return next((pair.value for pair in self.pairs if pair.key == key), None)

    @property
    def choices(self) -> tuple[str, ...] | None:
        """The texts that an answer is one of; None if there are none, or only the run knows them."""
        value = self.of("choices")
        return None if value is None or not value.is_literal else read_choices(value.given)

    @property
    def names(self) -> frozenset[str]:
        return frozenset().union(*(pair.value.names for pair in self.pairs))

    def choose(
        self, variables: Mapping[str, object], defaults: PromptDefaults, folder: Path | None
    ) -> Chosen:
        """The values now. `folder`: of the file that they are in, where a model's file is looked for first.

        Raises `ActionError` for a value that the option cannot take.
        """
        given = {pair.key: self._now(pair, variables) for pair in self.pairs}
        sampling = {name: given.pop(name) for name in _SAMPLING if name in given}
        sampling.setdefault("seed", defaults.seed)
        model, executor, session, fork, system = (_text_or_none(given.pop(name, None)) for name in _OF_CHOSEN)
        if defaults.deterministic:
            given["deterministic"] = True
        timeout_s = given.pop("timeout", defaults.timeout_s)
        options = Options(
            sampling=Sampling(**sampling),  # type: ignore[arg-type]
            timeout_s=timeout_s,  # type: ignore[arg-type]
            **given,  # type: ignore[arg-type]
        )
        return Chosen(
            model=defaults.winning_model(None if model is None else beside(folder, model)),
            executor=defaults.winning_executor(executor),
            session=session,
            fork=fork,
            system=system,
            options=options,
        )

    def choose_in(
        self, workflow: Workflow, variables: Mapping[str, object], defaults: PromptDefaults
    ) -> Chosen:
        """As `choose`, in a workflow that may have the schema by its name."""
        chosen = self.choose(variables, defaults, workflow.folder)
        schema, value = chosen.options.schema, self.of("schema")
        if schema is None or value is None:
            return chosen
        try:
            schema = found_schema(schema, workflow, may_be_file=value.is_literal)
        except ValueError as error:
            message = f"`schema` cannot be {_shown(schema)}: {_expected(error)}"
            raise ActionError(message, place=value.place) from None
        return replace(chosen, options=replace(chosen.options, schema=schema))

    @staticmethod
    def _now(pair: Pair, variables: Mapping[str, object]) -> object:
        value = pair.value.of(variables, is_option=True)
        try:
            return OPTIONS[pair.key](value)
        except ValueError as error:
            message = f"`{pair.key}` cannot be {_shown(value)}: {_expected(error)}"
            raise ActionError(message, place=pair.value.place) from None


_OF_CHOSEN = ("model", "executor", "session", "fork", "system")
_SAMPLING = tuple(field.name for field in fields(Sampling))

_ITSELF = "`fork` and `session` name the same conversation: use `session` alone to continue it."


def _literal(pair: Pair, otherwise: str = "") -> str:
    return to_text(pair.value.given) if pair.value.is_literal else otherwise


def _text_or_none(value: object) -> str | None:
    return None if value is None else str(value)


def _expected(error: ValueError) -> str:
    said = str(error)
    said = said if said.startswith("expected") else f"expected {said}"
    return said if said.endswith(("?", ".")) else f"{said}."


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else json.dumps(value, default=str)
