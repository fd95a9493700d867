"""The descriptions of classes in a clone of a paper's repository, read from its code without running it."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.files import replace_file

__all__ = ["Found", "fundus_prompts", "prompts_in", "write_prompts"]

MOST_FILES = 5000
MOST_BYTES = 4 * 2**20
PLACE = "[CLS]"


@dataclass(frozen=True)
class Found:
    """A dictionary of descriptions in a clone.

    Attributes
    ----------
    file : Path
        Below the clone.
    where : str
        The function or name that holds it.
    template : str
        The text that the descriptions are put into; empty where none is beside them.
    descriptions : dict of str to list of str
    """

    file: Path
    where: str
    template: str
    descriptions: dict[str, list[str]]

    @property
    def of_fundus(self) -> bool:
        """Whether it is of photographs of the retina, by its template or the names beside it."""
        if self.template:
            return "fundus" in self.template.casefold()
        told = f"{self.where} {self.file}".casefold()
        return "fundus" in told or "diabetic retinopathy" in " ".join(self.descriptions).casefold()


def prompts_in(clone: str | Path) -> list[Found]:
    """All dictionaries of class to descriptions in the Python files of a folder; nothing of it is run.

    Raises
    ------
    MissingFileError
        If there is no such folder.
    """
    root = Path(clone)
    if not root.is_dir():
        raise MissingFileError(f"{clone}: no such folder; give a clone of the authors' repository")
    found = []
    for n, path in enumerate(_sources(root)):
        if n >= MOST_FILES:
            raise InputError(f"{clone} has more than {MOST_FILES} Python files; give the clone's own folder")
        try:
            if path.stat().st_size <= MOST_BYTES:
                tree = ast.parse(path.read_bytes())
                found += [Found(path.relative_to(root), *each) for each in _dictionaries(tree)]
        except (SyntaxError, ValueError, RecursionError, MemoryError, OSError):
            continue  # a file of another Python, or no Python at all
    return found


def fundus_prompts(clone: str | Path, file: str | None = None) -> Found:
    """The one dictionary of descriptions for photographs of the retina.

    Parameters
    ----------
    file : str, optional
        The file that is meant, below the clone.

    Raises
    ------
    InputError
        If there is none, or there are several that differ.
    """
    found = [each for each in prompts_in(clone) if file is None or each.file == Path(file)]
    own = [each for each in found if each.of_fundus]
    if not own:
        place = clone if file is None else Path(clone) / file
        other = "; ".join(f"{each.file}, {each.where}" for each in found[:10])
        raise InputError(
            f"{place}: no descriptions of classes of fundus photographs in its Python files"
            + (f" (there are others: {other})" if other else "")
        )
    # a template beside them says that they are what the text tower reads
    own = [each for each in own if each.template] or own
    if any(each.descriptions != own[0].descriptions for each in own):
        shown = "; ".join(
            f"{each.file}, {each.where} ({len(each.descriptions)} classes)" for each in own[:10]
        )
        raise InputError(
            f"{clone}: several dictionaries of descriptions, which differ: {shown}; name one (--file)"
        )
    return own[0]


def write_prompts(found: Found, out: str | Path, clone: str | Path) -> None:
    """Write descriptions as `read_prompts` reads them: TOML, or JSON where `out` ends so."""
    out = Path(out)
    if out.suffix.lower() == ".json":
        text = json.dumps(found.descriptions, indent=2, ensure_ascii=False) + "\n"
    else:
        lines = [
            f"{_toml(name)} = [{', '.join(map(_toml, said))}]" for name, said in found.descriptions.items()
        ]
        text = "\n".join([f"# from {Path(clone).name}: {found.file}, {found.where}", *lines, ""])
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(out, [text.encode()])


def _toml(text: str) -> str:
    # a JSON string is a basic string of TOML too
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _sources(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if name.endswith(".py"))


def _dictionaries(tree: ast.Module) -> Iterator[tuple[str, str, dict[str, list[str]]]]:
    """Where, template and descriptions of each dictionary of lists of texts."""
    for holder in [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))]:
        inner = list(_own(holder))
        templates = [
            node.value
            for node in inner
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and PLACE in node.value
        ]
        template = next((text for text in templates if text != PLACE), "")
        for node in inner:
            if isinstance(node, ast.Dict) and (descriptions := _descriptions(node)) is not None:
                name = holder.name if isinstance(holder, ast.FunctionDef) else f"line {node.lineno}"
                yield name, template, descriptions


def _own(holder: ast.AST) -> Iterator[ast.AST]:
    """What a module or function holds, without the functions in it."""
    for node in ast.iter_child_nodes(holder):
        if not isinstance(node, ast.FunctionDef):
            yield node
            yield from _own(node)


def _descriptions(node: ast.Dict) -> dict[str, list[str]] | None:
    try:
        content: Any = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    if len(content) < 2 or not all(isinstance(name, str) and name for name in content):
        return None
    for said in content.values():
        if not isinstance(said, list) or not said or not all(isinstance(text, str) and text for text in said):
            return None
    return content
