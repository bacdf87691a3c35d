"""Variables from the command line: `--var`, a workflow's own switches, and questions on a terminal.

Above: `run.py`. Below: `parameters.py`. What is typed here is text; `parameters.bind` gives it its type.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from samovar.errors import UsageError, nearest
from samovar.parameters import Parameter

LARGEST_FILE_BYTES = 10_000_000


def read_assignments(assignments: Sequence[str]) -> dict[str, str]:
    """`K=V`, `K=@FILE` and `K=-` (standard input, once). Raises `UsageError`."""
    values: dict[str, str] = {}
    stdin_taken_by = None
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--var takes NAME=VALUE, not {assignment!r}.")
        if text == "-":
            if stdin_taken_by:
                raise UsageError(f"Standard input can be one variable only: {stdin_taken_by} or {name}.")
            stdin_taken_by, text = (
                name,
                _decode(sys.stdin.buffer.read(LARGEST_FILE_BYTES + 1), "standard input"),
            )
        elif text.startswith("@"):
            text = _read_file(Path(text[1:]), name)
        values[name.strip()] = text
    return values


def _read_file(path: Path, name: str) -> str:
    try:
        if not path.is_file():
            raise UsageError(f"--var {name}=@{path}: there is no such file.")
        with path.open("rb") as file:
            return _decode(file.read(LARGEST_FILE_BYTES + 1), str(path))
    except OSError as error:
        raise UsageError(f"--var {name}=@{path}: {error.strerror}.") from error


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

    `options` are those of the command itself, to name the nearest. Raises `UsageError`.
    """
    known = {parameter.name.replace("_", "-"): parameter for parameter in parameters}
    values: dict[str, str] = {}
    rest = list(switches)
    while rest:
        switch = rest.pop(0)
        name, equals, text = switch.removeprefix("--").partition("=")
        parameter = known.get(name.replace("_", "-"))
        negated = known.get(name.removeprefix("no-").replace("_", "-"))
        if not switch.startswith("--") or (parameter is None and negated is None):
            _refuse(switch, [*options, *(f"--{name}" for name in known)])
        if parameter is None:
            assert negated is not None
            if negated.type != "boolean" or equals:
                _refuse(switch, [f"--{name}" for name in known])
            values[negated.name] = "false"
        elif equals:
            values[parameter.name] = text
        elif parameter.type == "boolean" and not (rest and rest[0].lower() in ("true", "false")):
            values[parameter.name] = "true"
        elif rest:
            values[parameter.name] = rest.pop(0)
        else:
            raise UsageError(f"{switch} needs a value.")
    return values


def _refuse(switch: str, known: Sequence[str]) -> None:
    if switch.startswith("-"):
        raise UsageError(
            f"There is no option {switch.partition('=')[0]}.{nearest(switch.partition('=')[0], known)}"
        )
    raise UsageError(
        f"{switch!r} is one argument too many: one workflow is run at a time. Variables: --var NAME=VALUE."
    )


def asker() -> Callable[[Parameter], object] | None:
    """Asks for a missing parameter on a terminal; None where there is none."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None

    def ask(parameter: Parameter) -> object:
        hint = f" ({', '.join(map(str, parameter.choices))})" if parameter.choices else ""
        if parameter.description:
            sys.stderr.write(f"{parameter.description}\n")
        for _ in range(3):
            sys.stderr.write(f"{parameter.name}{hint}: ")
            sys.stderr.flush()
            line = _read_secret() if parameter.secret else sys.stdin.readline()
            if not line:
                break
            try:
                return parameter.parse(line.rstrip("\n"))
            except UsageError as error:
                sys.stderr.write(f"{error}\n")
        raise UsageError(f"The parameter {parameter.name!r} was not given.")

    return ask


def _read_secret() -> str:
    import getpass

    return getpass.getpass("", stream=sys.stderr) + "\n"
