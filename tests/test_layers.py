"""The architecture as one ordered list of folders and top files: each imports only from further down it."""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Callable
from pathlib import Path

import samovar

SOURCE = Path(__file__).parent.parent / "src" / "samovar"

LAYERS = (
    "__main__",
    "cli",
    "serve",
    "testing",
    "python",
    "preflight",
    "checks",
    "running",
    "app",
    "tools",
    "actions",
    "dialects",
    "executors",
    "serving",
    "engines",
    "models",
    "library",
    "folders",
    "language",
    "expressions",
    "journal",
    "config",
    "processes",
    "projects",
    "setting",
    "events",
    "files",
    "background",
    "memory",
    "values",
    "generation",
    "errors",
)
"""From the top to the foot: everything that stands in the package's folder."""

DOORS = {"__main__", "cli", "serve", "testing", "python", "preflight", "app"}
WORKFLOW_HALF = {
    "checks",
    "running",
    "tools",
    "actions",
    "library",
    "folders",
    "language",
    "expressions",
    "journal",
}
WAIST = {"dialects", "executors"}
MODEL_HALF = {"serving", "engines", "models", "memory"}
RECORDS = {
    "config",
    "processes",
    "projects",
    "setting",
    "events",
    "files",
    "background",
    "values",
    "generation",
    "errors",
}
"""Plain values and small tools, which both halves may know."""

MOST_LINES = 400
LONG_FILES: dict[str, int] = {}
"""Files of more than 300 lines, with the most they may have: their size when the limit came."""


def module_of(path: Path) -> str:
    """The dotted name below `samovar`; empty for the package itself."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


PUBLIC = {name: f"{module}.{name}" for module, names in samovar._HOMES.items() for name in names}
"""Where the names of the package itself are."""
_MODULE_NAME = re.compile(r"samovar(?:\.\w+)+(?=:\w+$|$)")
"""A module named by a text, as a table of members has it."""


def imports(path: Path) -> set[str]:
    """Names of the project that a file imports, also inside functions and for typing only."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
            assert "samovar" not in names, f"{path}: import what is used, from its own module"
            found |= names
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            public = PUBLIC if node.module == "samovar" else {}
            found |= {public.get(alias.name, f"{node.module}.{alias.name}") for alias in node.names}
    return {name.removeprefix("samovar.") for name in found if name.startswith("samovar.")}


def named(path: Path) -> set[str]:
    """Modules of the project that a file names in a text, to import them when they are asked for."""
    texts = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant))
    matches = (_MODULE_NAME.match(text) for text in texts if isinstance(text, str))
    return {match[0].removeprefix("samovar.") for match in matches if match}


MODULES = {module_of(path): path for path in sorted(SOURCE.rglob("*.py"))}


def module_imported(name: str) -> str:
    """The module that an imported name is, or is in; empty for the package itself."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def edges(found: Callable[[Path], set[str]] = imports) -> list[tuple[str, str]]:
    """Every import between two modules of the project, once; or what else `found` gives.

    The package itself, which only hands names on, has no layer.
    """
    return [
        (module, target)
        for module, path in MODULES.items()
        for target in sorted({module_imported(name) for name in found(path)})
        if module and target and module != target
    ]


def layer_of(module: str) -> str:
    return module.partition(".")[0]


def test_every_folder_and_top_file_is_one_layer() -> None:
    assert sorted(LAYERS) == sorted({layer_of(module) for module in MODULES if module})
    assert len(LAYERS) <= 32


def test_every_layer_imports_only_from_further_down() -> None:
    wrong = [
        f"{module} imports {target}"
        for module, target in [*edges(), *edges(named)]
        if LAYERS.index(layer_of(target)) < LAYERS.index(layer_of(module))
    ]
    assert not wrong, wrong


def test_a_table_names_its_members() -> None:
    assert ("executors.table", "executors.local") in edges(named)


def test_nothing_nests_deeper_than_a_shelf_within_the_engine() -> None:
    deep = [module for module in MODULES if module.count(".") > 1]
    assert all(module.startswith("engines.llama.") for module in deep), deep
    assert all(module.startswith("engines.llama.prefixes.") for module in deep if module.count(".") > 2), deep


def test_neither_half_reaches_for_a_door() -> None:
    wrong = [
        f"{module} imports {target}"
        for module, target in edges()
        if layer_of(module) not in DOORS and layer_of(target) in DOORS
    ]
    assert not wrong, wrong


def test_no_import_goes_in_a_circle_within_a_folder() -> None:
    graph: dict[str, set[str]] = {}
    for module, target in edges():
        if layer_of(module) == layer_of(target):
            graph.setdefault(module, set()).add(target)
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError with the circle


def test_every_layer_is_in_one_part_of_the_house() -> None:
    parts = (DOORS, WORKFLOW_HALF, WAIST, MODEL_HALF, RECORDS)
    assert sorted(name for part in parts for name in part) == sorted(LAYERS)


def test_the_two_halves_meet_only_in_the_executors() -> None:
    wrong = []
    for module, target in edges():
        own, other = layer_of(module), layer_of(target)
        apart = (own in WORKFLOW_HALF and other in MODEL_HALF) or (
            own in MODEL_HALF and other in WORKFLOW_HALF
        )
        to_a_member = own in WORKFLOW_HALF and other in WAIST
        if apart or (to_a_member and target not in ("executors.base", "executors.table")):
            wrong.append(f"{module} imports {target}")
    assert not wrong, wrong


def test_every_module_says_what_it_is() -> None:
    for path in MODULES.values():
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_no_public_class_has_the_name_of_another() -> None:
    homes: dict[str, list[str]] = {}
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(module)
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}


def test_files_stay_within_their_budgets() -> None:
    sizes = {module: path.read_text(encoding="utf-8").count("\n") for module, path in MODULES.items()}
    long = {module: lines for module, lines in sizes.items() if lines > 300}
    grown = {module: lines for module, lines in long.items() if lines > LONG_FILES.get(module, 300)}
    assert not grown, f"split these, or make them shorter: {grown}"
    assert max(sizes.values()) <= MOST_LINES
    assert sorted(sizes.values())[int(len(sizes) * 0.95)] <= 300, "more than one file in twenty is long"
    stale = {module: lines for module, lines in LONG_FILES.items() if sizes.get(module, 0) != lines}
    assert not stale, f"shorter now, so that they may not grow again: {stale}"


def test_functions_stay_within_their_budget() -> None:
    for path in MODULES.values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                assert lines <= 70, f"{path}:{node.lineno} {node.name} has {lines} lines"
