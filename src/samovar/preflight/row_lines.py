"""The lines of a file of any length, one after the other, as text.

Above: `row_files.py`. Below: errors, and the bounds of values. A file is UTF-8, or what the mark at its
beginning says; never a guess. What is not text is an error that names the line.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from samovar.errors import UsageError
from samovar.values import VALUE_BYTES

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def lines_of(path: Path) -> Iterator[str]:
    """Each line with its end, which is `\\n`, `\\r\\n` or `\\r`. Raises `UsageError`."""
    longest, number = VALUE_BYTES.get(), 0
    try:
        with path.open("rb") as raw:
            mark = raw.read(2)
        encoding = "utf-16" if mark in _UTF_16 else "utf-8-sig"
        with path.open(encoding=encoding, errors="surrogateescape", newline="") as file:
            while line := file.readline(longest + 1):
                number += 1
                if len(line) > longest:
                    raise UsageError(f"{path}:{number}: This line is longer than {longest:,} characters.")
                if not line.isascii():
                    _check(line, path, number)
                yield line
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}:{number + 1}: This is not text in UTF-16: {error.reason}.") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error


def _check(line: str, path: Path, number: int) -> None:
    try:
        line.encode()
    except UnicodeEncodeError as error:
        half = ord(line[error.start])
        what = f"byte 0x{half - 0xDC00:02x}" if half >= 0xDC80 else "half a character"
        raise UsageError(
            f"{path}:{number}: This is not text in UTF-8 ({what}). Save the file as UTF-8, as with "
            f"`iconv -f latin1 -t utf-8 {path}`."
        ) from None
