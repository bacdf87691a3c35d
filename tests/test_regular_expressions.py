"""The regular expressions of the source mean the same on every Python from 3.11.0."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "samovar"
_TERMINAL = re.compile(r"/((?:[^/\\\n]|\\.|\n(?![A-Z_]))+)/[imslux]*\s*$", re.M)


def expressions() -> Iterator[tuple[str, str]]:
    """Every text that may be a regular expression, and where it is."""
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
                yield f"{path.name}:{node.lineno}", node.value
    grammar = (SOURCE / "language" / "mermaid.lark").read_text(encoding="utf-8")
    yield from (("mermaid.lark", terminal) for terminal in _TERMINAL.findall(grammar))


def is_possessive(text: str) -> bool:
    """Whether it is a regular expression with a possessive quantifier."""
    if not re.search(r"[*+?}]\+", text):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return "POSSESSIVE_REPEAT" in repr(re._parser.parse(text))
        except (re.error, RecursionError, OverflowError):
            return False


def test_no_quantifier_is_possessive_since_python_before_3_11_5_misreads_them() -> None:
    # python/cpython#106052; an atomic group, (?>…), says the same and is read rightly everywhere.
    assert is_possessive(r"(?:\w++|-(?=\w))*+")
    assert [where for where, text in expressions() if is_possessive(text) and text != "c++"] == []


def test_the_grammar_of_diagrams_is_among_them() -> None:
    assert any("(?>" in text for where, text in expressions() if where == "mermaid.lark")
