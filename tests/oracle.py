"""What Mermaid itself makes of a state diagram: its own grammar, run by the package mermaidx."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import quickjs  # type: ignore[import-untyped]
from mermaidx.engines import _common

Scope = tuple[str, int] | None
_READ = """
(async () => {
  const first = await mermaid.mermaidAPI.getDiagramFromText('stateDiagram-v2\\nA');
  // What is read is all that is asked for; laying it out and cleaning its labels took most of the time.
  Object.getPrototypeOf(first.db).extract = function () { this.getRootDocV2(); };
})();
globalThis.__read = async (text) => {
  const diagram = await mermaid.mermaidAPI.getDiagramFromText(text);
  const isState = diagram.type === 'state' || diagram.type === 'stateDiagram';
  return JSON.stringify(isState ? {doc: diagram.db.rootDoc} : {error: 'another kind: ' + diagram.type});
};
"""
_STACK_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class Drawn:
    """What Mermaid would draw."""

    states: frozenset[str]
    mentioned: frozenset[str]
    """Words it passed over, as the name of a state that is only declared."""
    edges: tuple[tuple[str | None, str | None, str, Scope], ...]


class Oracle:
    """mermaid.js in a thread of its own, whose stack is deep enough for it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        before = threading.stack_size(2 * _STACK_BYTES)
        try:
            begun = self._thread.submit(self._begin)
        finally:
            threading.stack_size(before)
        begun.result()

    def _begin(self) -> None:
        context = self._context = quickjs.Context()
        context.set_max_stack_size(_STACK_BYTES)
        context.eval("globalThis.__log = () => 0;")
        for name in ("__measureText", "__measureTextFull", "__measureGlyphs", "__measureForeignObject"):
            context.eval(f"globalThis.{name} = () => 0;")
        for script in _common.context_scripts():
            context.eval(script)
        context.eval("mermaid.initialize({startOnLoad: false});" + _READ)

    def read(self, text: str) -> Drawn | str:
        """What is drawn, or why Mermaid refuses the text."""
        answer = self._thread.submit(self._read, text).result()
        return str(answer["error"]) if "error" in answer else _drawn(answer["doc"])

    def _read(self, text: str) -> dict[str, Any]:
        context = self._context
        context.eval(
            f"globalThis.__answer = null; __read({json.dumps(text)})"
            ".then(answer => {globalThis.__answer = answer})"
            ".catch(error => {globalThis.__answer ="
            " JSON.stringify({error: String(error.message || error)})});"
        )
        while context.eval("__answer === null"):
            try:
                if context.execute_pending_job():
                    continue
            except StopIteration:
                pass
            assert context.eval("__runNextTimer()")
        read: dict[str, Any] = json.loads(context.eval("__answer.slice(0)"))
        return read


@cache
def oracle() -> Oracle:
    """One for all tests: it takes half a second to begin."""
    return Oracle()


def _drawn(document: list[Any]) -> Drawn:
    states: set[str] = set()
    words: set[str] = set()
    edges = []
    for kind, what, scope in _walk(document, None, "root"):
        if kind == "word":
            words.add(what)
        elif kind == "state":
            states.add(what)
        else:
            edges.append((*what, scope))
            states |= {name for name in what[:2] if name is not None}
    return Drawn(frozenset(states), frozenset(words), tuple(edges))


def _walk(document: list[Any], scope: Scope, owner: str) -> Iterator[tuple[str, Any, Scope]]:
    """Every statement with its scope. `[*]` has been renamed by Mermaid after what it stands in."""
    ends = {f"{owner}_start", f"{owner}_end"}

    def name(state: dict[str, Any]) -> str | None:
        return None if state["id"] in ends else str(state["id"])

    region = 0
    for statement in document:
        if isinstance(statement, str):
            yield "word", statement, scope
        elif statement["stmt"] == "relation":
            label = statement.get("description") or ""
            yield "edge", (name(statement["state1"]), name(statement["state2"]), label), scope
        elif statement["stmt"] == "state" and statement.get("type") == "divider":
            yield from _walk(statement.get("doc", []), (scope[0] if scope else "", region), statement["id"])
            region += 1
        elif statement["stmt"] == "state" and name(statement) is not None:
            yield "state", statement["id"], scope
            yield from _walk(statement.get("doc") or [], (statement["id"], 0), statement["id"])
