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
from collections.abc import Iterator, Mapping, Sequence

from samovar.values import json_number, plain, read_json, refuse_constant, to_text

_LINE_END = re.compile(r"\r\n|\r|\n")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*([^\s`]*)[^`]*")


def lines_of(text: str) -> list[str]:
    """The lines of a text, without their ends; an end of the last line begins no other."""
    lines = _LINE_END.split(text)
    return lines if lines[-1] else lines[:-1]


def json_of(text: str) -> object:
    """The value of a JSON text."""
    try:
        return read_json(text, parse_constant=refuse_constant, parse_float=json_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} in line {error.lineno}, column {error.colno}") from None


def json_in(text: str) -> object:
    """The value of a JSON text, which may be within a block of code, among other words."""
    try:
        return json_of(text)
    except ValueError as error:
        first = error
    for _, block in code_blocks(text):
        try:
            return json_of(block)
        except ValueError:
            continue
    raise first


def json_lines_of(text: str) -> list[object]:
    """The value of each line that is not empty."""
    values = []
    for number, line in enumerate(lines_of(text), start=1):
        try:
            values += [json_of(line)] if line.strip() else []
        except ValueError as error:
            raise ValueError(f"line {number} is not JSON: {str(error).partition(' in line ')[0]}") from None
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
                names = _names(row)
                continue
            if len(row) != len(names):
                raise ValueError(f"line {reader.line_num} has {len(row)} values, not {len(names)}")
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
    return _names(first) if first else []


def _names(row: Sequence[str]) -> list[str]:
    names = [one.strip() for one in row]
    if not all(names):
        raise ValueError("a column of the first row has no name")
    if len(set(names)) < len(names):
        twice = next(one for one in names if names.count(one) > 1)
        raise ValueError(f"two columns have the name {twice!r}")
    return names


def code_blocks(text: str) -> Iterator[tuple[str, str]]:
    """Each fenced block of Markdown: its language, and its text. The last may lack its end."""
    fence, language, block = "", "", list[str]()
    for line in lines_of(text):
        match = _FENCE.fullmatch(line)
        if not fence:
            if match:
                fence, language, block = match[1], match[2].lower(), []
        elif match and match[1].startswith(fence) and not match[2]:
            yield language, "\n".join(block)
            fence = ""
        else:
            block.append(line)
    if fence:
        yield language, "\n".join(block)


def code_of(text: str, language: str = "") -> str:
    """The first block of code, in a language if one is named. A text without a block is all code."""
    blocks = list(code_blocks(text))
    found = next((block for name, block in blocks if not language or name == language.lower()), None)
    if found is not None:
        return found
    if blocks:
        raise ValueError(f"there is no block of code in {language!r}")
    return text.strip()


# Data as texts.


def lines_text(values: Sequence[object]) -> str:
    """One line for each value. Raises for a value of several lines."""
    texts = [to_text(value) for value in values]
    for number, text in enumerate(texts):
        if _LINE_END.search(text):
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
