"""Explains mistakes in a diagram, a line or a name that Mermaid would not read either.

Above: `mermaid.py`, `statements.py`. Below: nothing.
"""

from __future__ import annotations

import re

OTHER_KINDS = frozenset(
    (
        *("flowchart", "graph", "sequenceDiagram", "classDiagram", "erDiagram", "gantt", "pie", "journey"),
        *("gitGraph", "mindmap", "timeline", "requirementDiagram", "quadrantChart", "sankey-beta"),
        *("xychart-beta", "block-beta", "C4Context", "architecture-beta", "packet-beta", "kanban"),
    )
)

_OTHER_ARROW = re.compile(r"[<ox]?[=.~-]+>|<[=.~-]+[>ox]?")


_EDITORS_ARROW = re.compile(r"[-–—−]*[–—−][-–—−]*[>›]|(?<!\S)[→⇒⟶➔➜](?!\S)")
"""What editors make of `-->` while it is typed."""


_BROKEN_END = re.compile(r"[\[\](){}*\s]+|\[(?:start|end)\]", re.I)
"""What is meant for `[*]`, with a bracket missing or another one."""


def _editors_arrow(text: str) -> str | None:
    match = _EDITORS_ARROW.search(text)
    return (
        f"`{match[0]}` is not an arrow, although an editor may have made it from one: type `-->`."
        if match
        else None
    )


def not_ours(word: str, text: str) -> str:
    """What to say of a diagram `text` that begins with `word`."""
    if word in OTHER_KINDS:
        return f"A workflow is a state diagram, and this is a {word}: begin with `stateDiagram-v2`."
    return f"A state diagram begins with `stateDiagram-v2`, not {text.splitlines()[0][:40]!r}."


def explain(line: str) -> str:
    """Mistakes in a line that is not a statement."""
    text = line.strip()
    if made := _editors_arrow(text):
        return made
    if "--->" in text or re.search(r"-->\s*-|-\s+-->", text):
        return "An arrow is `-->`: there is one `-` too many."
    if text.startswith('"') or re.search(r'-->\s*"', text):
        return 'A name cannot be in quotes: declare `state "The text" as X`, and write `X`.'
    if re.fullmatch(r'state\s+"[^"]*', text, re.I):
        return 'The text that begins here does not end: `"` is missing.'
    if re.fullmatch(r'state\s+"[^"]*"', text, re.I):
        return 'A titled state needs a name: `state "text" as X`.'
    if text.startswith("}"):
        return "This `}` closes nothing."
    if text == "--":
        return "`--` separates regions only inside a composite: `state X { … -- … }`."
    if re.match(r"state\s", text, re.I) and "-->" not in text:
        return f"{text[:60]!r} does not declare a state: write `state X`."
    if re.match(r"state\s", text, re.I):
        return "`state` is for declarations: write the arrow without it, `A --> B`."
    if "-->" in text or re.search(r"\s--\s", text):
        return "An arrow is `A --> B` or `A --> B: label`, one per line."
    return f"{text[:60]!r} is not a statement. An arrow is `A --> B: label`."


def no_name(name: str) -> str | None:
    """Mistakes in a name that is surely something else."""
    if made := _editors_arrow(name):
        return made
    if _BROKEN_END.fullmatch(name):
        return f"{name[:20]!r} is not a state: write `[*]` for the start and the end of a diagram."
    words = name.split()
    first, last = words[0], words[-1]
    if first.startswith("|"):
        return "That is the label of a flowchart: write `A --> B: label`."
    if first.lower() == "state" and len(words) > 1:
        return f"`state` is for declarations: in an arrow, write only {' '.join(words[1:])[:60]!r}."
    if last.endswith("<") or any(_OTHER_ARROW.fullmatch(word) for word in words):
        return "An arrow is `A --> B`: there is no other kind, and it points one way."
    return None
