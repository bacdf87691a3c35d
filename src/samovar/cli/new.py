"""`samovar new`: writes a small workflow to start from.

Above: the commands of `__init__.py`. Below: nothing of the project but its errors.
"""

from __future__ import annotations

from pathlib import Path

from samovar.cli.terminal import say
from samovar.errors import UsageError

FIRST_WORKFLOW = """\
---
title: Notes
description: Sums up a text, and says whether it asks for something to be done
parameters:
  - name: text
    description: The text to read
    default: The printer on the second floor is out of paper again. Could somebody refill it before noon?
---

# Notes

```mermaid
stateDiagram-v2
    [*] --> Summarise
    Summarise --> Judge
    Judge --> Remind: todo == "yes"
    Judge --> [*]: default
    Remind --> [*]
```

## Actions

- Summarise: Execute prompt "summary" result="summary" using max_tokens=60
- Judge: Prompt "Does this ask somebody to do something? {{ text }}" result="todo" using choices="yes|no"
- Remind: Log warning "To do: ${summary}"

## Prompts

### summary

Summarise this in one sentence:

{{ text }}
"""


def new_workflow(path: Path) -> int:
    """Writes a small workflow."""
    if path.suffix not in (".md", ".markdown"):
        name = path.name or "first"
        raise UsageError(
            f"A workflow is a Markdown file: samovar new {path.with_name(name) if path.name else name}.md"
        )
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(FIRST_WORKFLOW)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already.") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
    say(f"Wrote {path}. Run it: samovar run {path}")
    return 0
