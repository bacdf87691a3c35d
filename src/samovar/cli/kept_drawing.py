"""The diagram of a kept run, with the states and transitions it has been in: as text, and as SVG for a page.

Above: `kept_showing.py`, `kept_pages.py`. Below: `pictures.py`, the language. The diagram is read from the
text that the run began with, whatever became of the file. SVG is made anew from the elements and attributes
that a drawing needs: nothing else of it reaches a page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from samovar.actions import parse_action
from samovar.cli.drawable import Drawable, drawable, drawing_of
from samovar.cli.kept_states import MARKS, ReachedState, own_state, reached
from samovar.cli.pictures import PLAIN_TEXT
from samovar.cli.showing import shown
from samovar.cli.terminal import say
from samovar.errors import SamovarError
from samovar.errors.durations import lasting
from samovar.language.reading import parse_workflow
from samovar.language.workflow import Workflow

Object = Mapping[str, Any]
_SVG = "{http://www.w3.org/2000/svg}"
_ELEMENTS = frozenset(
    ("svg", "g", "path", "rect", "circle", "ellipse", "polygon", "line", "text", "tspan", "defs", "marker")
)
_ATTRIBUTES = {
    "viewBox",
    "d",
    "x",
    "y",
    "dx",
    "dy",
    "x1",
    "y1",
    "x2",
    "y2",
    "cx",
    "cy",
    "r",
    "rx",
    "ry",
    "id",
}
_ATTRIBUTES |= {"width", "height", "points", "transform", "text-anchor", "marker-end", "marker-start"}
_ATTRIBUTES |= {"refX", "refY", "markerWidth", "markerHeight", "markerUnits", "orient"}
EXIT = " [*]"
"""What the name of a composite's end ends with."""
_EDGE = re.compile(r"edge(\d+)")
_NODE = re.compile(r"-state-(.+)-\d+")
_ARROW = re.compile(r"(?P<source>\S+)\s*-->\s*(?P<target>[^\s:]+)")
_MARKER = re.compile(r"url\(#[\w-]+\)")


def workflow_of(run: Object) -> Workflow | None:
    """The workflow as it was when the run began; None if that is not kept, or can no longer be read."""
    path = run["path"]
    text = run["sources"].get(path) if path is not None else None
    if not text:
        return None
    try:
        return parse_workflow(
            text, name=run["workflow"], path=Path(path), parse_action=parse_action, lenient=True
        )
    except SamovarError:
        return None


def text_of(run: Object) -> str | None:
    """The diagram in box characters, with what became of each state in its box; None if there is none."""
    workflow = workflow_of(run)
    if workflow is None:
        return None
    forks = set(workflow.forks) | {fork.join for fork in workflow.forks.values()}
    labels = {
        name: f"{MARKS[state.status]} {name}{_figures(state)}"
        for name, state in reached(run, workflow).items()
        if name not in forks and name not in workflow.composites
    }
    return drawing_of(workflow.diagram, labels)


def _figures(state: ReachedState) -> str:
    """How often a run was in a state, for how long together, and whether it still is."""
    count = f" ×{state.visits}" if state.visits > 1 else ""
    time = f" {lasting(state.time_s)}" if state.time_s is not None else ""
    return f"{count}{time}" if state.is_finished else f"{count}{time} {state.status}"


def target_of(step: Object) -> str:
    """Where a transition leads to, for a person."""
    target: str = step["to"] or "end"
    return f"end of {target.removesuffix(EXIT)}" if target.endswith(EXIT) else target


# SVG -----------------------------------------------------------------------------------------------------


def svg_of(run: Object) -> str | None:
    """The diagram as SVG with classes for the path that was taken; None if it cannot be drawn here."""
    workflow = workflow_of(run)
    if workflow is None:
        return None
    found = drawable(workflow.diagram)
    try:
        import mermaidx
    except ImportError:  # an optional package: the page has the text then
        return None
    try:
        drawn = str(mermaidx.render(found.text, config=PLAIN_TEXT).svg())
        root = ElementTree.fromstring(drawn)
    except Exception as error:  # the library raises what its parts raise: the page has the text then
        why = " ".join(shown(str(error)).split())
        say(f"samovar: the page has the diagram as text, since it cannot be drawn: {why}")
        return None
    clean = _Marked(run, workflow, found, _edges(root)).clean(root)
    return None if clean is None else ElementTree.tostring(clean, encoding="unicode")


def _edges(root: ElementTree.Element) -> list[str]:
    """The names of the drawing's edges, in the order of the diagram's arrows; notes have edges of others."""
    names = (one.get("data-id", "") for one in root.iter() if one.get("data-edge") == "true")
    numbers = sorted(int(found[1]) for name in names if (found := _EDGE.fullmatch(name)))
    return [f"edge{number}" for number in numbers]


class _Marked:
    """Copies of a drawing's elements, with classes of our own."""

    def __init__(self, run: Object, workflow: Workflow, found: Drawable, edges: Sequence[str]) -> None:
        """`edges`: as many as there are arrows, or none of them is marked."""
        self._names = {id: name for name, id in found.ids.items()}
        self._reached = reached(run, workflow)
        arrows = list(self._arrows(found.text))
        taken = {(_end(one["from"], workflow), _end(one["to"], workflow)) for one in run["steps"]}
        begun = self._reached.keys() | {one for one, _ in taken}
        self._taken = {
            edge
            for edge, arrow in zip(edges, arrows, strict=len(edges) == len(arrows))
            if len(edges) == len(arrows)
            if arrow in taken or (arrow[0] == "[*]" and arrow[1] in begun)
        }

    def _arrows(self, text: str) -> Iterator[tuple[str, str]]:
        """The names at the ends of each arrow."""
        for line in text.splitlines():
            if arrow := _ARROW.search(line.strip()):
                yield (self._names.get(arrow["source"], "[*]"), self._names.get(arrow["target"], "[*]"))

    def clean(self, element: ElementTree.Element) -> ElementTree.Element | None:
        """The element as a page may have it; None: it may not."""
        name = str(element.tag).removeprefix(_SVG)
        if name not in _ELEMENTS:
            return None
        copy = ElementTree.Element(name)
        for attribute, value in element.attrib.items():
            if attribute not in _ATTRIBUTES or (
                attribute.startswith("marker-") and not _MARKER.fullmatch(value)
            ):
                continue
            copy.set(attribute, value)
        if name == "svg":
            copy.set("xmlns", _SVG[1:-1])
            copy.set("role", "img")
            copy.set("aria-label", "Diagram of the workflow with the path of the run")
            width = element.get("viewBox", "0 0 400 400").split()[2]
            copy.set("width", width)
        if kind := self._kind(element):
            copy.set("class", kind)
        if name in ("text", "tspan"):
            copy.text = element.text
        for child in element:
            if (inner := self.clean(child)) is not None:
                copy.append(inner)
                inner.tail = child.tail if name in ("text", "tspan") else None
        return copy

    def _kind(self, element: ElementTree.Element) -> str:
        classes = element.get("class", "").split()
        if "transition" in classes:
            return "edge taken" if element.get("data-id", "") in self._taken else "edge"
        if "statediagram-note" in classes:
            return "note"
        if "node" in classes or "statediagram-cluster" in classes:
            found = _NODE.search(element.get("id", ""))
            state = self._names.get(found[1], "") if found else ""
            kind = "node" if "node" in classes else "cluster"
            return f"{kind} {self._reached[state].status}" if state in self._reached else kind
        known = {**dict.fromkeys(("state-start", "state-end", "outer-path"), "dot"), "background": "back"}
        known |= {"edgeLabel": "on-edge", "outer": "outer", "inner": "inner"}
        return next((known[one] for one in classes if one in known), "")


def _end(path: str | None, workflow: Workflow) -> str | None:
    """The end of an arrow that a transition's end is; None: it is none of this diagram."""
    if path is None or path.endswith(EXIT):
        return "[*]"
    return own_state(path, workflow)
