"""Slips of somebody who does not know the language, anywhere in the shipped files: what passes silently.

    python -m benchmarks.slips [--count 500] [--seed 0] [--show 40]

Unlike `makers.py` it knows nothing of what a place means, so many slips are harmless (a word of a text): what
passes is printed by kind, for a person to judge. Below: the desk of `mutation.py`.
"""

from __future__ import annotations

import argparse
import itertools
import random
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.mistakes import Mistake, misspelt
from benchmarks.mutation import Desk, Found

Slip = Callable[[list[str], random.Random], tuple[int, list[str]] | None]
"""A line, from 0, and all the lines with the slip; None where it cannot be made."""
_WORD = re.compile(r"[A-Za-z_]{4,}")
_DIAGRAM = re.compile(r"-->|^\s*state ")


def _at(pattern: str, new: Callable[[re.Match[str], random.Random], str]) -> Slip:
    """Changes one match of a pattern outside prompts and descriptions."""

    def slip(lines: list[str], chance: random.Random) -> tuple[int, list[str]] | None:
        places = [
            (number, match)
            for number, line in enumerate(lines[: _end(lines)])
            if not re.match(r" *(?:title|description):|^    +\w+ \w+ ", line)
            for match in re.finditer(pattern, line)
        ]
        if not places:
            return None
        number, match = chance.choice(places)
        line = match.string
        changed = line[: match.start()] + new(match, chance) + line[match.end() :]
        return number, [*lines[:number], changed, *lines[number + 1 :]]

    return slip


def _end(lines: list[str]) -> int:
    return lines.index("## Prompts") if "## Prompts" in lines else len(lines)


def _without(pattern: str, more: int = 0) -> Slip:
    """Leaves out a line, and so many behind it."""

    def slip(lines: list[str], chance: random.Random) -> tuple[int, list[str]] | None:
        places = [number for number, line in enumerate(lines) if re.search(pattern, line)]
        if not places:
            return None
        number = chance.choice(places)
        return number, [*lines[:number], *lines[number + 1 + more :]]

    return slip


def _state_renamed_in_the_diagram(lines: list[str], chance: random.Random) -> tuple[int, list[str]] | None:
    states = sorted({word for line in lines if "-->" in line for word in re.findall(r"\b[A-Z]\w+", line)})
    if not states:
        return None
    old = chance.choice(states)
    new = [re.sub(rf"\b{old}\b", f"{old}It", one) if _DIAGRAM.search(one) else one for one in lines]
    return next(number for number, one in enumerate(new) if one != lines[number]), new


def _swapped(lines: list[str], chance: random.Random) -> tuple[int, list[str]] | None:
    number = chance.randrange(len(lines) - 1)
    one, two = lines[number : number + 2]
    return (number, [*lines[:number], two, one, *lines[number + 2 :]]) if one.strip() != two.strip() else None


SLIPS: dict[str, Slip] = {
    "a letter of a word": _at(_WORD.pattern, lambda m, chance: misspelt(m[0], chance)),
    "no closing quote": _at(r'"(?=[ |,)\]]|$)', lambda m, _: ""),
    "no bracket": _at(r"[)\]}({\[]", lambda m, _: ""),
    "= for ==": _at("==", lambda m, _: "="),
    "case": _at(r"\b[A-Za-z]\w{3,}", lambda m, _: m[0].swapcase() if m[0].islower() else m[0].lower()),
    "another choice": _at(r'== "\w+"', lambda m, _: '== "maybe"'),
    "renamed in the diagram": _state_renamed_in_the_diagram,
    "an option": _at(r"\b\w+(?==)", lambda m, chance: misspelt(m[0], chance)),
    "a parameter undeclared": _without(r"^  - name:", 1),
    "a bullet without colon": _at(r"^- \w+(:)", lambda m, _: m[0][:-1]),
    "an arrow": _at("-->", lambda m, chance: chance.choice(["->", "=>", "-> ", "—>", "-- >"])),
    "a line left out": _without(r"\S"),
    "two lines swapped": _swapped,
    "another bullet": _at(r"^- (?=\w+:)", lambda m, chance: chance.choice(["* ", "1. ", "", "– ", "  - "])),
    "a heading": _at(r"^## \w+", lambda m, chance: chance.choice(["# ", "### ", "##", ""]) + m[0][3:]),
    "a heading misspelt": _at(r"(?<=^## )\w+", lambda m, chance: misspelt(m[0], chance)),
    "indentation": _at(r"^ +(?=\S)", lambda m, chance: m[0] + chance.choice([" ", "  ", "\t"])),
    "= with blanks": _at(r"(?<=\w)=(?=\")", lambda m, _: " = "),
    "= is :": _at(r"(?<=\w)=(?=[\"\d])", lambda m, _: ": "),
    "a comma between": _at(r'(?<=") (?=\w+=)', lambda m, _: ", "),
    "another filling": _at(
        r"\$\{\w+\}",
        lambda m, chance: chance.choice(["$%s", "{%s}", "{{%s}}", "%%%s%%", "$(%s)"]) % m[0][2:-1],
    ),
}


def slips(files: dict[str, str], *, seed: int) -> Iterator[Mistake]:
    chance = random.Random(seed)
    while True:
        for kind, slip in SLIPS.items():
            file = chance.choice(sorted(files))
            lines = files[file].split("\n")
            if (made := slip(lines, chance)) is None or made[1] == lines:
                continue
            number, after = made
            yield Mistake(
                kind=kind,
                file=file,
                line=number + 1,
                old=lines[number].strip(),
                new=after[number].strip(),
                text="\n".join(after),
                breaks=False,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=40, help="how many that passed are shown")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        made = itertools.islice(slips(desk.files, seed=arguments.seed), arguments.count)
        found = [desk.try_out(one) for one in made]
    silent: list[Found] = [one for one in found if not one.faults]
    for kind in SLIPS:
        of_kind = sum(one.mistake.kind == kind for one in found)
        print(f"{kind:<24} {of_kind:>4} {sum(one.mistake.kind == kind for one in silent):>4} silent")
    for one in silent[: arguments.show]:
        print(f"{one.mistake.kind}: {one.mistake}")


if __name__ == "__main__":
    main()
