"""Variables from the command line: `--var`, a workflow's own switches, and questions on a terminal.

Above: `run.py`. Below: `parameters.py`. What is typed here is text; `parameters.bind` gives it its type.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from samovar.errors import UsageError, nearest
from samovar.language.parameters import Parameter
from samovar.values import to_text

LARGEST_FILE_BYTES = 10_000_000
TRIES = 5
"""How often a person is asked for one value."""


def read_assignments(assignments: Sequence[str], parameters: Sequence[Parameter] = ()) -> dict[str, str]:
    """`K=V`, `K=@FILE`, `K=-` (standard input, once), and `K=@@V` for a value that begins with @.

    A name may be given once, or several times where it takes several choices. Raises `UsageError`.
    """
    values: dict[str, str] = {}
    stdin_taken_by = None
    several = _several(parameters)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip()
        if not equals or not name:
            raise UsageError(f"--var takes NAME=VALUE, not {assignment!r}.")
        if text == "-":
            if stdin_taken_by:
                raise UsageError(f"Standard input can be one variable only: {stdin_taken_by} or {name}.")
            stdin_taken_by = name
            text = _decode(sys.stdin.buffer.read(LARGEST_FILE_BYTES + 1), "standard input")
        elif text.startswith("@@"):
            text = text[1:]
        elif text.startswith("@"):
            text = _read_file(Path(text[1:]), name)
        _put(values, name, text, "--var " + name, several)
    return values


def read_variables_file(path: Path) -> dict[str, object]:
    """The variables of a YAML or JSON file, which is one map. Raises `UsageError`."""
    import yaml

    text = _read_file(path, None)
    try:
        found: Any = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        # An anchor that is used again and again can stand for more than any memory holds.
        if path.suffix != ".json" and any(isinstance(one, yaml.AliasToken) for one in yaml.scan(text)):
            raise UsageError(f"--vars {path}: aliases (*name) are not read here. Write the values out.")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise UsageError(
            f"--vars {path} is not {'JSON' if path.suffix == '.json' else 'YAML'}: {said}."
        ) from error
    if not isinstance(found, dict) or any(not isinstance(name, str) for name in found):
        raise UsageError(f"--vars {path} must hold one map of names and values.")
    return {name: _as_variable(value) for name, value in found.items() if value is not None}


def _as_variable(value: Any) -> object:
    """A value of YAML or JSON in types that a variable can hold; a date is its text."""
    if isinstance(value, dict):
        return {str(key): _as_variable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_as_variable(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def as_parameters(values: Mapping[str, object], parameters: Sequence[Parameter]) -> dict[str, object]:
    """Values of a file as their parameters take them: a number is a text where a text is wanted."""
    texts = {one.name for one in parameters if one.type in ("string", "choice")}
    return {
        name: to_text(value) if name in texts and isinstance(value, bool | int | float) else value
        for name, value in values.items()
    }


def _several(parameters: Sequence[Parameter]) -> frozenset[str]:
    return frozenset(parameter.name for parameter in parameters if parameter.type == "multi_choice")


def _put(values: dict[str, str], name: str, text: str, written: str, several: frozenset[str]) -> None:
    if name not in values:
        values[name] = text
    elif name in several:
        values[name] += "," + text
    else:
        raise UsageError(f"{written} is given twice. It takes one value.")


def _read_file(path: Path, name: str | None) -> str:
    """The text of a variable's file; without a name, of a file of variables."""
    written = f"--vars {path}" if name is None else f"--var {name}=@{path}"
    try:
        if path.is_dir():
            raise UsageError(f"{written}: that is a folder, not a file.")
        if not path.is_file():
            hint = "" if name is None else f" For the text itself, write {name}=@@{path}"
            raise UsageError(f"{written}: there is no such file.{hint}")
        with path.open("rb") as file:
            return _decode(file.read(LARGEST_FILE_BYTES + 1), str(path))
    except OSError as error:
        raise UsageError(f"{written}: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"{written}: no file can have this name.") from error


def _decode(raw: bytes, source: str) -> str:
    if len(raw) > LARGEST_FILE_BYTES:
        raise UsageError(
            f"{source} is larger than {LARGEST_FILE_BYTES // 1_000_000} MB, the most a variable may be."
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{source} is not UTF-8 text (byte {error.start}).") from error


def read_switches(
    switches: Sequence[str], parameters: Sequence[Parameter], options: Sequence[str]
) -> dict[str, str]:
    """The workflow's parameters as options: `--person-name X`, `--person-name=X`, `--urgent`, `--no-urgent`.

    `options` are those of the command itself. A parameter called like one of them is given by --var only, in
    any spelling. Raises `UsageError`.
    """
    known = {
        name: parameter
        for parameter in parameters
        if f"--{(name := parameter.name.replace('_', '-'))}" not in options
    }
    several = _several(parameters)
    values: dict[str, str] = {}
    rest = list(switches)
    while rest:
        switch = rest.pop(0)
        name, equals, text = switch.removeprefix("--").partition("=")
        parameter = known.get(name.replace("_", "-"))
        negated = known.get(name.removeprefix("no-").replace("_", "-"))
        if not switch.startswith("--") or (parameter is None and negated is None):
            _refuse(switch, options, list(known))
        if parameter is None:
            assert negated is not None
            if negated.type != "boolean" or equals:
                _refuse(switch, options, list(known))
            parameter, text = negated, "false"
        elif equals:
            pass
        elif parameter.type == "boolean" and not (rest and rest[0].lower() in ("true", "false")):
            text = "true"
        elif rest:
            text = rest.pop(0)
        else:
            raise UsageError(f"{switch} needs a value.")
        _put(values, parameter.name, text, "--" + name.replace("_", "-"), several)
    return values


def _refuse(switch: str, options: Sequence[str], own: Sequence[str]) -> None:
    if not switch.startswith("-"):
        raise UsageError(
            f"{switch!r} is one argument too many: one workflow is run. Variables: --var NAME=VALUE."
        )
    written = switch.partition("=")[0]
    theirs = [f"--{name}" for name in own]
    hint = nearest(written, [*options, *theirs])
    if theirs:
        hint += f" Those of this workflow: {', '.join(theirs)}."
    raise UsageError(f"There is no option {written}.{hint}")


def asker() -> Callable[[Parameter], object] | None:
    """Asks for a missing parameter on a terminal; None where there is none."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None

    shown: list[str | None] = [None]

    def ask(parameter: Parameter) -> object:
        if parameter.group != shown[-1]:
            shown.append(parameter.group)
            sys.stderr.write(f"\n{parameter.group}\n" if parameter.group else "\n")
        if parameter.description:
            sys.stderr.write(f"{parameter.description}\n")
        for _ in range(TRIES):
            sys.stderr.write(f"{parameter.name}{_expected(parameter)}: ")
            sys.stderr.flush()
            line = _read_secret() if parameter.secret else sys.stdin.readline()
            if not line:
                break
            try:
                if not line.strip():
                    raise UsageError(f"The parameter {parameter.name!r} is required.")
                return parameter.parse(line.rstrip("\n"))
            except UsageError as error:
                sys.stderr.write(f"{error}\n")
        raise UsageError(f"The parameter {parameter.name!r} was not given.")

    return ask


def _expected(parameter: Parameter) -> str:
    if parameter.choices:
        between = ", with commas between" if parameter.type == "multi_choice" else ""
        return f" ({', '.join(parameter.choices)}{between})"
    return " (true or false)" if parameter.type == "boolean" else ""


def _read_secret() -> str:
    import getpass

    return getpass.getpass("", stream=sys.stderr) + "\n"
