"""Reads a workflow file: returns the workflow, or all its mistakes.

Above: `library.py`. Below: `workflow.py` for the values, `mermaid.py`, `markdown.py`, `prompt.py`.
All faults of a file are found in one reading, in the order of its lines.
"""

from __future__ import annotations

import gc
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from samovar.errors import Fault, FaultsError
from samovar.language.action_lines import ActionLines
from samovar.language.at_end import faults_at_end, meant_at_end
from samovar.language.diagram import Diagram
from samovar.language.findings import Findings
from samovar.language.forks import read_forks
from samovar.language.front import FrontSettings, read_settings
from samovar.language.graph import Graph, OldLabels, doubtful_shape, read_graph, with_inherited
from samovar.language.joins import faults_of_joins, with_needed
from samovar.language.markdown import Document, Fence, parse_document
from samovar.language.mermaid import parse_diagram
from samovar.language.model_names import Named
from samovar.language.names import OLD_CONTEXT, OLD_NAMES
from samovar.language.parsed_action import ParseAction
from samovar.language.prompt import Prompt, parse_prompt
from samovar.language.schema_section import read_schemas
from samovar.language.spelling import is_old_file
from samovar.language.template import Partials
from samovar.language.workflow import Fork, Workflow

_MERMAID = re.compile(r"\{?\s*\.?mermaid\b", re.I)
_FENCE = re.compile(r"\s*(?P<marks>`{3,}|~{3,})[^\S\n]*(?P<info>[^`\s]*)")
_SECTION = re.compile(r"#{2,3}\s+(?:actions|prompts|schemas|states)\s*$", re.I)
_COMMENT = re.compile(r"\s*(%%|//)")


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

    `lenient` makes a text that is not an action a warning. Raises `FaultsError` with every fault in the file,
    in its order, warnings among them; a workflow without errors keeps its warnings.
    """
    document, found = parse_document(text, path=path), Findings()
    matter = document.front_matter
    is_old = is_old_file(path, matter.values if matter else None)
    settings = read_settings(document, found.add, is_old=is_old)
    diagram, diagram_text = _read_diagram(document)
    found.faults += diagram.faults
    parse = partial(parse_action, tools=settings.tools)
    ActionLines(document, diagram, found, parse, lenient=lenient, is_old=is_old).read()
    _check_blocks(document, found)
    prompts = dict(_read_prompts(document, found, partials, is_old=is_old))
    schemas = read_schemas(document, found)
    found.faults += diagram.hints
    set_here = _set_here(settings, found)
    graph = read_graph(diagram, found.actions, OldLabels(known=set_here) if is_old else None)
    initial = _initial(diagram, found)
    found.faults += graph.faults
    forks: dict[str, Fork] = {}
    if initial and not diagram.faults:
        graph, forks = _shaped(graph, initial, settings.at_end, found)
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
        executor=settings.executor,
        tools=settings.tools,
        system=settings.system,
        seed=settings.seed,
        on_error=settings.on_error,
        limits=settings.limits,
        choice_states_act=settings.choice_states_act,
        returns=settings.returns,
        exposed=settings.exposed,
        initial=initial,
        at_end=meant_at_end(settings.at_end, graph.states, initial),
        states=graph.states,
        forks=forks,
        composites=graph.composites,
        bodies=graph.bodies,
        prompts=prompts,
        schemas=schemas,
        diagram=diagram_text,
        warnings=tuple(faults),
        is_old=is_old,
        is_lenient=lenient,
        old_names=frozenset(_old_names(text)),
        unread=frozenset(found.unread),
    )
    if any(fault.severity == "error" for fault in faults):
        raise FaultsError(faults, readable=workflow)
    return workflow


def _shaped(
    graph: Graph, initial: str, at_end: Named | None, found: Findings
) -> tuple[Graph, dict[str, Fork]]:
    """The graph with what its states have from their composites, and its forks."""
    forks, wrong = read_forks(graph.states, initial, graph.composites, graph.bodies)
    graph = with_inherited(graph, forks)
    found.faults += wrong
    if not any(fault.severity == "error" for fault in wrong):
        found.faults += faults_of_joins(forks, found.joins)
        forks = with_needed(forks, found.joins)
    if at_end is not None:
        found.faults += faults_at_end(at_end, graph.states, initial)
    found.faults += doubtful_shape(graph, initial, meant_at_end(at_end, graph.states, initial))
    return graph, forks


def _set_here(settings: FrontSettings, found: Findings) -> frozenset[str]:
    """The variables that the file itself sets; a name that it returns and never sets is a fault."""
    set_here = frozenset(parameter.name for parameter in settings.parameters)
    set_here |= {name for action in found.actions.values() for name in action.sets}
    if settings.returns is not None:
        secrets = frozenset(one.name for one in settings.parameters if one.secret)
        found.faults += settings.returns.faults(set_here | {"result"}, secrets)
    return set_here


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
    if not fence.is_closed:
        message = (
            "The diagram's block does not end: close it with a line of ``` before the text that follows."
        )
        place = document.place(fence.line)
        fault = Fault(code="open-block", message=message, place=place)
        return Diagram(nodes={}, edges=(), faults=(fault,), place=place), ""
    inside = list(enumerate(document.lines, start=1))[fence.line : fence.end_line - 1]
    return parse_diagram(inside, path=document.path, line=fence.line), "\n".join(line for _, line in inside)


def _check_blocks(document: Document, found: Findings) -> None:
    """A block that does not end takes what follows for a part of it, up to the end of the next block."""
    for fence in document.fences:
        if _MERMAID.match(fence.info) and not fence.is_closed:
            continue
        end = fence.end_line if not fence.is_closed else _next_opening(document, fence)
        inside = range(fence.line + 1, min(end, len(document.lines) + 1))
        number = next((one for one in inside if _SECTION.match(document.lines[one - 1])), None)
        if number is not None:
            line = document.place(number).line
            message = (
                f"The block that begins here does not end, so {document.lines[number - 1].strip()!r} "
                f"in line {line} is part of it: close it with a line of ```."
            )
            found.add("open-block", message, document.place(fence.line))


def _next_opening(document: Document, fence: Fence) -> int:
    """The line within a closed block that would open one itself; its first line if none does."""
    marks = _FENCE.match(document.lines[fence.line - 1])
    for number in range(fence.line + 1, fence.end_line) if marks else ():
        again = _FENCE.match(document.lines[number - 1])
        if marks and again and again["info"] and again["marks"].startswith(marks["marks"]):
            return number
    return fence.line


def _initial(diagram: Diagram, found: Findings) -> str | None:
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


def _read_prompts(
    document: Document, found: Findings, partials: Partials | None, *, is_old: bool
) -> Iterator[tuple[str, Prompt]]:
    names: set[str] = set()
    is_prompts = False
    for heading in document.headings:
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
            prompt = parse_prompt(
                text, name=name, path=document.path, line=begin, partials=partials, is_old=is_old
            )
        except FaultsError as error:
            found.faults += error.faults
            continue
        found.faults += prompt.warnings
        yield name, prompt


@dataclass(slots=True)
class _Collector:
    """The collector of cycles while somebody reads. Changed under the lock, by readers in any thread."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    readers: int = 0
    was_on: bool = False


_COLLECTOR = _Collector()


@contextmanager
def much_to_keep() -> Iterator[None]:
    """Keeps the collector of cycles from looking through a large file's values again and again."""
    with _COLLECTOR.lock:
        if not _COLLECTOR.readers:
            _COLLECTOR.was_on = gc.isenabled()
            gc.disable()
        _COLLECTOR.readers += 1
    try:
        yield
    finally:
        with _COLLECTOR.lock:
            _COLLECTOR.readers -= 1
            if not _COLLECTOR.readers and _COLLECTOR.was_on:
                gc.enable()
