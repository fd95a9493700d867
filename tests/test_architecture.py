"""The package's modules import each other in one direction only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import fewshot_flair

PACKAGE = Path(fewshot_flair.__file__).parent
UNTIDY = ("fewshot_flair.adapters.", "fewshot_flair.experiment.")
"""Packages whose modules may still form circles."""


def imported(module: str, tree: ast.Module) -> Iterator[str]:
    """Full names that a module imports anywhere, for type checking only too; some are of things in modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = module.split(".")[: -node.level] if node.level else []
            origin = ".".join([*start, *([node.module] if node.module else [])])
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def test_no_circle_of_imports_between_modules() -> None:
    files = {".".join(p.relative_to(PACKAGE.parent).with_suffix("").parts): p for p in PACKAGE.rglob("*.py")}
    modules = {name: path for name, path in files.items() if path.stem != "__init__"}
    graph = {
        name: {other for other in imported(name, ast.parse(path.read_bytes())) if other in modules}
        for name, path in modules.items()
    }
    assert graph["fewshot_flair.rendering.camera"] == {"fewshot_flair.rendering.light"}
    tidy = {name: others for name, others in graph.items() if not name.startswith(UNTIDY)}
    try:
        TopologicalSorter(tidy).prepare()
    except CycleError as error:
        raise AssertionError(f"these modules import each other: {' <- '.join(error.args[1])}") from None
