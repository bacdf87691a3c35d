"""Variables from files: the text of one, as in `--var x=@FILE`; a YAML or JSON map, as in `--vars FILE`.

Above: the command line, the Python API. Below: the YAML that front matter is read with. A pipe is read
like a file, as in `@<(command)`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from samovar.errors import Fault, FaultsError, Place, TooLargeError, UsageError
from samovar.files import is_folder
from samovar.language.parameters import Parameter
from samovar.language.written_values import as_written
from samovar.language.yaml_document import FrontMatter, read_yaml
from samovar.values import VALUE_BYTES, read_json, to_text


def read_variables_file(
    path: Path, parameters: Sequence[Parameter] = (), *, said: str = "--vars"
) -> dict[str, object]:
    """The variables of a YAML or JSON file, which is one map; for text parameters, texts as written.

    YAML is read as front matter is, within its bounds. `said`: what the file was given by, for messages.
    Raises `UsageError` or `FaultsError`.
    """
    written = f"{said} {path}"
    text = read_file(path, written)
    if path.suffix == ".json":
        return as_written(_json_map(text, written), parameters, lambda *steps: None)
    matter = _yaml_map(text, path, written)
    values = {name: _with_texts_as_keys(value) for name, value in matter.values.items() if value is not None}
    return as_written(values, parameters, matter.source)


def _json_map(text: str, written: str) -> dict[str, object]:
    try:
        found: Any = read_json(text)
    except TooLargeError as error:
        raise UsageError(f"{written}: {error.message}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{written} is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise UsageError(f"{written} must contain one map of names and values.")
    return {name: value for name, value in found.items() if value is not None}


def _yaml_map(text: str, path: Path, written: str) -> FrontMatter:
    matter = read_yaml(text, path=path)
    if matter.twice:
        raise FaultsError([_given_twice(matter, steps, path) for steps in matter.twice])
    if not matter.values or any(not name[:1].isalpha() and name[:1] != "_" for name in matter.values):
        raise UsageError(f"{written} must contain one map of names and values.")
    return matter


def _given_twice(matter: FrontMatter, steps: tuple[str | int, ...], path: Path) -> Fault:
    line, column = matter.spots[steps]
    message = f"{str(steps[-1])!r} appears here for the second time. Keep one of them."
    return Fault(code="duplicate-key", message=message, place=Place(path=path, line=line - 1, column=column))


def _with_texts_as_keys(value: object) -> object:
    if isinstance(value, dict):
        return {to_text(key): _with_texts_as_keys(item) for key, item in value.items()}
    return [_with_texts_as_keys(item) for item in value] if isinstance(value, list) else value


def read_file(path: Path, written: str, hint: str = "") -> str:
    """The text of a variable's file, or of a file of variables. Raises `UsageError`.

    `written`: how the file was given, for messages, which show no more of its name. `hint`: what to do if it
    is not there.
    """
    if is_folder(path):
        raise UsageError(f"{written}: this is a folder, not a file.")
    try:
        with path.open("rb") as file:  # a pipe as well, up to the same size
            return _decoded(file.read(VALUE_BYTES.get() + 1), written)
    except FileNotFoundError as error:
        raise UsageError(f"{written}: there is no such file.{hint}") from error
    except OSError as error:
        raise UsageError(f"{written}: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"{written}: this is not a valid file name.") from error


def read_input() -> str:
    """The text of standard input. Raises `UsageError`."""
    return _decoded(sys.stdin.buffer.read(VALUE_BYTES.get() + 1), "standard input")


def _decoded(raw: bytes, source: str) -> str:
    if len(raw) > VALUE_BYTES.get():
        raise UsageError(TooLargeError(f"The text of {source}", VALUE_BYTES.get()).message)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{source} is not UTF-8 text (byte {error.start}).") from error
