"""What the code imports is declared, and constraints.txt has one version of everything that is declared."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
BUILD: list[str] = PROJECT["build-system"]["requires"]
OURS = {"samovar", "tests", "benchmarks", "add"}  # what a model writes for examples/code is called add
PEERS = {"dbos", "langgraph", "llama_cpp"}
"""What a benchmark compares with where somebody has installed it, and leaves out elsewhere."""


@cache
def homes() -> Mapping[str, list[str]]:
    """The distributions of each module that is installed."""
    return packages_distributions()


def declared(*extras: str) -> list[Requirement]:
    """What an installation with these extras asks for."""
    texts = [*PROJECT["project"]["dependencies"], *(text for extra in extras for text in EXTRAS[extra])]
    return [Requirement(text) for text in texts]


def imported(folder: str) -> dict[str, Path]:
    """The packages that the files of a folder import, also inside functions, each with one of the files."""
    found: dict[str, Path] = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                continue
            found |= {name.split(".")[0]: path for name in names}
    return {name: path for name, path in found.items() if name not in sys.stdlib_module_names | OURS}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("src", ["pictures", "openai", "anthropic", "acp", "mcp", "serve"]),
        ("examples", []),
        ("scripts", ["test"]),
        ("tests", ["test"]),
        ("benchmarks", ["test", "bench"]),
    ],
)
def test_what_is_imported_is_declared(folder: str, extras: list[str]) -> None:
    names = {canonicalize_name(one.name) for one in declared(*extras)}
    for module, path in imported(folder).items():
        found = {canonicalize_name(name) for name in homes().get(module, [module])}
        assert found & names or module in PEERS, f"{path.name} imports {module}, which is not declared"


def constraints() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_the_constraints_have_a_version_of_everything_declared_that_suits() -> None:
    pinned = {canonicalize_name(one.name): one for one in map(Requirement, constraints())}
    for requirement in [*declared("test", "pictures"), *map(Requirement, BUILD)]:
        pin = pinned.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{requirement.name} is not in constraints.txt: run scripts/lock"
        (version,) = (one.version for one in pin.specifier)
        assert requirement.specifier.contains(version, prereleases=True), f"{pin}: run scripts/lock"


def test_each_constraint_is_one_version_as_old_installers_read_it() -> None:
    for line in constraints():
        assert re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+( ; .+)?", line), line
