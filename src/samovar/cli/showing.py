"""Shows a text to a person: shortened, with escapes for control sequences of the terminal.

Above: every module of this folder that writes for people. Below: nothing. The bound comes before everything
else, since formatting a large text takes minutes and gigabytes. JSON and standard output have the whole text.
"""

from __future__ import annotations

from unicodedata import category

MOST_SHOWN_LINES = 200
"""Lines of one text: more than a person reads, and a few screens to scroll back over."""
MOST_SHOWN_CHARS = 20_000
"""Characters of one text: 200 lines of 100 characters, which rich formats in some hundredths of a second."""


def shown(text: str) -> str:
    """The text for a terminal: as much of it as is shown, and how much more there is."""
    return visible(bounded(text))


def bounded(text: str) -> str:
    """The beginning of the text, and below it how much more there is; the text itself if that is short."""
    end = _end_of_lines(text, min(len(text), MOST_SHOWN_CHARS))
    if end == len(text) or not text[end:].strip("\n"):
        return text[: end + 1]
    begin = end + (text[end] == "\n")
    lines = text.count("\n", begin)
    on = f" on {lines:,} lines" if lines > 1 else ""
    return f"{text[:end]}\n… {len(text) - begin:,} more characters{on}"


def _end_of_lines(text: str, most: int) -> int:
    """Where the last line that is shown ends, at `most` at the latest."""
    end = -1
    for _ in range(MOST_SHOWN_LINES):
        end = text.find("\n", end + 1, most)
        if end < 0:
            return most
    return end


def visible(text: str) -> str:
    """The text with an escape for what a terminal would do instead of show; line ends and tabs stay."""
    if text.isprintable():
        return text
    return text.translate({ord(one): ascii(one)[1:-1] for one in set(text) if not is_shown(one)})


def is_shown(one: str) -> bool:
    """Blanks of any width are, and what joins letters and pictures to one: scripts and emoji need it."""
    return one.isprintable() or one in "\n\t\u200c\u200d" or category(one) == "Zs"
