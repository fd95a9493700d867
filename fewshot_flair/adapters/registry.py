"""Adapters by name: the built-in ones, those of other packages, and yours."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fewshot_flair.errors import InputError, MissingFileError
from fewshot_flair.registry import OWN, Registry

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from fewshot_flair.adapters.base import Adapter
    from fewshot_flair.text.prototypes import TextPrototypes

__all__ = [
    *("AdapterInfo", "create_adapter", "get_adapter_class"),
    *("list_adapters", "register", "use_adapters_from"),
]

ENTRY_POINTS = "fewshot_flair.adapters"
FILES = "FEWSHOT_FLAIR_ADAPTERS"
_adapters: Registry[Adapter] = Registry("adapter")
_loaded: list[str] = []
_broken: dict[str, str] = {}

A = TypeVar("A", bound="type[Adapter]")


def register(cls: A) -> A:
    """Class decorator that makes an adapter known by its ``name``.

    Another package's adapters are found without an import where that package declares an entry point in
    the group ``fewshot_flair.adapters`` that leads to the class.

    Raises
    ------
    InputError
        If the class has no name or summary, or another class has that name.
    """
    registered: A = _adapters.register(cls)
    return registered


@dataclass(frozen=True)
class AdapterInfo:
    """What there is to know of an adapter before it is made.

    Attributes
    ----------
    name, summary, paper : str
        What `create_adapter` takes, what it does in a few words, and where it was published.
    needs_text, needs_tower, uses_unlabeled : bool
        Whether it needs text prototypes, needs an encoder's text tower, and learns from rows without labels.
    training_free : bool
        Whether its weights are a formula, without gradient steps.
    features : str
        ``"embedding"``, ``"backbone"``, or ``"local"``: the global feature and the cells of the map.
    parameters : dict
        The method's parameters and their defaults.
    """

    name: str
    summary: str
    paper: str
    needs_text: bool
    needs_tower: bool
    uses_unlabeled: bool
    training_free: bool
    features: str
    parameters: dict[str, Any]


def list_adapters() -> list[AdapterInfo]:
    """All adapters that `create_adapter` knows, built-in ones first in the order of the documentation."""
    return [
        AdapterInfo(
            name=name,
            summary=cls.summary,
            paper=cls.paper,
            needs_text=cls.needs_text,
            needs_tower=cls.needs_tower,
            uses_unlabeled=cls.uses_unlabeled,
            training_free=cls.training_free,
            features=cls.features,
            parameters=_parameters(cls, hidden=("tower",)),
        )
        for name, cls in _known().items()
    ]


def get_adapter_class(name: str) -> type[Adapter]:
    """The class of an adapter's name; raises InputError that says which exist and which is nearest."""
    known = _known()
    broken = f"; {_broken[name]}" if name in _broken and name not in known else ""
    return _adapters.get(name, f"{OWN}{broken}")


def create_adapter(name: str, text: TextPrototypes | None = None, **params: Any) -> Adapter:
    """An adapter by its name.

    Parameters
    ----------
    name : str
        One of `list_adapters()`.
    text : TextPrototypes, optional
        Class prototypes; most adapters need them, and all take the classes and their order from them.
    **params
        The method's parameters, in the words of its paper (see `list_adapters`).

    Raises
    ------
    InputError
        If the name or a parameter is unknown (the message says which exist), or `text` is no
        `TextPrototypes`.

    Examples
    --------
    >>> import numpy as np
    >>> from fewshot_flair import TextPrototypes
    >>> text = TextPrototypes(["healthy", "diseased"], np.eye(2, 4), logit_scale=2.0)
    >>> adapter = create_adapter("ss-text", text=text)
    >>> adapter.fit(np.eye(4)[[0, 1, 1]], ["healthy", "diseased", "diseased"]).predict(np.eye(4)[:2])
    array(['healthy', 'diseased'], dtype='<U8')
    """
    from fewshot_flair.adapters.validation import check_text

    cls = get_adapter_class(name)
    check_text(name, text)
    _adapters.check_parameters(name, params, _parameters(cls))
    return cls(text=text, **params)


def _parameters(cls: type[Adapter], hidden: tuple[str, ...] = ()) -> dict[str, Any]:
    arguments = inspect.signature(cls).parameters.values()
    return {p.name: p.default for p in arguments if p.name not in ("text", *hidden)}


def use_adapters_from(files: Sequence[str | Path]) -> None:
    """Make the adapters known that Python files register, in this process and in those that it starts.

    The files are run. They are kept in the environment variable ``FEWSHOT_FLAIR_ADAPTERS``, where a user may
    put them too (separated as in ``PATH``).

    Raises
    ------
    MissingFileError, InputError
        If a file is not there, or running it fails.
    """
    given = [str(Path(file).resolve()) for file in files]
    known = [file for file in os.environ.get(FILES, "").split(os.pathsep) if file]
    os.environ[FILES] = os.pathsep.join(dict.fromkeys([*known, *given]))
    _known()


def _known() -> dict[str, type[Adapter]]:
    if not _loaded:
        _loaded.append("builtin")
        importlib.import_module("fewshot_flair.adapters.methods")
        from importlib.metadata import entry_points

        for point in entry_points(group=ENTRY_POINTS):
            _load(point)
    for file in os.environ.get(FILES, "").split(os.pathsep):
        if file and file not in _loaded:
            _loaded.append(file)
            try:
                _run(Path(file))
            except BaseException:
                # it may be mended and named again
                _loaded.remove(file)
                os.environ[FILES] = os.pathsep.join(
                    f for f in os.environ[FILES].split(os.pathsep) if f != file
                )
                raise
    return _adapters.known


def _load(point: EntryPoint) -> None:
    """Load another package's adapter; a broken one costs nobody the others."""
    try:
        register(point.load())
    except Exception as error:  # it may raise whatever it likes
        package = point.dist.name if point.dist else point.value
        _broken[point.name] = f"package {package} ({point.value}) cannot be loaded: {error}"
        warnings.warn(f"adapter {point.name!r}: {_broken[point.name]}", RuntimeWarning, stacklevel=2)


def _run(file: Path) -> None:
    if not file.is_file():
        raise MissingFileError(f"adapters: no file {file} (--adapters-from, or {FILES} in the environment)")
    # files of one name in two folders are two modules
    name = f"fewshot_flair_adapters_{file.stem}_{hashlib.sha256(os.fsencode(file)).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise InputError(f"adapters: {file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"adapters: running {file} fails: {type(error).__name__}: {error}") from error
