"""The source that a study's numbers depend on, so that an edited adapter is never answered with old cells."""

from __future__ import annotations

import hashlib
import inspect
import marshal
from functools import cache
from pathlib import Path
from types import FunctionType

__all__ = ["code_digest"]

PACKAGE = Path(__file__).parents[1]
PARTS = (
    "text/prototypes.py",
    "adapters",
    "episodes",
    "evaluation",
    "conformal",
    "experiment/scoring.py",
    "experiment/fits.py",
    "experiment/measured.py",
    "experiment/draws.py",
    "experiment/sets.py",
    "experiment/calibrating.py",
)
TUNED = ("finetuning", "experiment/tuned.py")
"""What networks depend on besides; a finished training stays, whatever changes here."""


def code_digest(adapter: str | type) -> str:
    """Hex sha256 of this package's sources from episodes to metrics, and of the adapter's own where it is another's.

    Of an adapter from elsewhere it is the whole file of its class, or, typed into an interpreter, its functions. The
    class of a method of fine-tuning brings the sources of that, too.
    """
    from fewshot_flair.adapters import get_adapter_class

    kind = get_adapter_class(adapter) if isinstance(adapter, str) else adapter
    digest = hashlib.sha256(_package_digest(PARTS if isinstance(adapter, str) else (*PARTS, *TUNED)))
    for cls in kind.__mro__:
        if cls is not object and not cls.__module__.startswith(("fewshot_flair.", "sklearn.")):
            digest.update(_source(cls))
    return digest.hexdigest()


@cache
def _package_digest(parts: tuple[str, ...]) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        path = PACKAGE / part
        files = [path] if path.is_file() else sorted(path.rglob("*.py"))
        if not files:
            raise FileNotFoundError(f"{path}: results depend on this source, and it is not there; mend PARTS")
        for file in files:
            digest.update(file.relative_to(PACKAGE).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.digest()


def _source(cls: type) -> bytes:
    try:
        return Path(inspect.getfile(cls)).read_bytes()
    except (TypeError, OSError):
        functions = [value for value in vars(cls).values() if isinstance(value, FunctionType)]
        return b"".join(marshal.dumps(function.__code__) for function in functions)
