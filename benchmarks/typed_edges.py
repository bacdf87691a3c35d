"""Mistakes in conditions over the schema of an answer: how many of them `check` finds.

    python -m benchmarks.typed_edges [--count 100] [--seed 0]

Each workflow has a schema of its own, made from the seed, and conditions that are right, of which `check`
says nothing; then one of them is changed as people change it. A mistake counts as found if there is an error
or a warning where there was none. Below: the command line's `check`.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.mistakes import misspelt
from samovar.actions import parse_action
from samovar.cli.checking import faults_of
from samovar.config import load_settings
from samovar.library import Library

LEAST_SHARE = 0.95
_WORDS = (
    *("urgent", "team", "reason", "count", "score", "title", "labels", "person", "place", "price", "state"),
    *("colour", "language", "product", "customer", "version", "country", "status", "kind", "level", "topic"),
)
_VALUES = (
    *("billing", "support", "sales", "high", "medium", "low", "open", "closed", "green", "yellow", "small"),
    *("large", "bug", "feature", "question", "north", "south", "draft", "final"),
)
_PAGE = """---
title: {title}
---

```mermaid
stateDiagram-v2
    [*] --> Judge
{edges}
    A --> [*]
    B --> [*]
```

## Actions

- Judge: Prompt "Judge this mail: my invoice is wrong." result="verdict" using schema="verdict"
- A: Log "a"
- B: Log "b"

## Schemas

### verdict

```yaml
{schema}
```
"""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a schema."""

    name: str
    kind: str
    said: str
    """What the schema says of it."""
    values: tuple[str, ...] = ()
    """Of an enum."""
    inner: str = ""
    """A field of a map, or of the maps in a list."""

    @property
    def path(self) -> str:
        return f"verdict.{self.name}"


@dataclass(frozen=True, slots=True)
class Edges:
    """The conditions of one workflow: right, and with one mistake."""

    kind: str
    schema: str
    right: tuple[str, ...]
    wrong: tuple[str, ...]

    def page(self, conditions: tuple[str, ...]) -> str:
        edges = [f"    Judge --> {'AB'[index % 2]}: {one}" for index, one in enumerate(conditions)]
        return _PAGE.format(title=self.kind, edges="\n".join(edges), schema=self.schema)


def fields(chance: random.Random) -> list[Field]:
    """One field of each kind, in any order."""
    names = chance.sample(_WORDS, 12)
    values = chance.sample(_VALUES, 6)
    inner, other = names.pop(), names.pop()
    enum, late = tuple(values[:3]), tuple(values[3:])
    found = [
        Field(names[0], "enum", "|".join(enum), enum),
        Field(names[1], "truth", "boolean"),
        Field(names[2], "whole", "integer"),
        Field(names[3], "number", "number"),
        Field(names[4], "text", "text"),
        Field(names[5], "list", "[text]"),
        Field(names[6], "enums", f"[{'|'.join(late)}]", late),
        Field(names[7], "map", f"{{{inner}: {'|'.join(late)}, {other}: integer}}", late, inner),
        Field(names[8], "rows", f"[{{{inner}: {'|'.join(late)}, {other}: text}}]", late, inner),
        Field(names[9], "optional", "text?"),
    ]
    chance.shuffle(found)
    return found


def _told(field: Field) -> str:
    return f'{field.path} == "{field.values[0]}"'


def _inner(field: Field) -> str:
    return f'{field.path}{"[0]" if field.kind == "rows" else ""}.{field.inner} == "{field.values[0]}"'


RIGHT: dict[str, Callable[[Field], str]] = {
    "enum": _told,
    "truth": lambda field: field.path,
    "whole": lambda field: f"{field.path} > 3",
    "number": lambda field: f"{field.path} >= 0.5",
    "text": lambda field: f'{field.path}.contains("late")',
    "list": lambda field: f'size({field.path}) > 1 && {field.path}[0] == "a"',
    "enums": lambda field: f'"{field.values[0]}" in {field.path}',
    "map": _inner,
    "rows": _inner,
    "optional": lambda field: f'has({field.path}) && {field.path} != "none"',
}
"""A condition that is right, by the kind of a field."""

Mistake = Callable[[Field, random.Random], str]


def _misspelt(field: Field, chance: random.Random) -> str:
    return RIGHT[field.kind](field).replace(field.path, f"verdict.{misspelt(field.name, chance)}")


def _other_value(field: Field, chance: random.Random) -> str:
    return RIGHT[field.kind](field).replace(f'"{field.values[0]}"', f'"{misspelt(field.values[0], chance)}"')


def _other_case(field: Field, chance: random.Random) -> str:
    old = chance.choice((f'"{field.values[0]}"', field.path))
    new = old.title() if old.startswith('"') else f"verdict.{field.name.title()}"
    return RIGHT[field.kind](field).replace(old, new)


MISTAKES: dict[str, tuple[tuple[str, ...], Mistake]] = {
    "a field is misspelt": (tuple(RIGHT), _misspelt),
    "a value that cannot come": (("enum", "enums", "map", "rows"), _other_value),
    "other case of letters": (("enum", "enums", "map", "rows"), _other_case),
    "a truth compared with a text": (("truth",), lambda field, _: f'{field.path} == "true"'),
    "a truth compared with yes": (("truth",), lambda field, _: f'{field.path} == "yes"'),
    "a number as text": (("whole", "number"), lambda field, _: f'{field.path} == "3"'),
    "a number ordered with a text": (("whole", "number"), lambda field, _: f'{field.path} > "3"'),
    "a text compared with a number": (("enum", "text"), lambda field, _: f"{field.path} == 3"),
    "a list treated as text": (("list", "enums"), lambda field, _: f'{field.path} == "a"'),
    "a method of texts on a list": (("list", "rows"), lambda field, _: f'{field.path}.startsWith("a")'),
    "a text treated as a list": (("enum", "text"), lambda field, _: f'"a" in {field.path}'),
    "an optional field unguarded": (("optional",), lambda field, _: f'{field.path} == "none"'),
    "an optional field guarded too late": (
        ("optional",),
        lambda field, _: f'{field.path} == "none" && has({field.path})',
    ),
    "an inner field misspelt": (
        ("map", "rows"),
        lambda field, chance: _inner(field).replace(f".{field.inner} ", f".{misspelt(field.inner, chance)} "),
    ),
    "a level left out": (("map",), lambda field, _: f'verdict.{field.inner} == "{field.values[0]}"'),
    "a level too many": (("enum", "whole", "text"), lambda field, _: f'{field.path}.value == "a"'),
    "a list without its item": (("rows",), lambda field, _: f'{field.path}.{field.inner} == "a"'),
    "a map compared as a whole": (("map",), lambda field, _: f'{field.path} == "{field.values[0]}"'),
    "an answer compared as a whole": (("enum",), lambda field, _: f'verdict == "{field.values[0]}"'),
    "a text as a truth": (("enum", "text"), lambda field, _: field.path),
    "a number as a truth": (("whole", "list"), lambda field, _: f"!{field.path}"),
    "an item in a macro": (
        ("rows",),
        lambda field, chance: f'{field.path}.exists(r, r.{misspelt(field.inner, chance)} == "a")',
    ),
    "sureness of a text": (("text", "whole"), lambda field, _: f"confidence({field.path}) < 0.5"),
}
"""By what is wrong: the kinds of fields it can be made with, and the condition."""
MISSING = "a value without an edge"


def made(count: int, seed: int) -> Iterator[Edges]:
    """So many mistakes, of each kind as many as of the others."""
    kinds = [*MISTAKES, MISSING]
    for index in range(count):
        chance = random.Random(f"{seed} {index}")
        known = fields(chance)
        schema = "\n".join(f"{field.name}: {field.said}" for field in known)
        kind = kinds[index % len(kinds)]
        if kind == MISSING:
            enum = next(field for field in known if field.kind == "enum")
            right = tuple(f'{enum.path} == "{value}"' for value in enum.values)
            gone = chance.randrange(len(right))
            yield Edges(kind, schema, right, right[:gone] + right[gone + 1 :])
            continue
        takes, mistake = MISTAKES[kind]
        field = chance.choice([one for one in known if one.kind in takes])
        yield Edges(kind, schema, (RIGHT[field.kind](field), "default"), (mistake(field, chance), "default"))


def faults(edges: Edges, conditions: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """Errors and warnings of the workflow with these conditions."""
    path = folder / "edges.md"
    path.write_text(edges.page(conditions), encoding="utf-8")
    found = faults_of(path, Library([("", folder)], parse_action), load_settings({}))
    return tuple(f"{one.code}: {one.message}" for one in found if one.severity != "hint")


def main() -> None:
    parser = argparse.ArgumentParser(description="Mistakes in conditions over schemas, and what check finds.")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        for edges in made(given.count, given.seed):
            assert edges.right != edges.wrong, edges
            if wrong := faults(edges, edges.right, Path(folder)):
                sys.exit(f"not clean: {edges.right}\n{edges.schema}\n{wrong}")
            if not faults(edges, edges.wrong, Path(folder)):
                missed += 1
                print(f"missed: {edges.kind}: {edges.wrong[0]}")
    print(f"{given.count - missed} of {given.count} found")
    sys.exit(0 if given.count - missed >= LEAST_SHARE * given.count else 1)


if __name__ == "__main__":
    main()
