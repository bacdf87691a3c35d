"""Texts as data, and data as texts: lines, JSON, JSON Lines, CSV, and the code in an answer.

Above: the functions of expressions, and the actions that read and write files. Below: `values.py`. A text
that is not what it should be is a `ValueError` whose message is the end of a sentence: what is wrong, and in
which line.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from samovar.errors.counting import counted
from samovar.expressions.code_blocks import BOM, LINE_END, code_blocks, language_of
from samovar.expressions.code_blocks import lines_of as lines_of
from samovar.values import json_number, plain, read_json, to_text

_NAMED = 20
"""Blocks whose languages a message names."""
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|-?Infinity|NaN', re.DOTALL)


_EXPECTED = {
    "Expecting value": "a value is expected",
    "Expecting property name": "a key in double quotes is expected",
    "Expecting ':'": "a colon is expected",
    "Expecting ','": "a comma or a closing bracket is expected",
    "Extra data": "the end is expected, since the value is complete",
    "Unterminated string": "the text that begins has no closing quotation mark",
    "Invalid control character": "a control character is not written as an escape, as `\\n` is",
    "Invalid \\escape": "no escape is written like this; a backslash is `\\\\`",
    "Invalid \\uXXXX": "`\\u` needs four hexadecimal digits",
    "Illegal trailing comma": "a comma has nothing behind it",
}
"""What the messages of Python's reader of JSON begin with, as the beginning of `… in line 1, column 2`."""


class NotJsonError(ValueError):
    """A text that is not JSON: what is wrong, and where."""

    def __init__(self, what: str, line: int, column: int) -> None:
        """`line` and `column`: from 1."""
        super().__init__(f"{what} in line {line}, column {column}")
        self.what, self.line, self.column = what, line, column


def json_of(text: str, *, line: int = 1) -> object:
    """The value of a JSON text, which begins in this line of what a message is about.

    Raises `NotJsonError`, and `ValueError` for one that is nested too deeply.
    """
    text = text.removeprefix(BOM)
    try:
        return read_json(
            text, parse_constant=_refuse, parse_float=json_number, object_pairs_hook=_without_twins
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except _JsonFault as fault:
        at = _first(text, fault.token, is_key=fault.is_key)
        column = at - text.rfind("\n", 0, at)
        raise NotJsonError(str(fault), text.count("\n", 0, at) + line, column) from None
    except json.JSONDecodeError as error:
        what = next((said for begin, said in _EXPECTED.items() if error.msg.startswith(begin)), error.msg)
        raise NotJsonError(what, error.lineno + line - 1, error.colno) from None


class _JsonFault(Exception):
    """What JSON does not have, although Python reads it."""

    def __init__(self, message: str, token: str, *, is_key: bool = False) -> None:
        super().__init__(message)
        self.token, self.is_key = token, is_key


def _refuse(name: str) -> object:
    raise _JsonFault(f"JSON has no {name}", name)


def _without_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        twin = next(key for key, count in counts.items() if count > 1)
        raise _JsonFault(f"the key {twin[:60]!r} appears twice", twin, is_key=True)
    return found


def _first(text: str, token: str, *, is_key: bool) -> int:
    """Where a token is first outside of texts; a key, where an object has it for the second time."""
    seen: list[set[str]] = []
    key, key_at = "", 0
    for match in _JSON_TOKEN.finditer(text):
        found = match.group()
        if found == "{" or found == "[":
            seen.append(set())
        elif found in ("}", "]"):
            seen.pop()
        elif found[0] == '"':
            key, key_at = found, match.start()
        elif found == ":" and is_key:
            name = json.loads(key, strict=False)
            if name == token and name in seen[-1]:
                return key_at
            seen[-1].add(name)
        elif found == token and not is_key:
            return match.start()
    return 0


def json_in(text: str) -> object:
    """The value of a JSON text, or of the JSON in its blocks of code.

    That is the first block that says it is JSON; if none does, the first that is.
    """
    try:
        return json_of(text)
    except ValueError as error:
        first = error
    blocks = list(code_blocks(text))
    said = next((block for block in blocks if block.language == "json"), None)
    if said is not None:
        return json_of(said.text, line=said.line)
    wrong = None
    for block in blocks:
        try:
            return json_of(block.text, line=block.line)
        except ValueError as error:
            wrong = wrong or error
    raise wrong or first


def json_lines_of(text: str) -> list[object]:
    """The value of each line that is not empty."""
    values = []
    for number, line in enumerate(lines_of(text), start=1):
        try:
            values += [json_of(line)] if line.strip() else []
        except ValueError as error:
            what = error.what if isinstance(error, NotJsonError) else error
            raise ValueError(f"line {number} is not JSON: {what}") from None
    return values


def rows_of(text: str) -> list[dict[str, str]]:
    """The rows of CSV below its first row, which has the names of the columns. Values are texts."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[dict[str, str]] = []
    names: list[str] = []
    try:
        for row in reader:
            if not row:
                continue
            if not names:
                names = column_names(row)
                continue
            if len(row) != len(names):
                raise ValueError(f"line {reader.line_num} has {counted(len(row), 'value')}, not {len(names)}")
            rows.append(dict(zip(names, row, strict=True)))
    except csv.Error as error:
        raise ValueError(f"{error} in line {reader.line_num}") from None
    return rows


def names_of(text: str) -> list[str]:
    """The names of the columns of CSV."""
    try:
        first = next((row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row), None)
    except csv.Error as error:
        raise ValueError(f"{error} in the first row") from None
    return column_names(first) if first else []


def column_names(row: Sequence[str]) -> list[str]:
    """The names in the first row of CSV."""
    names = [one.strip() for one in row]
    if not all(names):
        raise ValueError("a column of the first row has no name")
    if len(set(names)) < len(names):
        twice = next(one for one in names if names.count(one) > 1)
        raise ValueError(f"two columns have the name {twice!r}")
    return names


def code_of(text: str, language: str = "") -> str:
    """The first block of code, in a language if one is named. A text without a block is all code."""
    blocks = list(code_blocks(text))
    wanted = language_of(language)
    found = next((block for block in blocks if not wanted or block.language == wanted), None)
    if found is not None:
        return found.text
    if blocks:
        others = ", ".join(dict.fromkeys(block.language[:40] or "none named" for block in blocks[:_NAMED]))
        raise ValueError(f"there is no block of code in {language!r}; the languages are: {others}")
    text = text.removeprefix(BOM)
    blanks = len(text) - len(text.lstrip())
    return text[max(text.rfind("\n", 0, blanks), text.rfind("\r", 0, blanks)) + 1 :].rstrip()


# Data as texts.


def lines_text(values: Sequence[object]) -> str:
    """One line for each value. Raises for a value of several lines."""
    texts = [to_text(value) for value in values]
    for number, text in enumerate(texts):
        if LINE_END.search(text):
            raise ValueError(f"item {number} has more than one line")
    return "".join(f"{text}\n" for text in texts)


def json_text(value: object) -> str:
    """JSON on several lines, for people and for `diff`."""
    return json.dumps(plain(value), ensure_ascii=False, indent=2) + "\n"


def json_lines_text(values: Sequence[object]) -> str:
    """JSON Lines: each value on a line of its own."""
    return "".join(json.dumps(plain(value), ensure_ascii=False) + "\n" for value in values)


def rows_text(rows: Sequence[object], before: Sequence[str] | None = None) -> str:
    """CSV with the names of the columns in its first row: all keys, in the order in which they come up.

    `before`: the columns that are there already, if the rows are to be added; they then get no first row.
    """
    found: dict[str, None] = dict.fromkeys(before or ())
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise ValueError(f"item {number} is not a map of columns")
        found.update(dict.fromkeys(str(key) for key in row))
    names = list(found)
    if before is not None and len(names) > len(before):
        raise ValueError(f"the file has no column {names[len(before)]!r}")
    lines = _Lines()
    writer = csv.writer(lines, lineterminator="\r\n")  # so that it quotes either of the two
    if before is None and names:
        writer.writerow(names)
    for row in rows:
        assert isinstance(row, Mapping)
        writer.writerow([to_text(row.get(name)) for name in names])
    return "".join(lines)


class _Lines(list[str]):
    """What a writer of CSV writes, with the line ends of other files."""

    def write(self, line: str) -> None:
        self.append(line.removesuffix("\r\n") + "\n")
