"""Run as a script by `workbooks`: writes the cells of a workbook to standard output as JSON.

``{sheet: [[row number, [cell, ...]], ...]}`` without empty rows, or a string that says what is wrong.
"""

from __future__ import annotations

import json
import sys
from typing import Any

MOST_CELLS = 20_000_000


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _cells(path: str) -> dict[str, list[tuple[int, list[str]]]] | str:
    from python_calamine import CalamineWorkbook

    sheets: dict[str, list[tuple[int, list[str]]]] = {}
    left = MOST_CELLS
    with CalamineWorkbook.from_path(path) as book:
        for name in book.sheet_names:
            rows: list[tuple[int, list[str]]] = []
            for number, row in enumerate(book.get_sheet_by_name(name).iter_rows(), 1):
                cells = [_text(value) for value in row]
                if any(cells):
                    left -= len(cells)
                    rows.append((number, cells))
                if left < 0:
                    return f"it has more than {MOST_CELLS:,} cells"
            sheets[name] = rows
    return sheets


def _bound(memory: int) -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _main(where: str, memory: str, path: str) -> None:
    sys.path.insert(0, where)
    _bound(int(memory))
    try:
        answer = _cells(path)
    except BaseException as error:  # the library's own panics are no Exception
        answer = str(error) or type(error).__name__
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    _main(*sys.argv[1:])
