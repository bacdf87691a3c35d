"""The blocks of code in an answer: fenced by back-ticks or tildes, as Markdown has them.

Above: `formats.py`, which reads the JSON in one, and takes the code of one. Below: nothing. The time it takes
grows with the text and no faster, whatever a model has written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

LINE_END = re.compile(r"\r\n|\r|\n")
_FENCE = re.compile(r"[ \t]*(?P<fence>`{3,}|~{3,})")
BOM = "\ufeff"
SAME = {
    "bash": "sh", "c#": "csharp", "c++": "cpp", "cs": "csharp", "golang": "go", "js": "javascript",
    "jsx": "javascript", "kt": "kotlin", "md": "markdown", "ps1": "powershell", "py": "python",
    "python3": "python", "rb": "ruby", "rs": "rust", "shell": "sh", "ts": "typescript", "tsx": "typescript",
    "yml": "yaml", "zsh": "sh",
}  # fmt: skip
"""Names of languages that mean another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeBlock:
    """A fenced block."""

    language: str
    """As its fence says, in small letters and by one name for each; empty if it says none."""
    text: str
    """Without the indent of its fence."""
    line: int
    """The number of its first line, from 1; that of its fence is one less."""


def lines_of(text: str) -> list[str]:
    """The lines of a text, without their ends; an end of the last line begins no other."""
    lines = LINE_END.split(text)
    return lines if lines[-1] else lines[:-1]


def code_blocks(text: str) -> Iterator[CodeBlock]:
    """Each block of a text. The last may lack its end, as of an answer that was cut off."""
    fence, indent, language, first, block = "", 0, "", 0, list[str]()
    for number, line in enumerate(lines_of(text.removeprefix(BOM)), start=1):
        match = _FENCE.match(line)
        said = line[match.end() :].strip() if match else ""
        if fence:
            if match and not said and match["fence"].startswith(fence):
                yield CodeBlock(language=language, text="\n".join(block), line=first)
                fence = ""
            else:
                blanks = len(line) - len(line.lstrip(" \t"))
                block.append(line[min(indent, blanks) :])
        elif match and not (match["fence"][0] == "`" and "`" in said):
            fence, indent, first, block = match["fence"], match.start("fence"), number + 1, []
            language = language_of(said.split(maxsplit=1)[0] if said else "")
    if fence:
        yield CodeBlock(language=language, text="\n".join(block), line=first)


def language_of(name: str) -> str:
    """One name for each language: `python` for `py`, `Python` and `{.python}`."""
    name = name.strip("{}.").lower()
    return SAME.get(name, name)
