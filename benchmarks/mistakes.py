"""One mistake of a kind that people make, put into a workflow or a prompt, and whether it must be found.

Above: `mutation.py`, which asks `check` about each. Below: nothing of the project: what a mistake leaves
unknown, unreachable or untypable is told by how it was made, or by the few regular expressions of `Sheet`,
which know just enough of the language for the files that are shipped.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

_EDGE = re.compile(r"^( *)(\[\*\]|\w+) --> (\[\*\]|\w+)(?:: (.*))?$")
_ACTION = re.compile(r"^- (\w+): (.*)$")
_READ = re.compile(r"\$\{\s*(\w+)\b(?!\()|\{\{-?\s*(\w+)|\{%-?\s*(?:if|elsif|unless)\s+(\w+)")
_DECLARED = re.compile(r" *- \{?name: (\w+)")
_ITEM = re.compile(r"\b[Ff]or each (\w+) in\b|\.(?:map|filter|exists|all)\((\w+),|\{%-? for (\w+) in\b")
_RESULT = re.compile(r'(?<=result=")\w+(?=")')
_SET = re.compile(r"(?:^Set |, )(\w+)(?= ?:?=)")
_WORD = re.compile(r'"(?:\\.|[^"\\])*"|(?<![\w.])([A-Za-z_]\w*)(?!\w|\()')
_TEXT = re.compile(r'"(?:\\.|[^"\\])*"')
_OWN = {
    *("success", "failure", "is_error", "error", "result", "default", "always", "null", "true", "false"),
    *("stdout", "stderr", "exit_code", "forloop"),
}
_VERBS = {"log", "set", "prompt", "execute", "run", "shell", "abort", "wait", "command", "error", "warning"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One change of one file."""

    kind: str
    file: str
    line: int
    """From 1: where it was made."""
    old: str
    new: str
    text: str
    """The whole file with it."""
    breaks: bool
    """It leaves something unknown, unreachable or untypable."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.old!r} became {self.new!r}"


@dataclass(frozen=True, slots=True)
class Change:
    """What one line becomes."""

    line: int
    old: str
    new: str
    after: str
    breaks: bool | None = None
    """None: whether it breaks is seen by what the changed file leaves loose."""


@dataclass(slots=True)
class Sheet:
    """What a file has, as far as it takes to make mistakes in it."""

    lines: list[str]
    front: list[int] = field(default_factory=list)
    edges: list[int] = field(default_factory=list)
    actions: list[int] = field(default_factory=list)
    prose: list[int] = field(default_factory=list)
    """Lines of prompts."""

    @classmethod
    def of(cls, text: str) -> Sheet:
        sheet = cls(text.split("\n"))
        is_workflow, part = "stateDiagram" in text, ""
        for number, line in enumerate(sheet.lines):
            if line == "---" and part in ("", "front"):
                part = "front" if not part else "body"
            elif line.startswith("## "):
                part = line[3:]
            elif part == "front":
                sheet.front.append(number)
            elif _EDGE.match(line):
                sheet.edges.append(number)
            elif part == "Actions" and _ACTION.match(line):
                sheet.actions.append(number)
            elif part == "Prompts" or not is_workflow:
                sheet.prose.append(number)
        return sheet

    @property
    def states(self) -> list[str]:
        return sorted({name for source, target, _ in self.drawn() for name in (source, target)} - {"[*]"})

    @property
    def declared(self) -> set[str]:
        return {match[1] for line in self._of(self.front) if (match := _DECLARED.match(line))}

    @property
    def set_here(self) -> set[str]:
        bodies = [re.sub(r"^- \w+: ", "", self._whole(number)) for number in self.actions]
        sets = (
            one for body in bodies if body.startswith("Set ") for one in _SET.findall(_TEXT.sub("", body))
        )
        return {*sets, *(one for body in bodies for one in _RESULT.findall(body))}

    @property
    def read(self) -> set[str]:
        found = {name for line in self.lines for names in _READ.findall(line) for name in names if name}
        conditions = (label for _, _, label in self.drawn() if re.search(r"[=<>]", label))
        return found.union(*map(words, conditions)) - _OWN

    @property
    def known(self) -> set[str]:
        given = (re.findall(r"(\w+)=", line) for line in self._of(self.actions) if "Execute prompt" in line)
        items = {name for line in self.lines for names in _ITEM.findall(line) for name in names if name}
        items |= {f"{name}_index" for name in items}
        return self.declared | self.set_here | items | _OWN | {name for names in given for name in names}

    def drawn(self) -> Iterator[tuple[str, str, str]]:
        """Each edge: from, to, label."""
        for line in self._of(self.edges):
            if match := _EDGE.match(line):
                yield match[2], match[3], match[4] or ""

    def loose_ends(self) -> bool:
        """Whether a name is read that nothing sets, or a state is not reached or not left."""
        edges = list(self.drawn())
        reached, waiting = {"[*]"}, ["[*]"]
        while waiting:
            one = waiting.pop()
            new = {target for source, target, _ in edges if source == one} - reached
            reached |= new
            waiting += new - {"[*]"}
        left = {source for source, _, _ in edges} | self._aborting()
        is_lost = any(name not in reached or name not in left for name in self.states)
        shadowed = any(
            not label and edges.index((source, target, label)) != at
            for at, (source, target, label) in enumerate(edges)
        )
        several = self._forks() | ({"[*]"} if any(line.endswith(" {") for line in self.lines) else set())
        plain = [source for source, _, label in edges if not label and source not in several]
        return is_lost or shadowed or len(plain) != len(set(plain)) or bool(self.read - self.known)

    def _whole(self, number: int) -> str:
        """A bullet with the indented lines below it."""
        end = number + 1
        while end < len(self.lines) and self.lines[end].startswith("    "):
            end += 1
        return " ".join(map(str.strip, self.lines[number:end]))

    def _aborting(self) -> set[str]:
        found = (_ACTION.match(line) for line in self._of(self.actions))
        return {match[1] for match in found if match and match[2].startswith("Abort")}

    def _forks(self) -> set[str]:
        return {line.split()[1] for line in self.lines if line.endswith("<<fork>>")}

    def _of(self, numbers: list[int]) -> list[str]:
        return [self.lines[number] for number in numbers]


def words(expression: str) -> set[str]:
    """Names of variables in an expression, without functions and what is behind a point."""
    return {match[1] for match in _WORD.finditer(expression) if match[1]}


def misspelt(word: str, chance: random.Random) -> str:
    """The word with one letter swapped, dropped, doubled or another; never the word itself."""
    while True:
        at = chance.randrange(len(word))
        match chance.randrange(4):
            case 0 if at + 1 < len(word):
                new = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
            case 1 if len(word) > 2:
                new = word[:at] + word[at + 1 :]
            case 2:
                new = word[: at + 1] + word[at:]
            case _:
                new = word[:at] + chance.choice("abcdefghijklmnopqrstuvwxyz") + word[at + 1 :]
        if new.lower() != word.lower() and not new[0].isdigit():
            return new


def swapped(line: str, begin: int, end: int, new: str) -> str:
    return line[:begin] + new + line[end:]


Maker = Callable[[Sheet, random.Random], Iterator[Change]]


def at_matches(
    sheet: Sheet, numbers: list[int], pattern: str, new: Callable[[re.Match[str]], str], breaks: bool | None
) -> Iterator[Change]:
    """A change at each match of a pattern; group 1 is what is replaced, if there is one."""
    for number in numbers:
        line = sheet.lines[number]
        for match in re.finditer(pattern, line):
            group = 1 if match.re.groups else 0
            old, into = match[group], new(match)
            if into != old:
                after = swapped(line, match.start(group), match.end(group), into)
                yield Change(number, old, into, after, breaks)


def one_of(changes: Iterator[Change], chance: random.Random) -> Change | None:
    found = list(changes)
    return chance.choice(found) if found else None


def mistakes(files: dict[str, str], makers: dict[str, tuple[Maker, ...]], *, seed: int) -> Iterator[Mistake]:
    """Mistakes without end, each kind as often as any other."""
    chance = random.Random(seed)
    while True:
        for kind in makers:
            file = chance.choice(sorted(files))
            sheet = Sheet.of(files[file])
            change = one_of(chance.choice(makers[kind])(sheet, chance), chance)
            if change is not None:
                lines = [*sheet.lines]
                lines[change.line : change.line + 1] = [change.after]
                text = "\n".join(lines)
                breaks = Sheet.of(text).loose_ends() if change.breaks is None else change.breaks
                yield Mistake(
                    kind=kind,
                    file=file,
                    line=change.line + 1,
                    old=change.old,
                    new=change.new,
                    text=text,
                    breaks=breaks,
                )
