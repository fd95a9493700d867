"""The quality of photographs in files: each is decoded once, and remembered by its bytes."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from fewshot_flair.bank.memo import KeyMemo
from fewshot_flair.bank.work import failure_reason
from fewshot_flair.cache import cache_folder
from fewshot_flair.errors import FewshotFlairError
from fewshot_flair.images.quality.assessment import VERSION, Quality, assess_quality

__all__ = ["assess_files"]

_KEPT_AT_ONCE = 64


def assess_files(
    paths: Sequence[Path],
    cache: Path | None = None,
    *,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[Quality | str]:
    """Quality of each file, in their order; of one that cannot be read, the reason in a sentence.

    Answers are kept in ``quality.sqlite`` of the cache folder by the file's digest and the version of the
    measures: asked again, of the same bytes under any name, nothing is decoded. Where that file cannot be
    used, everything is measured.

    Parameters
    ----------
    cache : Path, optional
        Folder of the banks; `cache_folder()` by default.
    workers : int, optional
        Threads; by default as many as there are processors.
    progress : callable, optional
        Told now and then how many are done.
    """
    folder = cache or cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    found: list[Quality | str] = []
    with (
        closing(KeyMemo(folder / "paths.sqlite")) as memo,
        ThreadPoolExecutor(workers or os.cpu_count()) as pool,
    ):
        keys = [key for key, _ in memo.keys([str(path) for path in paths], pool.map)]
        for start in range(0, len(paths), _KEPT_AT_ONCE):
            part = slice(start, start + _KEPT_AT_ONCE)
            known = _known(folder, [key for key in keys[part] if key])
            new = [(path, key) for path, key in zip(paths[part], keys[part], strict=True) if key not in known]
            answers = dict(zip(new, pool.map(_assessed, [path for path, _ in new]), strict=True))
            _keep(folder, {key: one for (_, key), one in answers.items() if key and isinstance(one, Quality)})
            found += [
                known[key] if key in known else answers[path, key]
                for path, key in zip(paths[part], keys[part], strict=True)
            ]
            if progress:
                progress(len(found))
    return found


def _assessed(path: Path) -> Quality | str:
    try:
        return assess_quality(path)
    except (FewshotFlairError, OSError, MemoryError) as error:
        return failure_reason(error, str(path))


def _opened(folder: Path) -> sqlite3.Connection:
    database = sqlite3.connect(folder / "quality.sqlite", timeout=10)
    database.execute(
        "CREATE TABLE IF NOT EXISTS quality (key TEXT PRIMARY KEY, version INTEGER, answer TEXT)"
    )
    return database


def _known(folder: Path, keys: Sequence[str]) -> dict[str, Quality]:
    marks = ",".join("?" * len(keys))
    ask = f"SELECT key, answer FROM quality WHERE version = ? AND key IN ({marks})"  # noqa: S608
    try:
        with closing(_opened(folder)) as database:
            rows = database.execute(ask, [VERSION, *keys]).fetchall()
    except sqlite3.Error:
        return {}
    return {key: found for key, answer in rows if (found := _read(key, answer)) is not None}


def _read(key: str, written: object) -> Quality | None:
    """An answer that was kept; None where it is not as it was written."""
    digest, _, answer = str(written).partition(" ")
    if digest != _digest(key, answer):
        return None
    read = json.loads(answer)
    return Quality(**read | {"reasons": tuple(read["reasons"])})


def _digest(key: str, answer: str) -> str:
    return hashlib.blake2b(f"{VERSION} {key} {answer}".encode(errors="replace"), digest_size=8).hexdigest()


def _written(key: str, answer: Quality) -> str:
    text = json.dumps(asdict(answer))
    return f"{_digest(key, text)} {text}"


def _keep(folder: Path, answers: dict[str, Quality]) -> None:
    rows = [(key, VERSION, _written(key, answer)) for key, answer in answers.items()]
    try:
        with closing(_opened(folder)) as database, database:
            database.executemany("INSERT OR REPLACE INTO quality VALUES (?, ?, ?)", rows)
    except sqlite3.Error:
        return  # a shortcut only
