"""How tools are named where a prompt, or a file for all its prompts, says which ones its model may call.

Above: the front matter, the options of prompts. Below: values. Which tools there are is not known here.
"""

from __future__ import annotations

import re

from samovar.values import to_text

PATTERN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_.*?-]+")
"""A tool by its name, `files.read`, or several by a pattern, `git.*`; the source is always written out."""
NO_TOOLS = "none"
MOST_PATTERNS = 64
_NAME = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]+")


def read_tools(value: object) -> tuple[str, ...]:
    """Patterns, from a list or a text with commas between them; none for `none`. Raises `ValueError`."""
    expected = 'tools, as in "files.read, git.*", or none'
    if not isinstance(value, str | list | tuple):
        raise ValueError(expected)
    items = value.split(",") if isinstance(value, str) else list(map(to_text, value))
    patterns = [text for item in items if (text := item.strip())]
    if patterns == [NO_TOOLS] or patterns == []:
        if isinstance(value, str) and not patterns:
            raise ValueError(expected)
        return ()
    for pattern in patterns:
        if not PATTERN.fullmatch(pattern):
            raise ValueError(f"{expected}; {pattern[:60]!r} is not one")
    if len(patterns) > MOST_PATTERNS:
        raise ValueError(f"at most {MOST_PATTERNS} tools or patterns")
    return tuple(dict.fromkeys(patterns))


def read_tool_choice(value: object) -> str:
    """Raises `ValueError`."""
    text = to_text(value)
    if text not in ("auto", "none", "required") and not _NAME.fullmatch(text):
        raise ValueError("auto, none, required, or the name of a tool, as in files.read")
    return text
