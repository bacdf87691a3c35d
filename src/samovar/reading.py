"""Reads a workflow file: everything wrong with it, or the workflow.

Above: `library.py`. Below: `workflow.py` for the values, `mermaid.py`, `markdown.py`, `prompt.py`.
All faults of a file are found in one reading, in the order of its lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samovar.errors import Fault, FaultsError, Place, nearest
from samovar.expression import Expression
from samovar.front import read_settings
from samovar.markdown import Bullet, Document, parse_document
from samovar.mermaid import Diagram, Edge, parse_diagram
from samovar.prompt import Prompt, parse_prompt
from samovar.template import Partials
from samovar.workflow import Action, ParseAction, State, Transition, When, Workflow

OLD_FOLDERS = frozenset((".swissarmyhammer", ".sah"))

_ACTION_LINE = re.compile(r"^\s*\*\*action\*\*\s*:\s*(?P<text>.*)$", re.I)
_STORE_LINE = re.compile(r"^\s*\*\*store as\*\*\s*:\s*[`\"']?(?P<name>[A-Za-z_]\w*)[`\"']?\s*$", re.I)
_OPERATORS = re.compile(r"==|!=|&&|\|\||[.()<>!?\[\]+*/%]")
_ON = re.compile(r"on[_ ]?(?P<kind>success|failure|fail|error)", re.I)
_FAILURE_WORDS = frozenset(("fail", "failure", "error", "invalid"))
_SUCCESS_WORDS = frozenset(("success", "valid"))


@dataclass(slots=True)
class _Found:
    """What a reading has found so far."""

    faults: list[Fault] = field(default_factory=list)
    actions: dict[str, Action] = field(default_factory=dict)
    """By state."""
    described: set[str] = field(default_factory=set)
    """States with a text that is no action, where that is allowed."""

    def add(self, code: str, message: str, place: Place, *, is_error: bool = True) -> None:
        severity: Any = "error" if is_error else "warning"
        self.faults.append(Fault(code=code, message=message, place=place, severity=severity))


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
    settings = read_settings(document, found.add)
    diagram, diagram_text = _read_diagram(document)
    found.faults += diagram.faults
    is_old = _is_old(document)
    reader = _ActionReader(document, diagram, found, parse_action, lenient=lenient, is_old=is_old)
    reader.read()
    prompts = dict(_read_prompts(document, found, partials))
    states = _build_states(diagram, found)
    initial = _initial(diagram, found)
    if not diagram.faults and initial:
        _check_shape(states, initial, found)
    faults = sorted(found.faults, key=lambda fault: fault.place.line)
    if initial is None or any(fault.severity == "error" for fault in faults):
        raise FaultsError(faults)
    return Workflow(
        name=name,
        path=path,
        title=settings.title,
        description=settings.description or settings.title,
        parameters=settings.parameters,
        model=settings.model,
        system=settings.system,
        seed=settings.seed,
        on_error=settings.on_error,
        limits=settings.limits,
        choice_states_act=settings.choice_states_act,
        initial=initial,
        states=states,
        prompts=prompts,
        diagram=diagram_text,
        warnings=tuple(faults),
    )


def _is_old(document: Document) -> bool:
    """Whether the file may be one of the older system: below its folders, or with none of our own forms."""
    if document.path is not None and OLD_FOLDERS & set(document.path.parts):
        return True
    own = any(heading.title.lower() in ("prompts", "schemas") for heading in document.headings)
    return not own and not any(re.search(r"\busing\s+\w+\s*=", line) for line in document.lines)


def _read_diagram(document: Document) -> tuple[Diagram, str]:
    lines = list(enumerate(document.lines, start=1))
    first = next(
        (line.strip() for _, line in lines if line.strip() and not line.strip().startswith("%%")), ""
    )
    fence = next((fence for fence in document.fences if fence.info.lower().split()[:1] == ["mermaid"]), None)
    if (
        fence is None
        and document.front_matter is None
        and re.match(r"(stateDiagram|flowchart|graph)\b", first)
    ):
        return parse_diagram(lines, path=document.path, line=1), "\n".join(document.lines)
    if fence is None:
        place = document.place(1)
        fault = Fault(
            code="no-diagram",
            message="There is no diagram: a workflow has one ```mermaid block with a `stateDiagram-v2`.",
            place=place,
        )
        return Diagram(nodes={}, edges=(), faults=(fault,), place=place), ""
    inside = lines[fence.line : fence.end_line - 1]
    return parse_diagram(inside, path=document.path, line=fence.line), "\n".join(line for _, line in inside)


def _initial(diagram: Diagram, found: _Found) -> str | None:
    starts = [edge for edge in diagram.edges if edge.source is None]
    if not starts:
        if not diagram.faults:
            found.add("no-start", "The diagram has no start: add `[*] --> FirstState`.", diagram.place)
        return None
    for extra in starts[1:]:
        found.add("two-starts", "Only the first `[*] -->` is the start.", extra.place, is_error=False)
    if starts[0].target is None:
        found.add("no-start", "`[*] --> [*]` has no state between start and end.", starts[0].place)
    return starts[0].target


# Transitions -------------------------------------------------------------------------------------------


def _build_states(diagram: Diagram, found: _Found) -> dict[str, State]:
    transitions: dict[str, list[Transition]] = {name: [] for name in diagram.nodes}
    for edge in diagram.edges:
        if edge.source is not None:
            transitions[edge.source].append(_transition(edge, found))
    return {
        name: State(
            name=name,
            description="\n".join(text for text, _ in node.descriptions),
            action=found.actions.get(name),
            transitions=tuple(transitions[name]),
            place=node.place,
        )
        for name, node in diagram.nodes.items()
    }


def _transition(edge: Edge, found: _Found) -> Transition:
    when, condition = When.ALWAYS, None
    try:
        when, condition = classify(edge.label, edge.label_place)
    except FaultsError as error:
        found.faults += error.faults
    assert edge.source is not None
    return Transition(
        source=edge.source,
        target=edge.target,
        label=edge.label,
        when=when,
        condition=condition,
        place=edge.label_place,
    )


def classify(label: str, place: Place) -> tuple[When, Expression | None]:
    """What a transition's label means. Raises `FaultsError` for one that means nothing."""
    text = label.strip()
    lowered = text.lower()
    if lowered in ("", "always"):
        return When.ALWAYS, None
    if lowered in ("default", "else"):
        return When.DEFAULT, None
    if not _OPERATORS.search(text):
        words = set(lowered.split())
        on = _ON.fullmatch(text)
        kind = on["kind"].lower() if on else ""
        if words & _FAILURE_WORDS or kind in _FAILURE_WORDS:
            return When.FAILURE, None
        if words & _SUCCESS_WORDS or kind == "success":
            return When.SUCCESS, None
    try:
        return When.CONDITION, Expression.parse(text, place)
    except FaultsError as error:
        reading = "The label is neither `success`, `failure`, `default` or `always`, nor a condition: "
        raise FaultsError(
            [
                Fault(code=fault.code, message=reading + fault.message, place=fault.place)
                for fault in error.faults
            ]
        ) from error


def _check_shape(states: dict[str, State], initial: str, found: _Found) -> None:
    reached, waiting = {initial}, [initial]
    while waiting:
        for transition in states[waiting.pop()].transitions:
            if transition.target is not None and transition.target not in reached:
                reached.add(transition.target)
                waiting.append(transition.target)
    for name, state in states.items():
        if name not in reached:
            found.add("unreachable", f"No path leads to the state {name!r}.", state.place, is_error=False)
        elif not state.transitions:
            message = (
                f"Nothing leads out of the state {name!r}, so a run is stuck there: add `{name} --> [*]`."
            )
            found.add("no-exit", message, state.place, is_error=False)
    if not any(transition.target is None for name in reached for transition in states[name].transitions):
        found.add(
            "no-end",
            "No path leads to the end: add `LastState --> [*]`.",
            states[initial].place,
            is_error=False,
        )


# Actions -----------------------------------------------------------------------------------------------


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
        for heading in self._document.headings:
            if heading.title.lower() == "actions" and heading.level >= 2:
                end = self._document.end_of(heading, 6)
                for bullet in self._document.bullets(heading.line + 1, end):
                    self._bullet(bullet, seen)
        if not seen:
            self._old_states(seen)
        for name, node in self._diagram.nodes.items():
            if name not in seen:
                for text, place in node.descriptions:
                    self._described(name, text, place)

    def _bullet(self, bullet: Bullet, seen: set[str]) -> None:
        name, colon, rest = bullet.text.partition(":")
        name = " ".join(name.replace("**", "").replace("`", "").split())
        if not colon:
            message = "An action line is `- State: action`."
            return self._found.add("action-line", message, bullet.place, is_error=not self._is_old)
        text = rest.lstrip("* \t")
        skipped = len(bullet.text.partition(":")[0]) + 1 + len(rest) - len(text)
        place = Place(path=bullet.place.path, line=bullet.place.line, column=bullet.place.column + skipped)
        if name not in self._diagram.nodes:
            if self._diagram.nodes:
                message = f"The diagram has no state {name!r}.{nearest(name, self._diagram.nodes)}"
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
        try:
            self._found.actions[name] = self._parse(text, place)
        except FaultsError as error:
            for fault in error.faults:
                is_unknown = fault.code == "unknown-action"
                is_error = not self._lenient and not (is_unknown and self._is_old)
                after = "" if is_error else " The state passes through."
                self._found.add(fault.code, fault.message + after, fault.place, is_error=is_error)

    def _old_states(self, seen: set[str]) -> None:
        """`## States` with `### Name` and a line `**Action**: …` below it."""
        document = self._document
        section = next((h for h in document.headings if h.title.lower() == "states" and h.level == 2), None)
        if section is None:
            return
        end = document.end_of(section)
        for heading in document.headings:
            if not section.line < heading.line < end or heading.title not in self._diagram.nodes:
                continue
            for number in range(heading.line + 1, min(end, document.end_of(heading))):
                line = document.lines[number - 1]
                if match := _ACTION_LINE.match(line):
                    text, place = match["text"].strip(), document.place(number, match.start("text") + 1)
                    seen.add(heading.title)
                    self._read_text(heading.title, self._with_store(text, heading.line + 1, end), place)
                    break

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
        try:
            self._found.actions[name] = self._parse(text, place)
        except FaultsError as error:
            if all(fault.code == "unknown-action" for fault in error.faults):
                return
            for fault in error.faults:
                self._found.add(fault.code, fault.message, fault.place, is_error=not self._lenient)


# Prompts -----------------------------------------------------------------------------------------------


def _read_prompts(
    document: Document, found: _Found, partials: Partials | None
) -> Iterator[tuple[str, Prompt]]:
    section = next((h for h in document.headings if h.title.lower() == "prompts" and h.level == 2), None)
    if section is None:
        return
    names: set[str] = set()
    end = document.end_of(section, 2)
    for heading in document.headings:
        if not section.line < heading.line < end or heading.level != 3:
            continue
        name = heading.title.strip("`* ")
        if name in names:
            found.add("two-prompts", f"There are two prompts {name!r}.", document.place(heading.line))
            continue
        names.add(name)
        text = document.text(heading.line + 1, document.end_of(heading, 3))
        start = heading.line + 1
        while text.startswith("\n"):
            text, start = text[1:], start + 1
        if not text.strip():
            found.add("empty-prompt", f"The prompt {name!r} is empty.", document.place(heading.line))
            continue
        try:
            yield name, parse_prompt(text, name=name, path=document.path, line=start, partials=partials)
        except FaultsError as error:
            found.faults += error.faults
