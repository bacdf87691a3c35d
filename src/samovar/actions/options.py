"""The `using` options of a prompt: their names, their values, and the values of one request.

Above: `prompt.py`. Below: the generation values. What is written literally is checked when the file is
read; what comes from a variable, when the prompt is performed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from samovar.actions.form_options import (
    found_schema,
    held_twice,
    read_choices,
    read_form,
    read_schema_option,
)
from samovar.actions.given import Pair, Value
from samovar.actions.option_values import (
    Read,
    any_text,
    duration,
    flag,
    not_empty,
    one_of,
    real,
    several_names,
    stop_texts,
    whole,
)
from samovar.actions.scanner import Scanner
from samovar.actions.template_options import WITHOUT_TEMPLATE, read_template, read_think
from samovar.actions.tools import MOST_ROUNDS
from samovar.errors import ActionError
from samovar.generation import MOST_SEED, NO_TEMPLATE, Options, Sampling
from samovar.language.model_names import beside
from samovar.language.tool_names import read_tool_choice, read_tools
from samovar.language.workflow import Workflow
from samovar.values import to_text

if TYPE_CHECKING:
    from samovar.actions.defaults import PromptDefaults

OF_VERIFY = ("verify", "repairs", "verify_timeout")
"""Those that `verifying.py` takes."""

OPTIONS: Mapping[str, Read] = {
    "model": not_empty,
    "executor": several_names,
    "session": not_empty,
    "fork": not_empty,
    "system": any_text,
    "choices": read_choices,
    "schema": read_schema_option,
    "show_schema": flag,
    "regex": read_form,
    "grammar": read_form,
    "max_tokens": whole(1),
    "temperature": real(0, 2),
    "top_p": real(0, 1, above=True),
    "top_k": whole(0),
    "min_p": real(0, 1),
    "repeat_penalty": real(0, 10, above=True),
    "seed": whole(0, MOST_SEED),
    "stop": stop_texts,
    "timeout": duration,
    "overflow": one_of("error", "drop_oldest"),
    "deterministic": flag,
    "think": read_think,
    "template": read_template,
    "tools": read_tools,
    "tool_choice": read_tool_choice,
    "tool_rounds": whole(1, MOST_ROUNDS),
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
    tools: tuple[str, ...] = ()
    """What it may call, by names and patterns."""
    tool_rounds: int | None = None
    """How often it may ask for tools; None: as the limits say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Using:
    """The options a prompt is written with."""

    pairs: tuple[Pair, ...] = ()

    @classmethod
    def parse(cls, line: Scanner, pairs: list[Pair]) -> Using:
        """Checks the names and the literal values; faults are noted on the line."""
        known = []
        for pair in pairs:
            if pair.key not in OPTIONS:
                line.unknown(pair, (*OPTIONS, *OF_VERIFY))
            else:
                known.append(pair)
                if pair.value.is_literal:
                    cls._check(line, pair)
        keys = {pair.key: pair for pair in known}
        if line.tools is not None and "tools" not in keys and _literal(keys.get("template")) != NO_TEMPLATE:
            known.append(Pair(key="tools", value=line.tools, place=line.tools.place))
        for key in ("tool_choice", "tool_rounds"):
            if key in keys and not any(pair.key == "tools" for pair in known):
                line.note(
                    "option-value", f"`{key}` needs `tools`, which the prompt has not.", keys[key].place
                )
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
    def has_tools(self) -> bool:
        """It offers tools, or may: only the run knows."""
        value = self.of("tools")
        if value is None:
            return False
        try:
            return not value.is_literal or bool(read_tools(value.given))
        except ValueError:  # which is noted
            return False

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
        tools, rounds = given.pop("tools", ()), given.pop("tool_rounds", None)
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
            tools=tools,  # type: ignore[arg-type]
            tool_rounds=rounds,  # type: ignore[arg-type]
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


def _literal(pair: Pair | None, otherwise: str = "") -> str:
    return to_text(pair.value.given) if pair is not None and pair.value.is_literal else otherwise


def _text_or_none(value: object) -> str | None:
    return None if value is None else str(value)


def _expected(error: ValueError) -> str:
    said = str(error)
    said = said if said.startswith("expected") else f"expected {said}"
    return said if said.endswith(("?", ".")) else f"{said}."


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else json.dumps(value, default=str)
