"""Reads the expectations of a case from a file, and checks each value.

Above: `case_file.py`. Below: `checked_values.py` for the YAML, `expectations.py` for the values, and the
options of prompts, whose values mean here what they mean in a workflow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from samovar.actions.options import OPTIONS
from samovar.errors import nearest
from samovar.events import Ending
from samovar.testing.by_state import by_state
from samovar.testing.checked_values import CheckedValues, Step
from samovar.testing.expectations import LEVELS, Expected, Wanted, WantedError, WantedLine
from samovar.testing.told_values import CODES
from samovar.values import plain, to_text

EXPECT_KEYS = ("ending", "error", "path", "variables", "prompts", "commands", "files", "log", "warnings")
PROMPT_KEYS = ("contains", "exact", "system", "history", "options")
COMMAND_KEYS = ("contains", "exact", "working_dir", "env", "stdin", "timeout")
ERROR_KEYS = ("code", "state", "message")
ENDING_OF = {"stuck": Ending.STUCK, "aborted": Ending.ABORTED, "limit": Ending.LIMITED}
"""How a run ends with an error of this code; with any other it fails."""
RUN_CODES = CODES | {"stuck", "aborted"}
"""Codes of errors that a run can end with."""


def read_expected(yaml: CheckedValues, value: Any, *at: Step) -> Expected:
    values = yaml.map(value, "`expect`", EXPECT_KEYS, *at)
    error = _error(yaml, values["error"], *at, "error") if "error" in values else None
    path = values.get("path")
    found = yaml.map(values.get("variables"), "`variables`", None, *at, "variables")
    return Expected(
        ending=_ending(yaml, values, error, *at),
        error=error,
        path=None if path is None else tuple(yaml.texts(path, "`path`", *at, "path")),
        path_places=tuple(yaml.place(*at, "path", index) for index in range(_length(path))),
        variables={key: plain(item) for key, item in found.items()},
        prompts=dict(by_state(yaml, values.get("prompts"), _prompt, PROMPT_KEYS, *at, "prompts")),
        commands=dict(by_state(yaml, values.get("commands"), _command, COMMAND_KEYS, *at, "commands")),
        files=dict(_files(yaml, values.get("files"), *at, "files")),
        log=tuple(_lines(yaml, values["log"], *at, "log")) if "log" in values else None,
        warnings=_texts(yaml, values, "warnings", *at) if "warnings" in values else None,
    )


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 0


# How the run ends.


def _ending(yaml: CheckedValues, values: Mapping[str, Any], error: WantedError | None, *at: Step) -> Ending:
    """What is written, else what goes with the error."""
    otherwise = Ending.COMPLETED if error is None else ENDING_OF.get(error.code or "", Ending.FAILED)
    endings = [str(ending) for ending in Ending if ending is not Ending.CANCELLED]
    ending = values.get("ending", str(otherwise))
    if ending not in endings:
        hint = nearest(str(ending)[:100], endings)
        yaml.fault("case", f"There is no ending {to_text(ending)!r:.80}.{hint}", *at, "ending")
        return otherwise
    if error is not None and ending == Ending.COMPLETED:
        yaml.fault("case", "A run that completes has no `error`.", *at, "error")
    return Ending(ending)


def _error(yaml: CheckedValues, value: Any, *at: Step) -> WantedError:
    values = {"code": value} if isinstance(value, str) else yaml.map(value, "`error`", ERROR_KEYS, *at)
    if not values:
        yaml.fault("case", "`error` must have a code, a state or a message, or be just a code.", *at)
    texts = {key: yaml.text(item, f"`{key}`", *at, key) for key, item in values.items() if key in ERROR_KEYS}
    code = texts.get("code")
    if code is not None and code not in RUN_CODES:
        hint = nearest(code[:100], RUN_CODES)
        yaml.fault("case", f"There is no error {code!r:.80}.{hint}", *at, "code")
    return WantedError(**texts, place=yaml.place(*at))


# Prompts and commands.


def _prompt(yaml: CheckedValues, value: Any, at: tuple[Step, ...]) -> Wanted | None:
    if not isinstance(value, dict):
        text = yaml.text(value, "What a prompt holds", *at)
        return None if text is None else Wanted(parts={"contains": (text,)})
    values = yaml.map(value, "The expectation for a prompt", PROMPT_KEYS, *at)
    parts: dict[str, object] = dict(_parts(yaml, values, ("exact", "system"), *at))
    if "history" in values:
        parts["history"] = _texts(yaml, values, "history", *at)
    if "options" in values:
        options = yaml.map(values["options"], "`options`", tuple(OPTIONS), *at, "options")
        parts["options"] = dict(_options(yaml, options, *at, "options"))
    return Wanted(parts=parts)


def _command(yaml: CheckedValues, value: Any, at: tuple[Step, ...]) -> Wanted | None:
    if not isinstance(value, dict):
        text = yaml.text(value, "What a command holds", *at)
        return None if text is None else Wanted(parts={"contains": (text,)})
    values = yaml.map(value, "The expectation for a command", COMMAND_KEYS, *at)
    words = isinstance(values.get("exact"), list)
    keys = ("working_dir", "stdin") if words else ("exact", "working_dir", "stdin")
    parts: dict[str, object] = dict(_parts(yaml, values, keys, *at))
    if words:
        parts["exact"] = _texts(yaml, values, "exact", *at)
    if "env" in values:
        env = yaml.map(values["env"], "`env`", None, *at, "env")
        texts = ((name, yaml.text(item, "A value of `env`", *at, "env", name)) for name, item in env.items())
        parts["env"] = {name: text for name, text in texts if text is not None}
    if "timeout" in values:
        is_none = values["timeout"] is None
        parts["timeout"] = None if is_none else yaml.duration_s(values, "timeout", *at)
    return Wanted(parts=parts)


def _parts(
    yaml: CheckedValues, values: Mapping[str, Any], keys: Sequence[str], *at: Step
) -> Iterator[tuple[str, object]]:
    """`contains`, and the texts of these keys; null says that there is none."""
    if "contains" in values:
        one = values["contains"]
        if one == []:
            yaml.fault(
                "case",
                "`contains` must have at least one text; an empty list checks nothing.",
                *at,
                "contains",
            )
        texts = one if isinstance(one, list) else [one]
        yield "contains", tuple(yaml.texts(texts, "`contains`", *at, "contains"))
    for key in keys:
        if key in values:
            none = values[key] is None and key in ("system", "stdin")
            yield key, None if none else yaml.text(values[key], f"`{key}`", *at, key)


def _options(yaml: CheckedValues, options: Mapping[str, Any], *at: Step) -> Iterator[tuple[str, object]]:
    """By name, the values as a prompt has them; null says that there is none."""
    for name, value in options.items():
        if name not in OPTIONS:
            continue
        try:
            yield name, None if value is None else OPTIONS[name](plain(value))
        except ValueError as error:
            said = str(error).removeprefix("expected ")
            yaml.fault("case", f"`{name}` has an invalid value: expected {said}.", *at, name)


# Files.


def _files(yaml: CheckedValues, value: Any, *at: Step) -> Iterator[tuple[str, tuple[str, ...] | str | None]]:
    for path, wanted in yaml.map(value, "`files`", None, *at).items():
        if isinstance(wanted, dict):
            values = yaml.map(wanted, "The expectation for a file", ("contains",), *at, path)
            yield from ((path, texts) for _, texts in _parts(yaml, values, (), *at, path))  # type: ignore[misc]
        else:
            yield path, None if wanted is None else yaml.text(wanted, "What a file holds", *at, path)


# The log.


def _lines(yaml: CheckedValues, value: Any, *at: Step) -> Iterator[WantedLine]:
    if not isinstance(value, list):
        yaml.fault("case", "`log` must be a list of texts, or of `level: text`; [] is an empty log.", *at)
        return
    for index, item in enumerate(value):
        if isinstance(item, dict) and len(item) == 1:
            ((level, text),) = yaml.map(item, "A line of `log`", LEVELS, *at, index).items()
            if isinstance(text, str):
                yield WantedLine(text=text, level=level)
                continue
        text = yaml.text(item, "Each of `log`", *at, index)
        if text is not None:
            yield WantedLine(text=text)


def _texts(yaml: CheckedValues, values: Mapping[str, Any], key: str, *at: Step) -> tuple[str, ...]:
    return tuple(yaml.texts(values[key], f"`{key}`", *at, key))
