"""The meaning of every fault code, how to fix it, and a file that has it.

Above: `samovar check --explain`, and the page made of it. Below: `codes.yaml`, where it is written down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_BLOCKS = {
    "{fork}": "state F <<fork>>\nstate J <<join>>\n[*] --> F\nF --> A\nF --> B\nA --> J\nB --> J\nJ --> [*]",
    "{own}": "\n## Prompts\n\n### p\n\nText.",
    "{rules}": "Keep to this rule, whatever the step may be. " * 10,
    "{65537 x}": "x" * 65_537,
    "{60 x}": "\n".join(f"state S{level} {{" for level in range(60)) + "\nX\n" + "}\n" * 60,
}
"""What an example writes shorter than it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One code."""

    name: str
    means: str
    """One or two sentences."""
    do: str
    """What to do about it."""
    path: str
    """Path of the example, below the folder it is checked in."""
    file: bytes
    """The example."""
    of_run: bool
    """It is of what was given to a run, not of a file, and has no example."""
    shown: str
    """The part of the example that matters, as written in the page."""

    def __str__(self) -> str:
        return f"{self.name}: {self.means} {self.do}"


@cache
def codes() -> Mapping[str, Code]:
    """All of them, by name, in the order of the page."""
    import yaml

    text = Path(__file__).with_name("codes.yaml").read_text(encoding="utf-8")
    return {name: _code(name, entry) for name, entry in yaml.safe_load(text).items()}


def _code(name: str, entry: Mapping[str, Any]) -> Code:
    if "run" in entry:
        file, shown = b"", ""
    elif "bytes" in entry:
        file, shown = bytes.fromhex(entry["bytes"]), ""
    elif "file" in entry:
        shown = entry["file"]
        file = shown.encode()
    else:
        parts = {part: str(entry.get(part, "")) for part in ("front", "diagram", "actions", "rest")}
        shown = "\n".join(text.strip("\n") for text in parts.values() if text)
        parts = {part: _whole(text) for part, text in parts.items()}
        diagram = parts["diagram"] or "[*] --> A\nA --> [*]"
        front = f"---\n{parts['front']}\n---\n" if parts["front"] else ""
        actions = f"\n## Actions\n\n{parts['actions']}\n" if parts["actions"] else ""
        rest = f"\n{parts['rest']}" if parts["rest"] else ""
        file = f"{front}```mermaid\nstateDiagram-v2\n{diagram}\n```\n{actions}{rest}".encode()
    return Code(
        name=name,
        means=entry["means"],
        do=entry["do"],
        path=entry.get("path", "workflow.md"),
        file=file,
        of_run="run" in entry,
        shown=shown.replace("\n{own}", ""),
    )


def _whole(text: str) -> str:
    for short, block in _BLOCKS.items():
        text = text.replace(short, block)
    return text
