"""Reads a workflow file: everything wrong with it, or the workflow.

Above: `library.py`. Below: `workflow.py` for the values, `mermaid.py`, `markdown.py`, `prompt.py`.
All faults of a file are found in one reading, in the order of its lines.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samovar.errors import Fault, FaultsError, Fix, Place, nearest
from samovar.language.diagram import Diagram
from samovar.language.forks import read_forks
from samovar.language.front import read_settings
from samovar.language.graph import doubtful_shape, read_graph, with_inherited
from samovar.language.markdown import Bullet, Document, parse_document
from samovar.language.mermaid import parse_diagram
from samovar.language.prompt import Prompt, parse_prompt
from samovar.language.spelling import is_below_old_folder
from samovar.language.template import Partials
from samovar.language.workflow import (
    OLD_CONTEXT,
    OLD_NAMES,
    ParseAction,
    ParsedAction,
    Workflow,
)

OWN_SECTIONS = ("prompts", "schemas")
LARGEST_ACTION_CHARS = 65_536
MOST_OFFERS = 20
"""Faults of one file that name the nearest name; finding it takes time."""
MOST_NAMES = 2000
LONGEST_NAME = 100

_ACTION_LINE = re.compile(
    r"^\s*(?:[-*+]\s+)?(?:\*\*action\*\*\s*:|\*\*action:\*\*|action:)\s*(?P<text>.*)$", re.I
)
_STORE_LINE = re.compile(r"^\s*\*\*store as\*\*\s*:\s*[`\"']?(?P<name>[A-Za-z_]\w*)[`\"']?\s*$", re.I)
_NO_BULLET = re.compile(r"(?:\d+[.)]\s+)?(?P<name>[^\s:-][^:]*):")
_MERMAID = re.compile(r"\{?\s*\.?mermaid\b", re.I)
_COMMENT = re.compile(r"\s*(%%|//)")


@dataclass(slots=True)
class _Found:
    """What a reading has found so far."""

    faults: list[Fault] = field(default_factory=list)
    actions: dict[str, ParsedAction] = field(default_factory=dict)
    """By state."""
    unread: set[str] = field(default_factory=set)
    """What may be names of variables, in actions that could not be read."""
    offers: int = 0
    """Nearest names given so far."""

    def add(
        self, code: str, message: str, place: Place, *, is_error: bool = True, fix: Fix | None = None
    ) -> None:
        severity: Any = "error" if is_error else "warning"
        self.faults.append(Fault(code=code, message=message, place=place, severity=severity, fix=fix))

    def nearest(self, name: str, known: Collection[str]) -> str:
        """As `errors.nearest`, as long as that is quick."""
        self.offers += 1
        if self.offers > MOST_OFFERS or len(known) > MOST_NAMES or len(name) > LONGEST_NAME:
            return ""
        return nearest(name, [one for one in known if len(one) <= LONGEST_NAME])


def parse_workflow(
    text: str,
    *,
    name: str,
    path: Path | None,
    parse_action: ParseAction,
    lenient: bool = False,
    partials: Partials | None = None,
) -> Workflow:
    """The workflow that a text describes.

    `lenient` makes a text that is no action a warning. Raises `FaultsError` with every fault in the file,
    in its order, warnings among them; a workflow without errors keeps its warnings.
    """
    document = parse_document(text, path=path)
    found = _Found()
    is_old = is_below_old_folder(path)
    settings = read_settings(document, found.add, is_old=is_old)
    diagram, diagram_text = _read_diagram(document)
    found.faults += diagram.faults
    reader = _ActionReader(document, diagram, found, parse_action, lenient=lenient, is_old=is_old)
    reader.read()
    prompts = dict(_read_prompts(document, found, partials))
    found.faults += diagram.hints
    graph = read_graph(diagram, found.actions)
    initial = _initial(diagram, found)
    found.faults += graph.faults
    if not diagram.faults and initial:
        forks, wrong = read_forks(graph.states, initial)
        graph = with_inherited(graph, forks)
        found.faults += wrong
        found.faults += doubtful_shape(graph, initial)
    else:
        forks = {}
    faults = sorted(found.faults, key=lambda fault: (fault.place.line, fault.place.column))
    if initial is None:
        raise FaultsError(faults)
    workflow = Workflow(
        name=name,
        path=path,
        title=settings.title,
        description=settings.description or settings.title,
        parameters=settings.parameters,
        model=settings.model,
        model_place=settings.model_place,
        system=settings.system,
        seed=settings.seed,
        on_error=settings.on_error,
        limits=settings.limits,
        choice_states_act=settings.choice_states_act,
        initial=initial,
        states=graph.states,
        forks=forks,
        prompts=prompts,
        diagram=diagram_text,
        warnings=tuple(faults),
        old_names=frozenset(_old_names(text)),
        unread=frozenset(found.unread),
    )
    if any(fault.severity == "error" for fault in faults):
        raise FaultsError(faults, readable=workflow)
    return workflow


def _old_names(text: str) -> Iterator[str]:
    """The variables of the older system that a file reads, as far as that is seen without reading it."""
    for name in OLD_NAMES:
        if name in text and (
            name not in OLD_CONTEXT or re.search(rf"\{{[{{%][^}}\n]{{0,60}}\b{name}\b|\$\{{{name}\b", text)
        ):
            yield name


def _read_diagram(document: Document) -> tuple[Diagram, str]:
    fence = next((fence for fence in document.fences if _MERMAID.match(fence.info)), None)
    above = document.front_matter.end_line if document.front_matter else 0
    lines = list(enumerate(document.lines, start=1))[above:]
    first = next((line.strip() for _, line in lines if line.strip() and not _COMMENT.match(line)), "")
    is_bare = document.path is not None and ".mermaid" in document.path.suffixes
    if fence is None and (is_bare or re.match(r"(stateDiagram|flowchart|graph)\b", first)):
        text = "\n".join(line for _, line in lines)
        return parse_diagram(lines, path=document.path, line=above + 1), text
    if fence is None:
        place = document.place(1)
        fault = Fault(
            code="no-diagram",
            message="There is no diagram: a workflow has one ```mermaid block with a `stateDiagram-v2`.",
            place=place,
        )
        return Diagram(nodes={}, edges=(), faults=(fault,), place=place), ""
    inside = list(enumerate(document.lines, start=1))[fence.line : fence.end_line - 1]
    return parse_diagram(inside, path=document.path, line=fence.line), "\n".join(line for _, line in inside)


def _initial(diagram: Diagram, found: _Found) -> str | None:
    starts = [edge for edge in diagram.edges if edge.source is None and edge.scope is None]
    if not starts:
        if not diagram.faults:
            found.add("no-start", "The diagram has no start: add `[*] --> FirstState`.", diagram.place)
        return None
    for extra in starts[1:]:
        found.add("two-starts", "Only the first `[*] -->` is the start.", extra.place, is_error=False)
    if starts[0].target is None:
        found.add("no-start", "`[*] --> [*]` has no state between start and end.", starts[0].place)
    return starts[0].target


# Actions -----------------------------------------------------------------------------------------------


def _plain(name: str) -> str:
    """The name without bold and back-ticks."""
    return " ".join(name.replace("**", "").replace("`", "").split())


class _ActionReader:
    """Finds the text of each state's action, in the places where it may stand, and has it read."""

    def __init__(
        self,
        document: Document,
        diagram: Diagram,
        found: _Found,
        parse_action: ParseAction,
        *,
        lenient: bool,
        is_old: bool,
    ) -> None:
        self._document, self._diagram, self._found = document, diagram, found
        self._parse, self._lenient, self._is_old = parse_action, lenient, is_old

    def read(self) -> None:
        """Bullets win; then the older `## States`; then descriptions in the diagram."""
        seen: set[str] = set()
        sections: list[tuple[int, int]] = []
        is_own = False
        for heading in self._document.headings:
            if heading.level <= 2:
                is_own = heading.title.lower() in OWN_SECTIONS
            if heading.title.lower() == "actions" and heading.level in (2, 3) and not is_own:
                end = self._document.end_of(heading, 6)
                for bullet in self._document.bullets(heading.line + 1, end):
                    self._bullet(bullet, seen)
                sections.append((heading.line + 1, end))
        self._old_states(seen)
        for name, node in self._diagram.nodes.items():
            if name not in seen:
                for text, place in node.descriptions:
                    self._described(name, text, place)
        for line, end in sections:
            self._check_rest(line, end)
        self._check_outside(sections)

    def _check_outside(self, sections: Sequence[tuple[int, int]]) -> None:
        """Bullets that would be a state's action if they stood below `## Actions`."""
        for bullet in self._document.bullets(1, len(self._document.lines) + 1):
            name, colon, rest = bullet.text.partition(":")
            name = _plain(name)
            is_state = colon and name in self._diagram.nodes and name not in self._found.actions
            if not is_state or any(line <= bullet.place.line < end for line, end in sections):
                continue
            with suppress(FaultsError):
                self._parse(rest.strip("* \t"), bullet.place)
                message = f"This is no action of {name!r}: it stands outside of `## Actions`."
                self._found.add("action-line", message, bullet.place, is_error=False)

    def _check_rest(self, line: int, end: int) -> None:
        """Lines that would be a state's action if they were bullets, as in a numbered list."""
        for number in range(line, end):
            match = _NO_BULLET.match(self._document.lines[number - 1])
            name = _plain(match["name"]) if match and not self._document.is_fenced(number) else ""
            if name in self._diagram.nodes and name not in self._found.actions:
                message = f"This is no bullet, so {name!r} has no action: write `- {name}: …`."
                place = self._document.place(number)
                self._found.add("action-line", message, place, is_error=not self._is_old)

    def _bullet(self, bullet: Bullet, seen: set[str]) -> None:
        name, colon, rest = bullet.text.partition(":")
        name = _plain(name)
        if not colon:
            message = "An action line is `- State: action`."
            return self._found.add("action-line", message, bullet.place, is_error=not self._is_old)
        text = rest.lstrip("* \t")
        skipped = len(bullet.text.partition(":")[0]) + 1 + len(rest) - len(text)
        place = bullet.place.within(bullet.text, skipped)
        if name not in self._diagram.nodes:
            if self._diagram.nodes:
                message = (
                    f"The diagram has no state {name!r}.{self._found.nearest(name, self._diagram.nodes)}"
                )
                self._found.add("unknown-state", message, bullet.place, is_error=not self._is_old)
            return None
        if name in seen:
            message = f"The state {name!r} has two action lines; the later one counts."
            self._found.add("two-actions", message, bullet.place, is_error=False)
        seen.add(name)
        if not text.strip():
            return self._found.add(
                "action-line", f"The action of {name!r} is empty.", place, is_error=not self._is_old
            )
        self._read_text(name, text, place)
        return None

    def _read_text(self, name: str, text: str, place: Place) -> None:
        if len(text) > LARGEST_ACTION_CHARS:
            message = f"The action of {name!r} is longer than {LARGEST_ACTION_CHARS} characters."
            return self._found.add("too-large", message, place)
        try:
            self._found.actions[name] = self._parse(text, place)
        except FaultsError as error:
            self._found.unread.update(re.findall(r"[A-Za-z_]\w*", text))
            for fault in error.faults:
                is_unknown = fault.code == "unknown-action"
                is_error = not self._lenient and not (is_unknown and self._is_old)
                after = "" if is_error else " The state passes through."
                self._found.add(fault.code, fault.message + after, fault.place, is_error=is_error)
        return None

    def _old_states(self, seen: set[str]) -> None:
        """`## States` with `### Name` and a line `**ParsedAction**: …` below it."""
        document = self._document
        section = next((h for h in document.headings if h.title.lower() == "states" and h.level == 2), None)
        if section is None:
            return
        end, bullets = document.end_of(section), frozenset(seen)
        for heading in document.headings:
            name = _plain(heading.title)
            if not section.line < heading.line < end or name not in self._diagram.nodes or name in bullets:
                continue
            for number in range(heading.line + 1, min(end, document.end_of(heading))):
                line = document.lines[number - 1]
                if match := _ACTION_LINE.match(line):
                    text, place = match["text"].strip(), document.place(number, match.start("text") + 1)
                    seen.add(name)
                    self._read_text(name, self._with_store(text, heading.line + 1, end), place)
                    break
            else:
                self._read_block(name, heading.line + 1, min(end, document.end_of(heading)))

    def _read_block(self, name: str, line: int, end: int) -> None:
        """The text below `### Name` where no line is marked: an action, or it only describes the state."""
        lines = self._document.lines[line - 1 : end - 1]
        text = "\n".join(lines).strip()
        first = next((number for number, one in enumerate(lines, start=line) if one.strip()), line)
        if text and len(text) <= LARGEST_ACTION_CHARS:
            with suppress(FaultsError):
                self._found.actions[name] = self._parse(text, self._document.place(first))

    def _with_store(self, text: str, line: int, end: int) -> str:
        """The older `**Store As**: name` is `result="name"`."""
        for number in range(line, end):
            source = self._document.lines[number - 1]
            if source.startswith("#"):
                break
            match = _STORE_LINE.match(source)
            if match and " result=" not in text and re.match(r"(execute|shell|run|delegate)\b", text, re.I):
                joint = " " if " with " in text or text.lower().startswith("execute") else " with "
                return f'{text}{joint}result="{match["name"]}"'
        return text

    def _described(self, name: str, text: str, place: Place) -> None:
        """An action in the diagram. A description that is none is just that."""
        if len(text) > LARGEST_ACTION_CHARS:
            return
        if text.lower().strip().find("wait for user") > 0:
            return  # that is what happens there
        try:
            self._found.actions[name] = self._parse(text, place)
        except FaultsError as error:
            if all(fault.code == "unknown-action" for fault in error.faults):
                return
            is_error = not self._lenient and not self._is_old
            for fault in error.faults:
                self._found.add(fault.code, fault.message, fault.place, is_error=is_error)


# Prompts -----------------------------------------------------------------------------------------------


def _read_prompts(
    document: Document, found: _Found, partials: Partials | None
) -> Iterator[tuple[str, Prompt]]:
    names: set[str] = set()
    is_prompts = False
    for heading in document.headings:
        if heading.level == 2 and heading.title.lower() == "schemas":
            message = "Schemas are not supported yet; the section has no effect."
            found.add("unsupported", message, document.place(heading.line), is_error=False)
        if heading.level <= 2:
            is_prompts = heading.level == 2 and heading.title.lower() == "prompts"
        if not is_prompts or heading.level != 3:
            continue
        name = heading.title.strip("`* ")
        if not name:
            message = "A prompt needs a name: `### name`."
            found.add("prompt-name", message, document.place(heading.line))
            continue
        if name in names:
            found.add("two-prompts", f"There are two prompts {name!r}.", document.place(heading.line))
            continue
        names.add(name)
        begin, end = heading.line + 1, document.end_of(heading, 3)
        while begin < end and not document.lines[begin - 1].strip():
            begin += 1
        if begin == end:
            found.add("empty-prompt", f"The prompt {name!r} is empty.", document.place(heading.line))
            continue
        try:
            text = document.text(begin, end)
            prompt = parse_prompt(text, name=name, path=document.path, line=begin, partials=partials)
        except FaultsError as error:
            found.faults += error.faults
            continue
        found.faults += prompt.warnings
        yield name, prompt
