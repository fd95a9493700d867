"""The site names every public thing, loads nothing from elsewhere, and no link in it is broken."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import griffe
import pytest

import fewshot_flair
from fewshot_flair.adapters import get_adapter_class

ROOT = Path(__file__).resolve().parents[1]
INTERNAL = {"cli"}
"""Used as commands; nothing of theirs is imported by others."""


@pytest.fixture(scope="module")
def documented() -> set[str]:
    """Full names that the pages of the reference document."""
    text = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.md"))
    return set(re.findall(r"^::: (\S+)$", text, re.MULTILINE))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does: a broken link or a name that is not there is an error."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return folder


def public_names() -> set[str]:
    packages = {m.name for m in pkgutil.iter_modules(fewshot_flair.__path__) if m.ispkg} - INTERNAL
    return {
        f"fewshot_flair.{package}.{name}"
        for package in packages
        for name in importlib.import_module(f"fewshot_flair.{package}").__all__
    }


def test_every_public_name_has_its_place(documented):
    assert public_names() - documented == set()


def test_what_the_top_offers_is_documented_in_its_package(documented):
    there = {name.rpartition(".")[2] for name in documented}
    assert set(fewshot_flair.__all__) - there == set()


def test_every_built_in_adapter_has_its_place(documented):
    classes = [get_adapter_class(adapter.name) for adapter in fewshot_flair.list_adapters()]
    built_in = {
        f"{c.__module__}.{c.__qualname__}" for c in classes if c.__module__.startswith("fewshot_flair.")
    }
    assert len(built_in) > 10
    assert built_in - documented == set()


def test_every_documented_name_and_method_has_a_docstring(documented):
    package = griffe.load("fewshot_flair", search_paths=[ROOT], resolve_aliases=True)
    bare = set()
    for name in documented:
        thing = package[name.removeprefix("fewshot_flair.")]
        methods = (
            [m for m in thing.functions.values() if not m.name.startswith("_")] if thing.is_class else []
        )
        bare |= {part.path for part in [thing, *methods] if not part.has_docstring}
    assert bare == set()


def test_every_documented_name_is_shown(site, documented):
    html = "".join(page.read_text(encoding="utf-8") for page in (site / "api").rglob("*.html"))
    assert {name for name in documented if f'id="{name}"' not in html} == set()


def test_the_site_needs_no_other_server(site):
    loaded = re.compile(r"<(?:script|link|img)[^>]+(?:src|href)=\"?((?:https?:)?//[^\"\s>]+)")
    assert {url for page in site.rglob("*.html") for url in loaded.findall(page.read_text("utf-8"))} == set()
