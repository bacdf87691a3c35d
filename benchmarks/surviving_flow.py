"""The workflow that is killed: everything that a run can be in the midst of.

Above: `surviving.py`. Commands with an effect write a line, once; they are never in progress at once, so that
one decision is enough. Those that only give a value may be repeated.
"""

from __future__ import annotations

from pathlib import Path

CHILD = """---
parameters: [{name: number, type: number}]
---
```mermaid
stateDiagram-v2
    [*] --> Twice
    Twice --> Do
    Do --> Say
    Say --> [*]
```

## Actions

- Twice: Set m := number * 2
- Do: Shell "echo child >> effects"
- Say: Prompt "child ${m}" result="said" using max_tokens=12
"""
TOP = """```mermaid
stateDiagram-v2
    [*] --> Begin
    Begin --> Fork
    state Fork <<fork>>
    Fork --> Left
    Fork --> Right
    Left --> Join
    Right --> Talk
    Talk --> Join
    state Join <<join>>
    Join --> Note
    Note --> Count
    Count --> Loop
    Loop --> Count: n < 6
    Loop --> Each
    Each --> Inner
    Inner --> Below
    state Inner {
        [*] --> Square
        Square --> Mark
        Mark --> [*]
    }
    Below --> Nap
    Nap --> Question
    Question --> Big
    Big --> Fails
    Fails --> Last: failure
    Last --> [*]
```

## Actions

- Begin: Set n := 0
- Left: Shell "echo left >> effects"
- Right: Prompt "right" result="right" using session=talk max_tokens=16
- Talk: Prompt "and more" result="more" using session=talk max_tokens=16
- Note: Shell "echo note >> effects"
- Count: Set n := n + 1
- Loop: Shell "head -c 900000 /dev/zero | tr '\\\\0' ${n}" result="out" retry_safe=true
- Each: Prompt "about ${x}" for each x in ["a", "b", "c"] result="abouts" at_once=2 using max_tokens=12
- Inner: For each y in [1, 2, 3] at_once=1 collect="sq" result="squares"
- Square: Set sq := y * y
- Mark: Shell "echo item ${y} >> effects"
- Below: Run workflow "child" with number="${n}" result="below"
- Nap: Wait 0.2 seconds
- Question: Ask "Which?" choices="red|blue" result="colour"
- Big: Shell "head -c 1500000 /dev/zero | tr '\\\\0' b" result="big" retry_safe=true
- Fails: Shell "exit 3" retry_safe=true
- Last: Set end := "it was " + error.kind
"""
ANSWERS = ("--answer", "Question=red")
EFFECTS = {
    "Left": "left",
    "Note": "note",
    "Inner[0]/Mark": "item 1",
    "Inner[1]/Mark": "item 2",
    "Inner[2]/Mark": "item 3",
    "Below/Do": "child",
}
"""The line that each command with an effect writes, by its path."""


def write_flow(folder: Path) -> None:
    """Its files."""
    (folder / ".git").mkdir()
    (folder / "child.md").write_text(CHILD, encoding="utf-8")
    (folder / "top.md").write_text(TOP, encoding="utf-8")
