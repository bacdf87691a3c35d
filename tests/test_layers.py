"""The architecture as one ordered list: each module imports only from further down it."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "samovar"

LAYERS = (
    "__main__",
    "cli",
    "testing.junit",
    "testing.recording",
    "testing.trial",
    "testing.stage",
    "testing.comparing",
    "testing.coverage",
    "testing.case_text",
    "testing.case_file",
    "testing.cases",
    "testing.checked_values",
    "testing.paths",
    "blocking",
    "api",
    "unentered",
    "outlook",
    "needs",
    "app",
    "config",
    "running.runner",
    "running.loop",
    "running.recorder",
    "running.visit_context",
    "running.preview",
    "running.filling",
    "running.frame",
    "running.spending",
    "checks.mending",
    "checks.unified_diff",
    "checks.edits",
    "checks.meaning",
    "files",
    "checks.checking",
    "checks.exits",
    "checks.shared_prefix",
    "running.routing",
    "actions",
    "library",
    "language.reading",
    "language.graph",
    "language.composites",
    "language.forks",
    "running.branches",
    "language.front",
    "executors.local",
    "serving.session",
    "serving.turn",
    "serving.conversation",
    "serving.pool",
    "serving.lifecycle",
    "serving.room",
    "serving.eviction",
    "serving.ledger",
    "serving.entries",
    "serving.refusals",
    "serving.reservations",
    "engines",
    "models.snapshots",
    "models",
    "memory",
    "background",
    "executors",
    "language.workflow",
    "language.prompt",
    "language.parameter_list",
    "language.parameters",
    "language.mermaid",
    "language.statements",
    "language.mermaid_hints",
    "language.diagram_faults",
    "language.explaining",
    "language.grammar",
    "language.diagram",
    "language.markdown",
    "language.yaml_document",
    "language.expression",
    "language.functions",
    "language.effort",
    "language.expression_tokens",
    "language.patterns",
    "language.template",
    "language.rendering",
    "language.liquid_dialect",
    "language.pieces",
    "language.spelling",
    "wire",
    "values",
    "running.run",
    "events",
    "generation",
    "checks.codes",
    "errors",
)
"""From the top to the foot. A folder is one layer, but for what is named apart."""

WORKFLOW_HALF = {
    "running.runner", "running.loop", "running.recorder", "running.visit_context", "running.frame",
    "running.spending", "running.routing", "checks.checking", "checks.exits", "checks.shared_prefix",
    "actions", "running.preview", "running.filling", "library", "language.reading", "language.graph",
    "language.composites", "language.forks", "running.branches", "language.front", "language.workflow",
    "language.prompt", "language.parameter_list", "language.parameters", "language.explaining",
    "language.mermaid", "language.statements", "language.mermaid_hints", "language.diagram_faults",
    "language.diagram", "language.grammar", "language.markdown", "language.yaml_document",
    "language.expression", "language.functions", "language.effort", "language.expression_tokens",
    "language.patterns", "language.rendering", "language.liquid_dialect", "language.template",
    "language.spelling", "language.pieces", "values", "wire", "running.run", "events",
}  # fmt: skip
MODEL_HALF = {
    "executors.local", "serving.session", "serving.turn", "serving.conversation", "serving.pool",
    "serving.lifecycle", "serving.room", "serving.eviction", "serving.ledger", "serving.entries",
    "serving.refusals", "serving.reservations", "engines", "models.snapshots", "memory", "models",
}  # fmt: skip


def layer_of(module: str) -> str | None:
    """The layer of a dotted name below `samovar`; None for the package itself (its version)."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in LAYERS:
            return name
    return None


def imports(path: Path) -> set[str]:
    """Modules of the project that a file imports, also inside functions; typing-only ones too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("samovar.") for name in found if name.startswith("samovar.")}


def edges() -> list[tuple[str, str, Path]]:
    result = []
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        module = ".".join(part for part in parts if part != "__init__")
        if not module:
            continue
        for imported in imports(path):
            target = layer_of(imported)
            own = layer_of(module)
            assert own is not None, f"{module} is in no layer: add it to LAYERS"
            if target is not None and target != own:
                result.append((own, target, path))
    return result


def test_every_module_imports_only_from_further_down() -> None:
    wrong = [
        f"{path.name}: {own} imports {target}"
        for own, target, path in edges()
        if LAYERS.index(target) < LAYERS.index(own)
    ]
    assert not wrong, wrong


def test_the_two_halves_meet_only_in_the_executors() -> None:
    wrong = [
        f"{path.name}: {own} imports {target}"
        for own, target, path in edges()
        if (own in WORKFLOW_HALF and target in MODEL_HALF) or (own in MODEL_HALF and target in WORKFLOW_HALF)
    ]
    assert not wrong, wrong


def test_every_module_says_what_it_is() -> None:
    for path in SOURCE.rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_no_public_class_has_the_name_of_another() -> None:
    homes: dict[str, list[str]] = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(str(path.relative_to(SOURCE)))
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


def test_sizes_stay_within_their_budgets() -> None:
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 450, f"{path} is too long"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                assert lines <= 70, f"{path}:{node.lineno} {node.name} has {lines} lines"
